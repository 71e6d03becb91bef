"""What stands for an image, and for what is computed of it."""

import hashlib

from pydantic import BaseModel

from api.intake import Intake
from inference.model_info import ModelInfo
from jobs import computation


def of_image(intake: Intake, image: bytes) -> str:
    return intake.off_loop(len(image), lambda: hashlib.sha256(image).hexdigest())


def of_computation(intake: Intake, model: ModelInfo, parameters: BaseModel, image: bytes) -> str:
    """Parameters that are given as they are by default make no other computation."""
    return computation.digest(model.fingerprint, parameters.model_dump(), of_image(intake, image))
