"""Stage by stage: what each step of a prediction takes, one core, one picture after the other.

`.venv/bin/python -m bench.stages [--repeats 30]`. Pictures are shrunk and normalised to 224 px, whatever the model
takes, so that the claims beside DRAFT_MARGIN (inference/image.py) and the normalising (inference/transforms.py) can be
checked; session.run and postprocess are of the model's own size. Files above 1 MB get a third of the repeats.
"""

import argparse
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from statistics import median

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from bench.floor import QUICK_MODEL
from bench.page import Table, plain
from bench.pictures import leaf_jpegs
from inference import image as decoding
from inference.engine import Engine
from inference.geometry import Placement, place
from inference.image import DRAFT_MARGIN, Pixels, open_image
from inference.measuring import encoded, synthetic_picture
from inference.model import LoadedModel
from inference.model_toml import Layout
from inference.spec import InputSpec, Size
from inference.transforms import look, to_array
from settings import load_settings

SIDE = 224
# What DRAFT_MARGIN may be; None decodes every pixel.
MARGINS = (1.0, 2.0, 3.0, None)
SIZES: dict[str, Size] = {"1 MP": (1152, 864), "9 MP": (4000, 2250), "12 MP": (4000, 3000)}
MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
WANTED = InputSpec("image", (SIDE, SIDE), mean=MEAN, std=STD)
LARGE_BYTES = 1_000_000
MAX_PIXELS = 10**9


@dataclass(frozen=True)
class Stage:
    """A step and how to run it once."""

    name: str
    call: Callable[[], object]


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m bench.stages")
    parser.add_argument("--repeats", type=int, default=30)
    repeats = parser.parse_args().repeats
    engine = Engine(load_settings().models_dir, 10**9)
    engine.load()
    for name, data in _pictures().items():
        print(f"{name}, {len(data) / 1000:.0f} kB")
        _report(_stages(engine, data), repeats if len(data) < LARGE_BYTES else max(1, repeats // 3))
        print(f"mean difference to full decoding: {_differences(data)}\n")


def _pictures() -> dict[str, bytes]:
    drawn = {name: encoded(synthetic_picture(size), "JPEG", quality=90) for name, size in SIZES.items()}
    return {f"{SIDE} px": leaf_jpegs(SIDE)[0]} | drawn


def _stages(engine: Engine, data: bytes) -> list[Stage]:
    model, parameters = engine.model(QUICK_MODEL), engine.parameters(QUICK_MODEL, {})
    opened = engine.open(data)
    placement = place(opened.info.size, model.spec.input)
    feeds = {model.spec.input.name: _input_of(model, data)}
    outputs = model.session.run(feeds)
    return [
        Stage("open: the header", lambda: engine.open(data)),
        *(stage for margin in MARGINS for stage in _decoding(data, margin)),
        *_normalising(_placed(data, DRAFT_MARGIN)),
        Stage(f"session.run, {placement.input_size[0]} px", lambda: model.session.run(feeds)),
        Stage("postprocess", lambda: model.task.result(
            model.task.read(outputs, model.spec, placement, parameters), model.spec, opened.info.size, parameters)),
        Stage("all: Engine.predict", lambda: engine.predict(QUICK_MODEL, engine.open(data), parameters)),
    ]


def _decoding(data: bytes, margin: float | None) -> list[Stage]:
    decoded = _decode(data, margin)
    name = "full" if margin is None else f"margin {margin}"
    return [Stage(f"decode, {name} -> {decoded.image.width}x{decoded.image.height}", lambda: _decode(data, margin)),
            Stage(f"resize, {name}", lambda: look(decoded, _placement(data), WANTED))]


def _normalising(image: Image.Image) -> list[Stage]:
    """Each layout and datatype as it is served, and the way that it is mostly written."""
    served = [Stage(f"normalise, {layout} {datatype}", partial(to_array, image, _wanted(layout, datatype)))
              for layout in ("NCHW", "NHWC") for datatype in ("FP32", "FP16", "UINT8", "INT8")]
    return [*served, Stage("normalise, NCHW FP32, one expression", lambda: _broadcast(np.asarray(image)))]


def _wanted(layout: Layout, datatype: str) -> InputSpec:
    numbers = {"UINT8": {"scale": 1.0}, "INT8": {"scale": 1.0, "mean": (128.0,) * 3}}
    return InputSpec("image", WANTED.size, datatype, layout=layout,
                     **numbers.get(datatype, {"mean": MEAN, "std": STD}))  # type: ignore[arg-type]


def _placement(data: bytes) -> Placement:
    return place(open_image(data, MAX_PIXELS).info.size, WANTED)


def _decode(data: bytes, margin: float | None) -> Pixels:
    """As the engine decodes, with another DRAFT_MARGIN."""
    served = decoding.DRAFT_MARGIN
    try:
        decoding.DRAFT_MARGIN = margin or served
        return decoding.decode(open_image(data, MAX_PIXELS), None if margin is None else _placement(data).whole_size)
    finally:
        decoding.DRAFT_MARGIN = served


def _placed(data: bytes, margin: float | None) -> Image.Image:
    return look(_decode(data, margin), _placement(data), WANTED)


def _broadcast(pixels: NDArray[np.uint8]) -> NDArray[np.float32]:
    batch = (pixels.astype(np.float32) * np.float32(1 / 255) - np.array(MEAN, np.float32)) / np.array(STD, np.float32)
    return np.ascontiguousarray(batch.transpose(2, 0, 1)[np.newaxis])


def _input_of(model: LoadedModel, data: bytes) -> NDArray:
    wanted = model.spec.input
    opened = open_image(data, MAX_PIXELS)
    placement = place(opened.info.size, wanted)
    return to_array(look(decoding.decode(opened, placement.whole_size), placement, wanted), wanted)


def _report(stages: list[Stage], repeats: int) -> None:
    """The stages take turns, so that a noisy second does not fall on one of them alone."""
    elapsed_ms: dict[str, list[float]] = {stage.name: [] for stage in stages}
    for _ in range(repeats):
        for stage in stages:
            begin = time.perf_counter()
            stage.call()
            elapsed_ms[stage.name].append((time.perf_counter() - begin) * 1000)
    rows = tuple((name, min(times), median(times)) for name, times in elapsed_ms.items())
    print(plain(Table((f"ms of {repeats} runs", "min", "median"), rows)))


def _differences(data: bytes) -> str:
    """How far a margin's 224-px picture is from that of full decoding, in steps of 255."""
    full = np.asarray(_placed(data, None), np.int16)
    found = {margin: np.abs(np.asarray(_placed(data, margin), np.int16) - full) for margin in MARGINS if margin}
    return ", ".join(f"margin {margin}: {steps.mean():.2f} of 255, {(steps <= 1).mean():.1%} within 1"
                     for margin, steps in found.items())


if __name__ == "__main__":
    main()
