from collections.abc import Iterator
from pathlib import Path

import pytest

from settings import ROOT
from tests.integration.server import Server
from tests.onnx_models import sleeper


@pytest.fixture(scope="session")
def models_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The bundled model, and two that compute natively for 2 and 5 seconds on a white image."""
    folder = tmp_path_factory.mktemp("models")
    (folder / "strawberry").symlink_to(ROOT / "models" / "strawberry")
    for seconds in (2, 5):
        (folder / f"sleep{seconds}").mkdir()
        sleeper(folder / f"sleep{seconds}" / "model.onnx", seconds)
    return folder


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory, models_dir: Path) -> Iterator[Server]:
    """One running instance for all tests that do not break it."""
    running = Server(tmp_path_factory.mktemp("shared-server"), {"MODELS_DIR": models_dir})
    running.start()
    yield running
    running.stop()


@pytest.fixture
def own_server(tmp_path: Path, models_dir: Path) -> Iterator[Server]:
    """An instance that is not started yet, and is stopped whatever the test does to it."""
    instance = Server(tmp_path, {"MODELS_DIR": models_dir})
    yield instance
    instance.stop()
