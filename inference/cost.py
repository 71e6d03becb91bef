"""What a prediction will take, from header facts and what this machine measured at warm-up.

`predict_ms` is pure. The model that learns from finished predictions takes its place: the same header facts in,
milliseconds out, with coefficients that move.
"""

import io
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np
from PIL import Image

from inference.image import DRAFT_MARGIN, JPEG_FORMATS, ImageInfo, decode, jpeg_scale, open_image
from inference.spec import Size

# Side of the picture that decoding is measured on: 0.6 megapixels, 130 ms for all rows below.
PROBE_SIDE = 768
REPEATS = 3
ENOUGH_MS = 1000
PROGRESSIVE = "JPEG progressive"
# Of a progressive JPEG, such as the one that is measured; each further one is another pass.
USUAL_SCANS = 10
# Formats that are not measured cost as much as PNG, the slowest of the common ones.
UNMEASURED_LIKE = "PNG"


@dataclass(frozen=True)
class DecodeCost:
    """Milliseconds per megapixel of the whole image to decode it and shrink it to a model's input."""

    ms_per_megapixel: Mapping[str, float]

    def predict_ms(self, info: ImageInfo, wanted: Size | None) -> float:
        rate = self.ms_per_megapixel.get(decode_key(info, wanted), self.ms_per_megapixel[UNMEASURED_LIKE])
        return rate * info.megapixels * max(1.0, info.scans / USUAL_SCANS)


def decode_key(info: ImageInfo, wanted: Size | None) -> str:
    """Which measured row an image falls in: its format, for JPEG also the scale libjpeg will decode at."""
    if info.format not in JPEG_FORMATS:
        return info.format
    return PROGRESSIVE if info.progressive else f"JPEG 1/{jpeg_scale(info, wanted)}"


def measure_decoding() -> DecodeCost:
    """Decode a synthetic picture in each way this machine will meet; the least of a few runs each."""
    picture = synthetic_picture((PROBE_SIDE, PROBE_SIDE))
    jpeg = encoded(picture, "JPEG", quality=90)
    rates = {f"JPEG 1/{scale}": _rate(jpeg, int(PROBE_SIDE / (DRAFT_MARGIN * scale))) for scale in (1, 2, 4, 8)}
    rates[PROGRESSIVE] = _rate(encoded(picture, "JPEG", quality=90, progressive=True), PROBE_SIDE // 8)
    rates["PNG"] = _rate(encoded(picture, "PNG", compress_level=1), PROBE_SIDE // 8)
    rates["WEBP"] = _rate(encoded(picture, "WEBP", quality=85, method=0), PROBE_SIDE // 8)
    return DecodeCost(rates)


def synthetic_picture(size: Size) -> Image.Image:
    """A picture with the rough statistics of a photograph: noise at several scales, stronger at the coarse ones."""
    random = np.random.default_rng(0)
    total = np.zeros((size[1], size[0], 3), np.float32)
    for cells, amplitude in ((4, 60), (32, 30), (size[0] // 4, 15), (size[0], 5)):
        noise = Image.fromarray(random.integers(0, 255, (cells, cells, 3), np.uint8))
        total += (np.asarray(noise.resize(size, Image.Resampling.BILINEAR), np.float32) / 127.5 - 1) * amplitude
    return Image.fromarray((total + 128).clip(0, 255).astype(np.uint8))


def fastest_ms(call: Callable[[], object], repeats: int = REPEATS) -> float:
    """The least wall time of some runs: what it takes when nobody else uses the core. A slow call runs once."""
    times = [_elapsed_ms(call)]
    while len(times) < repeats and sum(times) < ENOUGH_MS:
        times.append(_elapsed_ms(call))
    return min(times)


def _elapsed_ms(call: Callable[[], object]) -> float:
    start = time.perf_counter()
    call()
    return (time.perf_counter() - start) * 1000


def encoded(picture: Image.Image, file_format: str, **options: object) -> bytes:
    buffer = io.BytesIO()
    picture.save(buffer, file_format, **options)
    return buffer.getvalue()


def _rate(data: bytes, side: int) -> float:
    wanted = (side, side)
    elapsed = fastest_ms(lambda: _shrunk(data, wanted))
    return elapsed / (PROBE_SIDE**2 / 1e6)


def _shrunk(data: bytes, wanted: Size) -> Image.Image:
    return decode(open_image(data, PROBE_SIDE**2), wanted).image.resize(wanted, Image.Resampling.BILINEAR)
