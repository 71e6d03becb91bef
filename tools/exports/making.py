"""Makes exports with the exporters' own libraries, and keeps what these answer for some images."""

import importlib
import random
import shutil
import sys
import traceback
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

import numpy as np

from tools.exports.references import Answer

# An image's file -> what the exporter's own library answers.
Ask = Callable[[Path], Answer]
# Writes an export into an empty model folder, as its exporter lays one out, and gives back whom to ask.
Export = Callable[[Path], Ask]
FAMILIES = ("ultralytics", "hugging_face", "optimum", "timm", "torchvision", "smp", "keras", "anomalib", "rfdetr",
            "insightface", "int8", "customvision")
SEED = 0
SAMPLES = Path(__file__).resolve().parents[2] / "samples"
SHOWN: list[Path] = []  # the images that are asked for, which random weights are made to tell apart


@dataclass(frozen=True)
class Folders:
    """What `make` writes: the images, `models/<export>` as PUNNET_MODELS_DIR takes it, `references/<export>/`."""

    root: Path

    @property
    def images(self) -> Path:
        return self.root / "images"

    @property
    def models(self) -> Path:
        return self.root / "models"

    @property
    def references(self) -> Path:
        return self.root / "references"


def make(folders: Folders, wanted: Sequence[str], images: Sequence[Path]) -> bool:
    """Make those of the `wanted` families and exports ("ultralytics", "ultralytics-yolov8n") that are not made yet, all
    where none is named. Whether none went wrong."""
    folders.images.mkdir(parents=True, exist_ok=True)
    for image in images:
        shutil.copy(image, folders.images / image.name)
    SHOWN[:] = sorted(folders.images.iterdir())
    return sum(not _made(folders, name, export) for name, export in _exports(wanted)) == 0


def _exports(wanted: Sequence[str]) -> Iterator[tuple[str, Export]]:
    """The exports of the families whose libraries are installed, by family and name."""
    for family in FAMILIES:
        if not wanted or any(name == family or name.startswith(f"{family}-") for name in wanted):
            yield from ((name, export) for name, export in _family(family)
                        if not wanted or family in wanted or name in wanted)


def _family(family: str) -> Iterator[tuple[str, Export]]:
    try:
        if find_spec("torch"):
            importlib.import_module("tools.exports.torch_networks").mend_torchvision()
        module = importlib.import_module(f"tools.exports.{family}")
    except ImportError as error:
        print(f"{family}: left out: {error}")
        return
    yield from ((f"{family}-{name}", export) for name, export in module.EXPORTS.items())


def _made(folders: Folders, name: str, export: Export) -> bool:
    references, model = folders.references / name, folders.models / name
    if references.is_dir():
        return True
    shutil.rmtree(model, ignore_errors=True)
    try:
        answers = _answers(folders, model, export)
    except Exception:  # whatever a library brings: the others are made all the same
        print(f"{name}: cannot be made\n{traceback.format_exc()}", file=sys.stderr)
        return False
    for image, answer in answers.items():
        answer.save(references / f"{image}.npz")
    print(f"{name}: made, {len(next(iter(answers.values())).labels)} labels in its first answer", flush=True)
    return True


def _answers(folders: Folders, model: Path, export: Export) -> dict[str, Answer]:
    _seed()
    model.mkdir(parents=True)
    ask = export(model)
    return {image.name: ask(image) for image in SHOWN}


def _seed() -> None:
    """The same random weights in every run; a library that has its own generator is seeded where it is loaded."""
    random.seed(SEED)
    np.random.seed(SEED)
    for name, seed in (("torch", "manual_seed"), ("keras", "utils.set_random_seed")):
        found = sys.modules.get(name)
        for part in seed.split(".") if found else ():
            found = getattr(found, part)
        if callable(found):
            found(SEED)
