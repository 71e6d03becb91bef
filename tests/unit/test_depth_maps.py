import numpy as np
import pytest
from PIL import Image

from inference.depth_maps import COLORS, colored, encode_depth
from inference.drawing.painters import draw
from inference.drawing.style import Style


def test_the_colours_run_from_dark_to_bright_with_the_depth() -> None:
    shown = np.asarray(colored(encode_depth(np.linspace(0, 65535, 512).astype(np.uint16)[np.newaxis])))
    assert shown.shape == (1, 512, 3)
    assert (tuple(shown[0, 0]), tuple(shown[0, -1])) == (COLORS[0], COLORS[-1])
    brightness = shown[0].astype(int) @ [299, 587, 114]
    assert (np.diff(brightness) >= 0).all()


@pytest.mark.parametrize("size", [(1, 1), (33, 20)])
def test_a_drawn_depth_is_as_large_as_the_image(size: tuple[int, int]) -> None:
    picture = encode_depth(np.zeros(size[::-1], np.uint16))
    drawing = draw(Image.new("RGB", size), {"task": "depth-estimation", "depth": picture, "minimum": 0, "maximum": 1},
                   Style(labels="none"))
    assert (drawing.mode, drawing.size) == ("RGB", size)
