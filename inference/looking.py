"""Runs a model on test images, before it is known what its answers mean."""

import time
from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps

from inference.calibration import synthetic_image
from inference.call_off import CallOff
from inference.evidence import SHIFT, Evidence, Shown
from inference.geometry import place
from inference.hooks import Hooks
from inference.image import Pixels
from inference.model import LoadedModel
from inference.model_info import ModelInfo
from inference.session import Session
from inference.spec import InputSpec, ModelSpec, OutputSpec
from inference.tasks import TASKS

GREY = (128, 128, 128)
ENOUGH_S = 0.1  # of the processor, however busy it is else: after so long no further test image is shown


def look(session: Session, hooks: Hooks, wanted: InputSpec, constants: Mapping[str, NDArray[np.generic]]) -> Evidence:
    """The answers to an image like a photograph of full contrast, the same one shifted, and plain grey, of the input's
    own size.

    Raises:
        InferenceFailed: the model cannot run on the first of them.
    """
    spec = ModelSpec("", "", "tensor", (), wanted, OutputSpec({}))
    model = LoadedModel(ModelInfo(spec, "", session.interface.inputs, session.interface.outputs), session,
                        TASKS["tensor"], hooks, constants)
    began, answers = time.process_time(), list[Mapping[str, NDArray]]()
    images = _images(wanted.size or (256, 256))
    for image in images:
        if answers and time.process_time() - began > ENOUGH_S:
            break
        answers.append(session.run(model.feeds(Pixels(image), [place(image.size, wanted)]), CallOff()))
    first, graph = np.asarray(images[0]), session.interface.graph
    return {name: Shown([answer[name] for answer in answers], graph.maker(name), first, graph.quantum(name))
            for name in answers[0] if isinstance(answers[0][name], np.ndarray)}


def _images(size: tuple[int, int]) -> list[Image.Image]:
    (width, height), (across, down) = size, SHIFT
    larger = ImageOps.autocontrast(synthetic_image((width + across, height + down)))
    return [larger.crop((0, 0, *size)), larger.crop((across, down, width + across, height + down)),
            Image.new("RGB", size, GREY)]
