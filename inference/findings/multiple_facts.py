"""Finds out which sides a model takes whose size is open: networks that halve an image again and again take multiples
alone, and nothing in their files tells of which number."""

import contextlib
from collections.abc import Callable, Mapping
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from inference.errors import InferenceError
from inference.findings.facts import Facts
from inference.findings.input_facts import input_spec
from inference.findings.sources import TEST_IMAGE, Claims
from inference.findings.sources.onnx_inputs import ImageInput
from inference.model_toml import Layout
from inference.spec import InputSpec, Size

ODD: Size = (257, 129)  # rounded up to any of the multiples it fits no larger one
Fed = Mapping[str, NDArray[np.generic]]
MULTIPLES = (1, 2, 4, 8, 16, 32, 64)


def multiples_shown(facts: Facts, image: ImageInput, layout: Layout,
                    look: Callable[[InputSpec, Fed], object], fed: Fed) -> list[Claims]:
    """The least number of whose multiples a model takes images that keep their size; `look` runs it on some, with what
    its further inputs are `fed`."""
    spec = input_spec(Facts(facts.claims), image, layout, any_size=True)
    if spec.size is not None or spec.resize != "fit" or spec.multiple_of != 1:
        return []
    for multiple in MULTIPLES:
        with contextlib.suppress(InferenceError):
            look(replace(spec, size=ODD, multiple_of=multiple), fed)
            return [Claims(TEST_IMAGE, {"multiple_of": multiple, "fill": "mirror"})] if multiple > 1 else []
    return []
