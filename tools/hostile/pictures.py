"""Images: as every encoder of Pillow and pillow-heif writes them, cut off, and with bytes changed."""

import functools
import io
import random
from collections.abc import Iterator

import pillow_heif
from PIL import Image

from settings import ROOT
from tools.hostile.inputs import Input, upload

MODES = ("1", "L", "LA", "P", "PA", "RGB", "RGBA", "RGBX", "CMYK", "YCbCr", "HSV", "LAB", "I", "F", "I;16", "La",
         "RGBa")
SIZES = ((1, 1), (1, 300), (17, 13), (160, 120))
OPTIONS: dict[str, tuple[dict[str, object], ...]] = {
    "JPEG": ({"progressive": True}, {"quality": 1}, {"subsampling": 0, "quality": 100}, {"restart_marker_blocks": 1}),
    "PNG": ({"compress_level": 0}, {"bits": 1}),
    "TIFF": tuple({"compression": name} for name in ("tiff_lzw", "tiff_deflate", "packbits", "group4", "jpeg", "zstd")),
    "WEBP": ({"lossless": True}, {"method": 6}),
    "GIF": ({"interlace": 1},),
    "AVIF": ({"speed": 10, "quality": 10},),
}
NEEDED_MODES = {"group4": ("1",), "jpeg": ("L", "RGB", "CMYK", "YCbCr")}
EXTREMES = (b"\x00", b"\x01", b"\x7f", b"\x80", b"\xff", b"\x00\x00", b"\xff\xff", b"\x00\x00\x00\x00",
            b"\x7f\xff\xff\xff", b"\xff\xff\xff\xff", b"\xff\xff\xff\x7f", b"\x80\x00\x00\x00", b"\x00\x00\x01\x00" * 2)
HEAD_BYTES = 600  # most header fields lie before
PICTURE_TYPES = ("*/*", "*/*", "*/*", "image/png", "image/jpeg", "image/webp")


def written(numbers: random.Random) -> Iterator[Input]:
    """Whole images, of each format, mode, size and option that can be written."""
    for name, image in _shuffled(numbers):
        yield upload("written", name, image)
        yield upload("written, drawing asked for", name, image, "image/png")


def truncated(numbers: random.Random) -> Iterator[Input]:
    """Each written image, cut off at every tenth, and its last bytes."""
    for name, image in _shuffled(numbers):
        for tenth in range(10):
            yield upload("truncated", f"{name}, {tenth} tenths", image[:len(image) * tenth // 10])
        yield upload("truncated", f"{name}, without its last 2 bytes", image[:-2])


def mutated(numbers: random.Random) -> Iterator[Input]:
    """Written images with some bytes of the head, or of anywhere, replaced, cut out, or doubled. Has no end."""
    files = written_files()
    while True:
        name, image = numbers.choice(files)
        changed = bytearray(image)
        for _ in range(numbers.choice((1, 1, 1, 2, 3, 8))):
            _change(changed, numbers)
        yield upload("mutated", name, bytes(changed), numbers.choice(PICTURE_TYPES))


def _change(image: bytearray, numbers: random.Random) -> None:
    end = len(image) if numbers.random() < 0.3 else min(len(image), HEAD_BYTES)
    at, extreme = numbers.randrange(end + 1), numbers.choice(EXTREMES)
    match numbers.randrange(5):
        case 0 | 1:
            image[at:at + len(extreme)] = extreme
        case 2:
            image[at:at + numbers.randrange(1, 40)] = b""
        case 3:
            image[at:at] = image[at:at + numbers.randrange(1, 400)]
        case _:
            image[at:at + 1] = bytes([numbers.randrange(256)])


def _shuffled(numbers: random.Random) -> list[tuple[str, bytes]]:
    return numbers.sample(written_files(), len(written_files()))


@functools.cache
def written_files() -> tuple[tuple[str, bytes], ...]:
    pillow_heif.register_heif_opener()
    Image.init()
    with Image.open(ROOT / "samples" / "leaf.jpg") as leaf:
        leaf.load()
    return tuple(_written(leaf.convert("RGB")))


def _written(photograph: Image.Image) -> Iterator[tuple[str, bytes]]:
    for file_format in sorted(Image.SAVE):
        for mode in MODES:
            for size in SIZES:
                for options in ({}, *OPTIONS.get(file_format, ())):
                    if _fits(mode, options) and (
                            image := _encoded(photograph, file_format, mode, size, options)) is not None:
                        yield f"{file_format} {mode} {size[0]}x{size[1]} {options or ''}".strip(), image


def _fits(mode: str, options: dict[str, object]) -> bool:
    """Whether the encoder takes the mode; libtiff complains on our stderr where it does not."""
    return mode in NEEDED_MODES.get(str(options.get("compression")), MODES)


def _encoded(photograph: Image.Image, file_format: str, mode: str, size: tuple[int, int],
             options: dict[str, object]) -> bytes | None:
    """None where Pillow cannot write this."""
    file = io.BytesIO()
    try:
        _converted(photograph.resize(size), mode).save(file, file_format, **options)
    except Exception:  # each encoder has errors of its own
        return None
    return file.getvalue()


def _converted(image: Image.Image, mode: str) -> Image.Image:
    """By way of a mode that knows the wanted one."""
    by_way = {"PA": "P", "La": "LA", "RGBa": "RGBA", "I;16": "I"}
    return image.convert(by_way[mode]).convert(mode) if mode in by_way else image.convert(mode)
