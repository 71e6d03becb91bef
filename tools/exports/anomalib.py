"""anomalib: trained for a moment on pictures of coloured noise, exported by its own `to_onnx`.

Answers are those of `Engine.predict` for the image file, normalised and cut at 0.5 as the library does. The backbones
have random weights: model hubs are not asked. pip install anomalib onnx onnxscript
"""

import tempfile
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from anomalib.data import Folder, PredictDataset
from anomalib.engine import Engine
from anomalib.models import Padim, Patchcore
from PIL import Image

from tools.exports.making import Ask, Export
from tools.exports.references import Answer

SIDE = 256
LABEL = "anomaly"
PICTURES, SQUARE = 12, 80


def _pictures(folder: Path) -> Folder:
    """Usual pictures are grey noise; unusual ones have a red square."""
    random = np.random.default_rng(5)
    for kind in ("usual", "unusual"):
        (folder / kind).mkdir(parents=True)
        for number in range(PICTURES):
            pixels = random.normal(128, 12, (SIDE, SIDE, 3)).clip(0, 255).astype(np.uint8)
            if kind == "unusual":
                left, top = random.integers(0, SIDE - SQUARE, 2)
                pixels[top:top + SQUARE, left:left + SQUARE] = (220, 30, 30)
            Image.fromarray(pixels).save(folder / kind / f"{number}.png")
    return Folder(name="noise", root=folder, normal_dir="usual", abnormal_dir="unusual", train_batch_size=4,
                  eval_batch_size=4, num_workers=0)


def _export(build: Callable[[], Any], input_size: tuple[int, int] | None, folder: Path) -> Ask:
    with tempfile.TemporaryDirectory() as scratch:
        root = Path(scratch)
        model, engine = build(), _engine(root)
        engine.fit(model, datamodule=_pictures(root / "pictures"))
        made = model.to_onnx(root / "export", input_size=input_size)
        for file in made.parent.iterdir():
            file.rename(folder / file.name)
    return partial(_ask, model)


def _engine(root: Path) -> Engine:
    return Engine(max_epochs=1, accelerator="cpu", devices=1, default_root_dir=root, logger=False,
                  enable_progress_bar=False)


def _ask(model: Any, path: Path) -> Answer:
    with tempfile.TemporaryDirectory() as scratch, torch.no_grad():
        [batch] = _engine(Path(scratch)).predict(model, dataset=PredictDataset(path))
    with Image.open(path) as image:
        width, height = image.size
    scores = torch.nn.functional.interpolate(batch.anomaly_map.reshape(1, 1, *batch.anomaly_map.shape[-2:]),
                                             (height, width), mode="bilinear")
    mask = scores[0, 0].numpy() > 0.5
    found = bool(mask.any())
    return Answer("image-segmentation", labels=(LABEL,) * found, scores=np.array([float(batch.pred_score)] * found),
                  masks=mask[np.newaxis] if found else np.empty((0, height, width), bool))


EXPORTS: dict[str, Export] = {
    "padim": partial(_export, lambda: Padim(backbone="resnet18", layers=["layer1", "layer2"], pre_trained=False),
                     (SIDE, SIDE)),
    "padim-any-size": partial(_export, lambda: Padim(backbone="resnet18", layers=["layer1"], pre_trained=False), None),
    "patchcore": partial(_export, lambda: Patchcore(backbone="resnet18", layers=["layer2"], pre_trained=False,
                                                    coreset_sampling_ratio=0.05), (SIDE, SIDE)),
}
