"""Pixels of a HEIC, the format of iPhones. The only import of pillow_heif; predictors alone import this."""

import pillow_heif
from PIL import Image

from inference.errors import UnsupportedImage
from inference.formats.header import Header
from inference.image_info import ROTATED

pillow_heif.options.DECODE_THREADS = 0  # none beside the one that asks
pillow_heif.options.THUMBNAILS = pillow_heif.options.DEPTH_IMAGES = pillow_heif.options.AUX_IMAGES = False


def decoded(data: bytes, header: Header) -> Image.Image:
    """The primary image, upright, with 8 bits a channel."""
    file = pillow_heif.open_heif(data, convert_hdr_to_8bit=True)
    size = (header.height, header.width) if header.orientation in ROTATED else (header.width, header.height)
    if file.size != size:
        raise UnsupportedImage("the HEIC has two sizes in its header")
    return file.to_pillow()
