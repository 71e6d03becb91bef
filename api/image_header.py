"""An image's header, read while its request is parsed: what can be refused by it is refused before anything runs."""

from api.intake import LOOP_BYTES
from api.services import Services
from inference.errors import TooManyPixels
from inference.image import open_image
from inference.image_info import ImageInfo, decoded_bytes
from inference.spec import Size
from settings import MEGA

JPEG_START = b"\xff\xd8"


def read(service: Services, image: bytes) -> ImageInfo:
    """A small JPEG's header is read at once; what is long, or may be of many pieces, in a thread.

    Raises:
        UnsupportedImage, TooManyPixels.
    """
    size = len(image) if image.startswith(JPEG_START) else LOOP_BYTES + 1
    return service.intake.off_loop(size, lambda: open_image(image, service.settings.max_pixels)).info


def check_room(service: Services, info: ImageInfo, wanted: Size | None) -> None:
    """Raises TooManyPixels for an image that no predictor could ever find room for; a drawing needs its full size."""
    size = decoded_bytes(info, wanted)
    if size > service.settings.decoded_bytes:
        raise TooManyPixels(f"decoding the image takes {size / MEGA:.0f} MB, at most {service.settings.decoded_mb:g} "
                            "are used for all images together (PUNNET_DECODED_MB)")
