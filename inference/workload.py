"""What a prediction consists of, from the image's header: the parts whose times `cost.py` learns."""

from collections.abc import Mapping
from dataclasses import dataclass

from pydantic import BaseModel

from inference.cost import Amounts, Work
from inference.formats.jpeg import JPEG_FORMATS
from inference.image_info import ImageInfo, jpeg_scale
from inference.model_info import ModelInfo, warm_up_size
from inference.spec import Size

USUAL_SCANS = 10  # of a progressive JPEG, such as the one that is measured; each further scan is another pass
USUAL_PIECES = 100  # of a TIFF; each strip or tile has a cost of its own
# More bytes than its pixels would have unpacked: what else lies in such a file is no word on honest ones.
UNPACKED_BYTES, SPARE_BYTES = 4, 1 << 16
RESIZING_MS = 3.0  # a megapixel that was decoded at full size, until one was seen
UNMEASURED_LIKE = {"decode": "decode PNG", "draw": "decode PNG"}  # the slowest of the common formats


@dataclass(frozen=True)
class Workload:
    """One prediction has two parts: decoding the image, and the model's own work on it."""

    decoding: Work
    running: Work

    @property
    def works(self) -> tuple[Work, Work]:
        return self.decoding, self.running

    def samples(self, core_ms: Mapping[str, float]) -> list[tuple[str, Amounts, float]]:
        """What the parts took, by the milliseconds that each phase of a prediction kept a core busy."""
        decode_ms = core_ms["decode"]
        spent_ms = decode_ms, sum(core_ms.values()) - decode_ms
        return [(work.part, work.amounts, ms) for work, ms in zip(self.works, spent_ms, strict=True)]


def workload(info: ModelInfo, image: ImageInfo, parameters: BaseModel) -> Workload:
    """What this model will have to do for an image with these parameters."""
    wanted = info.decoded_size(image.size, parameters)
    resized = 0.0 if wanted is None else image.megapixels / jpeg_scale(image, wanted) ** 2
    running = Work(running_part(info), (info.runs(image.size, parameters), resized, image.megapixels))
    return Workload(decoding(image, wanted), running)


def first_guess(info: ModelInfo) -> list[tuple[Amounts, float]]:
    """What running a model will take, from its warm-up: as many runs as there are, and resizing what was decoded."""
    width, height = warm_up_size(info.spec)
    own = width * height / 1e6
    guesses: list[tuple[Amounts, float]] = [((runs, own, own), runs * info.run_ms) for runs in (1.0, 8.0, 64.0)]
    return guesses + [((1.0, resized, resized), info.run_ms + resized * RESIZING_MS) for resized in (1.0, 12.0, 48.0)]


def running_part(info: ModelInfo) -> str:
    return f"run {info.spec.name} {info.fingerprint}"


def decoding(image: ImageInfo, wanted: Size | None) -> Work:
    """Decoding for a wanted size is counted in images, in passes over megapixels, and in megabytes; an image of many
    pieces counts as several."""
    passes = max(1.0, image.scans / USUAL_SCANS) if image.progressive else 1.0
    images = max(1.0, image.pieces / USUAL_PIECES)
    return Work(_decoding_part(image, wanted), (images, image.megapixels * passes, image.size_bytes / 1e6))


def drawing(image: ImageInfo, media_type: str) -> Work:
    """Drawing a result on its image: to decode it, to draw, and to encode it."""
    return Work(f"draw {media_type.rpartition('/')[2]} {image.format}",
                (1.0, image.megapixels, image.size_bytes / 1e6))


def _decoding_part(image: ImageInfo, wanted: Size | None) -> str:
    """A name made of the format, of the mode where it is not RGB, of an unusual way of coding, and for JPEG of the
    scale at which libjpeg decodes."""
    words = ["decode", image.format if image.format not in JPEG_FORMATS else "JPEG"]
    words += [image.mode] if image.mode != "RGB" else []
    if words[1] == "JPEG":
        words.append("progressive" if image.progressive else f"1/{jpeg_scale(image, wanted)}")
    words += [image.coding] if image.coding else []
    words += ["padded"] if _is_padded(image) else []
    return " ".join(words)


def _is_padded(image: ImageInfo) -> bool:
    return image.size_bytes > UNPACKED_BYTES * image.width * image.height + SPARE_BYTES
