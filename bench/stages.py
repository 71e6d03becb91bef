"""Stage by stage: what each step of a prediction takes, one core, one picture after the other.

`.venv/bin/python -m bench.stages [--repeats 30]`. Pictures are shrunk and normalised to 224 px, whatever the model
takes, so that the claims beside DRAFT_MARGIN (inference/image.py) and normalise (inference/transforms.py) can be
checked; session.run and postprocess are of the model's own size. Files above 1 MB get a third of the repeats.
"""

import argparse
import time
from collections.abc import Callable
from dataclasses import dataclass
from statistics import median

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from bench.common import MODEL, leaf_jpegs, print_table
from inference import image as decoding
from inference.cost import encoded, synthetic_picture
from inference.engine import Engine, LoadedModel, preprocess
from inference.transforms import Size, normalise, stretch, to_planes
from settings import load_settings

SIDE = 224
WANTED = (SIDE, SIDE)
# What DRAFT_MARGIN may be; None decodes every pixel.
MARGINS = (1.0, 2.0, None)
SIZES: dict[str, Size] = {"1 MP": (1152, 864), "9 MP": (4000, 2250), "12 MP": (4000, 3000)}
SCALE, MEAN, STD = 1 / 255, (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
LARGE_BYTES = 1_000_000


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
    model, parameters = engine.model(MODEL), engine.parameters(MODEL, {})
    opened = engine.open(data)
    image = decoding.decode(opened, WANTED)
    pixels = to_planes(stretch(image, WANTED), "RGB")
    outputs = model.session.run(_feed(model, image))
    return [
        Stage("open: the header", lambda: engine.open(data)),
        *(stage for margin in MARGINS for stage in _decoding(data, margin)),
        Stage("normalise, channel by channel", lambda: normalise(pixels, SCALE, MEAN, STD, "NCHW")),
        Stage("normalise, one expression", lambda: _broadcast(pixels)),
        Stage(f"session.run, {model.spec.input.size[0]} px", _run(model, image)),
        Stage("postprocess", lambda: model.task.to_result(outputs, model.spec, opened.info, parameters)),
        Stage("all: Engine.predict", lambda: engine.predict(MODEL, engine.open(data), parameters)),
    ]


def _decoding(data: bytes, margin: float | None) -> list[Stage]:
    decoded = _decode(data, margin)
    name = "full" if margin is None else f"margin {margin}"
    return [Stage(f"decode, {name} -> {decoded.width}x{decoded.height}", lambda: _decode(data, margin)),
            Stage(f"resize, {name}", lambda: stretch(decoded, WANTED))]


def _decode(data: bytes, margin: float | None) -> Image.Image:
    """As the engine decodes, with another DRAFT_MARGIN."""
    served = decoding.DRAFT_MARGIN
    try:
        decoding.DRAFT_MARGIN = margin or served
        return decoding.decode(decoding.open_image(data, 10**9), None if margin is None else WANTED)
    finally:
        decoding.DRAFT_MARGIN = served


def _broadcast(pixels: NDArray[np.uint8]) -> NDArray[np.float32]:
    """The same as `normalise`, the way it is mostly written."""
    batch = (pixels.astype(np.float32) * np.float32(SCALE) - np.array(MEAN, np.float32)) / np.array(STD, np.float32)
    return np.ascontiguousarray(batch.transpose(2, 0, 1)[np.newaxis])


def _feed(model: LoadedModel, image: Image.Image) -> dict[str, NDArray]:
    return {model.spec.input.name: preprocess(image, model.spec.input)}


def _run(model: LoadedModel, image: Image.Image) -> Callable[[], object]:
    feed = _feed(model, image)
    return lambda: model.session.run(feed)


def _report(stages: list[Stage], repeats: int) -> None:
    """The stages take turns, so that a noisy second does not fall on one of them alone."""
    elapsed_ms: dict[str, list[float]] = {stage.name: [] for stage in stages}
    for _ in range(repeats):
        for stage in stages:
            begin = time.perf_counter()
            stage.call()
            elapsed_ms[stage.name].append((time.perf_counter() - begin) * 1000)
    print_table((f"ms of {repeats} runs", "min", "median"),
                [(name, min(times), median(times)) for name, times in elapsed_ms.items()])


def _differences(data: bytes) -> str:
    """How far a margin's 224-px picture is from that of full decoding, in steps of 255."""
    full = np.asarray(stretch(_decode(data, None), WANTED), np.int16)
    found = {margin: np.abs(np.asarray(stretch(_decode(data, margin), WANTED), np.int16) - full).mean()
             for margin in MARGINS if margin is not None}
    return ", ".join(f"margin {margin}: {difference:.2f} of 255" for margin, difference in found.items())


if __name__ == "__main__":
    main()
