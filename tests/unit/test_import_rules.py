"""Who may import whom, read from the files themselves."""

import ast
from pathlib import Path

import pytest

from settings import ROOT

PARTS = {"api", "inference", "jobs", "worker", "ops", "settings", "lifeline"}
MAY_IMPORT = {
    "api": {"inference", "jobs", "settings"},
    "worker": {"inference", "jobs", "settings", "lifeline"},
    "jobs": {"settings"},
    "inference": set(),
    "settings": set(),
    "lifeline": set(),
    "ops": {"settings", "lifeline"},
    "gunicorn": {"settings", "lifeline"},
}
FILES = sorted(path for part in MAY_IMPORT for path in
               ((ROOT / part).rglob("*.py") if (ROOT / part).is_dir() else [ROOT / f"{part}.py"]))


def imported(path: Path) -> set[str]:
    """Top names of all that a file imports, anywhere in it."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative imports hide who is meant"
            found.add((node.module or "").partition(".")[0])
    return found


def files_importing(library: str) -> set[str]:
    return {str(path.relative_to(ROOT)) for path in [*FILES, ROOT / "wsgi.py"] if library in imported(path)}


def part_of(path: Path) -> str:
    return path.relative_to(ROOT).parts[0].removesuffix(".py")


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_a_part_imports_only_the_parts_below_it(path: Path) -> None:
    part = part_of(path)
    assert imported(path) & PARTS - {part} <= MAY_IMPORT[part]


@pytest.mark.parametrize(("library", "allowed"), [
    ("onnxruntime", {"inference/session.py"}),
    ("rq", {"jobs/queue.py", "jobs/handback.py", "jobs/ending.py", "worker/pool.py", "worker/warm.py"}),
    ("gevent", {"api/lanes.py", "gunicorn/gunicorn_cfg.py"}),
    ("supervisor", {"ops/supervisor.py"}),
    ("multipart", {"api/uploads.py"}),
    ("gunicorn", set()),
])
def test_a_library_is_imported_in_its_place_only(library: str, allowed: set[str]) -> None:
    assert files_importing(library) == allowed


@pytest.mark.parametrize(("library", "folders", "beside"), [
    ("redis", {"jobs"}, {"worker/pool.py", "worker/warm.py"}),
    ("flask", {"api"}, set()), ("werkzeug", {"api"}, set()),
    ("PIL", {"inference"}, set()), ("numpy", {"inference"}, set()),
])
def test_a_library_stays_in_its_folder(library: str, folders: set[str], beside: set[str]) -> None:
    assert {Path(name).parts[0] for name in files_importing(library) - beside} == folders


def test_our_gunicorn_folder_does_not_shadow_the_library() -> None:
    assert not (ROOT / "gunicorn" / "__init__.py").exists()


def test_inference_knows_nothing_of_http_or_queues() -> None:
    for path in (ROOT / "inference").rglob("*.py"):
        assert not imported(path) & {"flask", "gevent", "redis", "rq", "threading"}
