import pytest
from PIL import Image

from inference.drawing.brush import Brush

RED = (255, 0, 0)


def colors(image: Image.Image) -> int:
    found = image.getcolors(maxcolors=1 << 16)
    assert found is not None
    return len(found)


@pytest.mark.parametrize(("size", "is_smooth"), [((60, 60), True), ((2100, 2000), False)])
def test_slanted_lines_and_dots_are_smooth_where_an_image_is_seen_pixel_by_pixel(size: tuple[int, int],
                                                                                 is_smooth: bool) -> None:
    lined, dotted = Image.new("RGB", size), Image.new("RGB", size)
    Brush(lined).line([(5, 5), (50, 20), (30, 50)], RED, 2)
    Brush(dotted).dot((30, 30), 4, RED)
    assert [colors(image) > 2 for image in (lined, dotted)] == [is_smooth, is_smooth]
    assert dotted.getpixel((30, 30)) == RED
    assert dotted.getpixel((30, 36)) == (0, 0, 0)


@pytest.mark.parametrize("size", [(60, 60), (2100, 2000)])
def test_what_reaches_out_of_the_image_is_cut(size: tuple[int, int]) -> None:
    image = Image.new("RGB", size)
    brush = Brush(image)
    brush.line([(-40, -40), (-20, -30)], RED, 2)
    brush.dot((5000, 30), 4, RED)
    assert image.getbbox() is None
    brush.line([(-40, -40), (5000, 5000)], RED, 2)
    assert image.getpixel((30, 30)) == RED
