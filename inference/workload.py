"""What a prediction consists of, from the image's header: the parts whose times `cost.py` learns."""

from dataclasses import dataclass

from pydantic import BaseModel

from inference.cost import Amounts, Work
from inference.image import JPEG_FORMATS, ImageInfo, jpeg_scale
from inference.model import LoadedModel, Prediction, warm_up_size
from inference.spec import Size

# Of a progressive JPEG, such as the one that is measured; each further one is another pass.
USUAL_SCANS = 10
RESIZING_MS = 3.0  # a megapixel that was decoded at full size, until it was seen
UNMEASURED_LIKE = {"decode": "decode PNG"}  # the slowest of the common formats


@dataclass(frozen=True)
class Workload:
    """One prediction: decoding the image, and the model's own work on it."""

    decoding: Work
    running: Work

    @property
    def works(self) -> tuple[Work, Work]:
        return self.decoding, self.running

    def spent_ms(self, prediction: Prediction) -> tuple[float, float]:
        """How long each part really kept a core."""
        decode_ms = prediction.core_ms["decode"]
        return decode_ms, sum(prediction.core_ms.values()) - decode_ms


def workload(model: LoadedModel, info: ImageInfo, parameters: BaseModel) -> Workload:
    """What this model will have to do for an image with these parameters."""
    wanted = model.decoded_size(info.size, parameters)
    resized = 0.0 if wanted is None else info.megapixels / jpeg_scale(info, wanted) ** 2
    return Workload(decoding(info, wanted), Work(running_part(model), (
        model.runs(info.size, parameters), resized, info.megapixels)))


def first_guess(model: LoadedModel) -> list[tuple[Amounts, float]]:
    """What running a model will take, from its warm-up: as many runs as there are, and resizing what was decoded."""
    width, height = warm_up_size(model.spec)
    own = width * height / 1e6
    guesses: list[tuple[Amounts, float]] = [((runs, own, own), runs * model.run_ms) for runs in (1.0, 8.0, 64.0)]
    return guesses + [((1.0, resized, resized), model.run_ms + resized * RESIZING_MS) for resized in (1.0, 12.0, 48.0)]


def running_part(model: LoadedModel) -> str:
    return f"run {model.spec.name} {model.mark}"


def decoding(info: ImageInfo, wanted: Size | None) -> Work:
    """Decoding for a wanted size: a fixed part, its passes over the pixels, its bytes."""
    passes = max(1.0, info.scans / USUAL_SCANS) if info.progressive else 1.0
    return Work(_decoding_part(info, wanted), (1.0, info.megapixels * passes, info.size_bytes / 1e6))


def _decoding_part(info: ImageInfo, wanted: Size | None) -> str:
    """By format, mode where it is not RGB, and for JPEG the scale at which libjpeg decodes."""
    words = ["decode", info.format if info.format not in JPEG_FORMATS else "JPEG"]
    words += [info.mode] if info.mode != "RGB" else []
    if words[1] == "JPEG":
        words.append("progressive" if info.progressive else f"1/{jpeg_scale(info, wanted)}")
    return " ".join(words)
