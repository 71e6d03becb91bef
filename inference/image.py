"""Image bytes -> facts from the header, then upright RGB pixels with the least work."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from PIL import Image

from inference.bounded_reads import nothing
from inference.errors import InferenceError, TooManyPixels, UnsupportedImage
from inference.image_info import ImageInfo, jpeg_scale
from inference.library_texts import one_line
from inference.opening import Load, open_file
from inference.tiff_pixels import BIG_ENDIAN, BITS, SAMPLE_FORMAT, UNSIGNED, is_inverted

MAX_SIDE = 100_000  # pixels; rows and columns cost memory of their own, whatever is in them
TURNS = {2: Image.Transpose.FLIP_LEFT_RIGHT, 3: Image.Transpose.ROTATE_180, 4: Image.Transpose.FLIP_TOP_BOTTOM,
         5: Image.Transpose.TRANSPOSE, 6: Image.Transpose.ROTATE_270, 7: Image.Transpose.TRANSVERSE,
         8: Image.Transpose.ROTATE_90}
RIGHT_COMES_LEFT, BOTTOM_COMES_UP = (2, 3, 6, 7), (3, 4, 7, 8)  # those whose left or top is a stored far side


@dataclass(frozen=True)
class Pixels:
    """A decoded upright RGB image, at `scale` times its full size: 1, or 1/2, 1/4, 1/8 of a JPEG.

    A JPEG's last row and column may stand for less than a whole pixel of that scale, so its size does not tell the
    scale; where it was turned, they are the first: the image begins at `origin`, in fractions of a pixel.
    """

    image: Image.Image
    scale: float = 1.0
    origin: tuple[float, float] = (0.0, 0.0)


@dataclass(frozen=True)
class OpenedImage:
    """An image whose header was read and whose pixels were not. It can be decoded once, in any thread."""

    data: bytes
    info: ImageInfo
    load: Load


def open_image(data: bytes, max_pixels: int) -> OpenedImage:
    """Read an image's header; no pixel is decoded.

    Raises:
        UnsupportedImage: not an image, or of a format that is not served.
        TooManyPixels: more than `max_pixels` by its header, or a side that is too long.
    """
    header, load = open_file(data)
    info = ImageInfo.of(header, len(data))
    _check_size(info, max_pixels)
    return OpenedImage(data, info, load)


def decode(opened: OpenedImage, wanted: tuple[int, int] | None, check: Callable[[], None] = nothing,
           canvas: Image.Image | None = None) -> Pixels:
    """Decode to an upright RGB image, at a reduced scale where the format can and `wanted` allows.

    Args:
        opened: the image; it is used up.
        wanted: (width, height) in pixels that the whole image will be shrunk to, or None for full size.
        check: is called between two pieces of the file, and may end the decoding by raising an InferenceError.
        canvas: an RGB image that is no smaller. Its upper left corner gets the pixels, and `Pixels.image` is the
            canvas: a copy of a large image costs as much as half of its decoding.

    Raises:
        UnsupportedImage: truncated or damaged. What `check` raises.
    """
    info, scale = opened.info, jpeg_scale(opened.info, wanted)
    try:
        image, orientation = opened.load(scale, check, canvas)
        upright = _turned(_to_rgb(image), orientation)
        return _pixels(upright if canvas is None else _onto(canvas, upright), info, orientation, 1 / scale)
    except (MemoryError, InferenceError):
        raise  # the machine's trouble, not the image's; or told already
    except Exception as error:  # Pillow's decoders raise OSError, SyntaxError, ValueError, struct.error, …
        reason = one_line(error) or type(error).__name__
        raise UnsupportedImage(f"the {info.format} image cannot be decoded: {reason}") from error


def _check_size(info: ImageInfo, max_pixels: int) -> None:
    if info.width * info.height > max_pixels:
        raise TooManyPixels(f"{info.width}x{info.height} is {info.megapixels:.1f} megapixels, "
                            f"at most {max_pixels / 1e6:g} are allowed (PUNNET_MAX_MEGAPIXELS)")
    if max(info.size) > MAX_SIDE:
        raise TooManyPixels(f"{info.width}x{info.height} has a side of more than {MAX_SIDE} pixels")
    if min(info.size) < 1:
        raise UnsupportedImage(f"the {info.format} has no pixels: its header says {info.width}x{info.height}")


def _pixels(image: Image.Image, info: ImageInfo, orientation: int, scale: float) -> Pixels:
    """What the sender's file told beside its pixels stays behind: a drawing would be encoded with it."""
    image.info = {}
    left = image.width - info.width * scale if orientation in RIGHT_COMES_LEFT else 0.0
    top = image.height - info.height * scale if orientation in BOTTOM_COMES_UP else 0.0
    return Pixels(image, scale, (left, top))


def _turned(image: Image.Image, orientation: int) -> Image.Image:
    return image.transpose(TURNS[orientation]) if orientation in TURNS else image


def _onto(canvas: Image.Image, image: Image.Image) -> Image.Image:
    if image is not canvas:
        canvas.paste(image)
    return canvas


def _to_rgb(image: Image.Image) -> Image.Image:
    if image.mode in ("I", "F"):
        image = _grey_of_wide(image)
    elif image.mode.startswith("I;16"):
        image = _grey_of_16_bits(image)
    return image if image.mode == "RGB" else image.convert("RGB")


def _grey_of_16_bits(image: Any) -> Image.Image:
    """convert() would clip everything above 255 to white. A TIFF of 12 bits has them in 16."""
    values = 1 << getattr(image, "tag_v2", {}).get(BITS, (16,))[0]
    share, least = (-256 / values, (values - 1) * 256 / values) if is_inverted(image) else (256 / values, 0.0)
    return image.convert("I").point(lambda value: value * share + least).convert("L")


def _grey_of_wide(image: Any) -> Image.Image:
    from inference.wide_pixels import to_grey  # numpy, which web processes do without

    tags = image.tag_v2  # only a TIFF's pixels are so wide
    is_unsigned = image.mode == "I" and tags.get(SAMPLE_FORMAT, (UNSIGNED,))[0] == UNSIGNED
    # Pillow takes what libtiff has unpacked to be in the file's byte order, and it is in the machine's.
    swapped = tags.prefix == BIG_ENDIAN and image.info["compression"] != "raw"
    form = (">" if swapped else "<") + ("f4" if image.mode == "F" else "u4" if is_unsigned else "i4")
    return to_grey(image, form, is_inverted(image))
