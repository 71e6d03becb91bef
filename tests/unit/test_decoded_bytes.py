"""The memory that decoding takes, predicted from the header and measured in a process of its own."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from inference.image_info import ImageInfo, decoded_bytes
from tests.unit.conftest import in_child
from tests.unit.images import encode, oriented

SIZE = (3000, 2000)
PIXELS = SIZE[0] * SIZE[1]
FIXED_BYTES = 1_500_000  # whatever the image's size: libjpeg's and Pillow's buffers
GIVE_BACK = {"MALLOC_MMAP_THRESHOLD_": "65536"}  # or malloc keeps what the image before left
MEASURE = """
import json, os, pathlib, sys
from inference.image import decode, open_image
from inference.image_info import decoded_bytes

def resident(name):
    return 1024 * next(int(line.split()[1]) for line in open("/proc/self/status") if line.startswith(name))

for path in sorted(pathlib.Path(os.environ["FOLDER"]).iterdir()):
    for wanted in (None, (224, 224)):
        opened = open_image(path.read_bytes(), 10**9)
        pathlib.Path("/proc/self/clear_refs").write_text("5")  # forget the peak
        before = resident("VmRSS")
        decode(opened, wanted)
        print(json.dumps([path.name, decoded_bytes(opened.info, wanted), resident("VmHWM") - before]))
"""


def drawn(mode: str) -> Image.Image:
    blocks = np.random.default_rng(0).integers(0, 255, (20, 30, 3), np.uint8)
    rgb = Image.fromarray(blocks).resize(SIZE, Image.Resampling.NEAREST)
    return Image.fromarray(np.asarray(rgb.convert("L"), np.uint16) * 257) if mode == "I;16" else rgb.convert(mode)


@pytest.mark.skipif(not Path("/proc/self/clear_refs").exists(), reason="the kernel does not tell peaks")
def test_decoding_takes_what_is_predicted(tmp_path: Path) -> None:
    files: dict[str, tuple[str, str, dict[str, Any]]] = {
        "png rgb": ("RGB", "PNG", {}), "png rgba": ("RGBA", "PNG", {}), "png palette": ("P", "PNG", {}),
        "png grey": ("L", "PNG", {}), "png grey 16": ("I;16", "PNG", {}), "gif": ("P", "GIF", {}),
        "jpeg": ("RGB", "JPEG", {}), "jpeg cmyk": ("CMYK", "JPEG", {}), "jpeg grey": ("L", "JPEG", {}),
        "jpeg progressive": ("RGB", "JPEG", {"progressive": True, "subsampling": 0}),
        "jpeg progressive cmyk": ("CMYK", "JPEG", {"progressive": True}), "webp": ("RGB", "WEBP", {"method": 0}),
        "avif": ("RGB", "AVIF", {"speed": 10}),
        "tiff in one strip": ("RGB", "TIFF", {"compression": "tiff_lzw", "tiffinfo": {278: SIZE[1]}})}
    for name, (mode, file_format, options) in files.items():
        (tmp_path / name).write_bytes(encode(drawn(mode), file_format, **options))
    for file_format in ("PNG", "JPEG", "TIFF"):
        (tmp_path / f"turned {file_format}").write_bytes(oriented(drawn("RGB"), 6, file_format))
    told = [json.loads(line) for line in in_child(MEASURE, FOLDER=str(tmp_path), **GIVE_BACK).splitlines()]
    assert len(told) == 2 * (len(files) + 3)
    for name, predicted, measured in told:
        assert 0.75 * predicted < measured < 1.05 * predicted + FIXED_BYTES, (name, predicted / PIXELS,
                                                                              measured / PIXELS)


@pytest.mark.parametrize(("info", "wanted", "bytes_a_pixel"), [
    (ImageInfo(8000, 6000, "JPEG"), (224, 224), 4 / 64), (ImageInfo(8000, 6000, "JPEG"), None, 4),
    (ImageInfo(8000, 6000, "JPEG", rotated=True, turned=True), (224, 224), 8 / 64),
    (ImageInfo(8000, 6000, "JPEG", progressive=True, scans=10), (224, 224), 6 + 4 / 64),
    (ImageInfo(8000, 6000, "JPEG", scans=3), (224, 224), 6 + 4 / 64),
    (ImageInfo(8000, 6000, "JPEG", mode="CMYK"), None, 8),
    (ImageInfo(8000, 6000, "JPEG", mode="L"), (224, 224), 5 / 64),
    (ImageInfo(8000, 6000, "PNG"), (224, 224), 4), (ImageInfo(8000, 6000, "PNG", mode="RGBA"), None, 8),
    (ImageInfo(8000, 6000, "PNG", mode="P"), None, 5), (ImageInfo(8000, 6000, "PNG", mode="I;16"), None, 10),
    (ImageInfo(8000, 6000, "WEBP"), None, 16),
    (ImageInfo(8000, 6000, "AVIF"), None, 10), (ImageInfo(8000, 6000, "HEIC", turned=True), None, 9),
    (ImageInfo(8000, 6000, "TIFF", mode="CMYK"), None, 8),
])
def test_the_memory_of_decoding_is_told_by_the_header(info: ImageInfo, wanted: tuple[int, int] | None,
                                                      bytes_a_pixel: float) -> None:
    assert decoded_bytes(info, wanted) == pytest.approx(bytes_a_pixel * 48e6, rel=1e-6)
