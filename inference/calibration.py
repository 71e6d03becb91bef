"""What decoding takes on this machine, measured on a synthetic image before the first real one comes."""

import io
import time
from collections.abc import Callable, Iterator

import numpy as np
from PIL import Image

from inference.cost import Amounts
from inference.image import decode, open_image
from inference.image_info import DRAFT_MARGIN
from inference.spec import Size
from inference.workload import decoding

# Side of the image that decoding is measured on: 0.6 megapixels, 130 ms for all ways below.
PROBE_SIDE = 768
REPEATS = 3
ENOUGH_MS = 1000
SAVED_AS = {"JPEG": {"quality": 90}, "PNG": {"compress_level": 1}, "WEBP": {"quality": 85, "method": 0}}
# Encoding a HEIC takes a second, so what decoding one takes is told by what a PNG takes.
HEIC_PARTS, HEIC_TIMES, HEIC_MB = ("decode HEIC", "decode HEIC grid"), 2.0, 0.2  # megabytes of a megapixel
JPEG_SCALES = (1, 2, 4, 8)
Measured = tuple[str, list[tuple[Amounts, float]]]


def measure_decoding() -> Iterator[Measured]:
    """Decode a synthetic image in each way this machine will meet: the part of the work, with amounts and
    milliseconds, those of other sizes in proportion."""
    image = synthetic_image((PROBE_SIDE, PROBE_SIDE))
    for file_format, options in SAVED_AS.items():
        data = encoded(image, file_format, **options)
        for scale in JPEG_SCALES if file_format == "JPEG" else (8,):
            measured = _measured(data, int(PROBE_SIDE / (DRAFT_MARGIN * scale)))
            yield measured
            yield from _like_heic(measured) if file_format == "PNG" else ()
    yield _measured(encoded(image, "JPEG", quality=90, progressive=True), PROBE_SIDE // 8)


def synthetic_image(size: Size) -> Image.Image:
    """An image with the rough statistics of a photograph: noise at several scales, stronger at the coarse ones."""
    random = np.random.default_rng(0)
    total = np.zeros((size[1], size[0], 3), np.float32)
    for cells, amplitude in ((4, 60), (32, 30), (size[0] // 4, 15), (size[0], 5)):
        noise = Image.fromarray(random.integers(0, 255, (cells, cells, 3), np.uint8))
        total += (np.asarray(noise.resize(size, Image.Resampling.BILINEAR), np.float32) / 127.5 - 1) * amplitude
    return Image.fromarray((total + 128).clip(0, 255).astype(np.uint8))


def encoded(image: Image.Image, file_format: str, **options: object) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, file_format, **options)
    return buffer.getvalue()


def fastest_ms(call: Callable[[], object], repeats: int = REPEATS, clock: Callable[[], float] = time.perf_counter,
               ) -> float:
    """The least time of some runs: what it takes when nobody else uses the core. A slow call runs once."""
    times = [_elapsed_ms(call, clock)]
    while len(times) < repeats and sum(times) < ENOUGH_MS:
        times.append(_elapsed_ms(call, clock))
    return min(times)


def _elapsed_ms(call: Callable[[], object], clock: Callable[[], float]) -> float:
    start = clock()
    call()
    return (clock() - start) * 1000


def _like_heic(png: Measured) -> Iterator[Measured]:
    _, [(_, ms), *_] = png
    megapixels = PROBE_SIDE**2 / 1e6
    for part in HEIC_PARTS:
        yield part, in_proportion((1.0, megapixels, HEIC_MB * megapixels), HEIC_TIMES * ms)


def _measured(data: bytes, side: int) -> Measured:
    info, wanted = open_image(data, PROBE_SIDE**2).info, (side, side)
    ms = fastest_ms(lambda: decode(open_image(data, PROBE_SIDE**2), wanted), clock=time.thread_time)
    work = decoding(info, wanted)
    return work.part, in_proportion(work.amounts, ms)


def in_proportion(amounts: Amounts, ms: float) -> list[tuple[Amounts, float]]:
    """Milliseconds for these amounts, and for as many times the pixels and bytes."""
    once, *others = amounts
    return [((once, *(amount * times for amount in others)), ms * times) for times in (1, 4, 16, 64)]
