"""What a loaded model is fed."""

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from inference.geometry import Placement
from inference.hooks import Hooks
from inference.image import Pixels
from inference.model import LoadedModel
from inference.model_info import ModelInfo
from inference.spec import InputSpec, ModelSpec, OutputSpec, TensorInfo
from inference.tasks import TASKS

WHOLE, UPPER_LEFT = (0, 0, 8, 8), (0, 0, 8, 4)


def mask_fed(mask: NDArray, shown: list[tuple[int, int, int, int]], batch: int | None = None) -> NDArray:
    """The pixel mask that goes with inputs of 8 x 8 pixels that show their images at these boxes."""
    spec = ModelSpec("m", "1", "tensor", (), InputSpec("pixel_values", (8, 8), batch=batch), OutputSpec({}))
    inputs = TensorInfo("pixel_values", ("b", 3, 8, 8), "FP32"), TensorInfo("pixel_mask", ("b", "h", "w"), "INT64")
    model = LoadedModel(ModelInfo(spec, "", inputs, ()), None, TASKS["tensor"], Hooks(), {"pixel_mask": mask})  # type: ignore[arg-type]
    placements = [Placement((16, 16), (0, 0, 16, 16), (8, 8), box) for box in shown]
    return model.feeds(Pixels(Image.new("RGB", (16, 16))), placements)["pixel_mask"]


@pytest.mark.parametrize("mask", [np.ones((), np.int64), np.ones((1, 8, 8), np.int64)])
def test_a_pixel_mask_is_1_where_the_image_is_shown(mask: NDArray) -> None:
    whole, upper = mask_fed(mask, [WHOLE, UPPER_LEFT])
    assert whole.shape == (8, 8)
    assert whole.all()
    assert upper[:4].all()
    assert not upper[4:].any()


def test_a_pixel_mask_may_have_fewer_cells_than_the_image_has_pixels() -> None:
    [mask] = mask_fed(np.ones((1, 4, 2), np.int64), [UPPER_LEFT])
    assert mask.tolist() == [[1, 1], [1, 1], [0, 0], [0, 0]]


def test_a_batch_that_is_filled_up_has_a_mask_for_each_input() -> None:
    masks = mask_fed(np.ones((), np.int64), [UPPER_LEFT], batch=3)
    assert masks.shape == (3, 8, 8)
    assert (masks == masks[0]).all()
