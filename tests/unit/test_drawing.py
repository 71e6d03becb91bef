import base64
import io
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from inference.depth_maps import encode_depth
from inference.drawing.colors import PALETTE, colors_of, readable_on
from inference.drawing.files import Kind, encode
from inference.drawing.painters import draw, paint, plan_of
from inference.drawing.plan import drawn_size
from inference.drawing.shapes import MASK_OPACITY, TILE_OPACITY
from inference.drawing.style import Labels, Style, enlargement, style_of
from inference.errors import BadParameter, CalledOff, NotDrawable
from inference.masks import encode_mask

KINDS: tuple[Kind, ...] = ("image/png", "image/jpeg", "image/webp")
GREY = (100, 100, 100)
# Machado, Oliveira, Fernandes 2009: what somebody without one kind of cones sees, in linear RGB.
NO_RED = np.array([[0.152286, 1.052583, -0.204868], [0.114503, 0.786281, 0.099216], [-0.003882, -0.048116, 1.051998]])
NO_GREEN = np.array([[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413],
                     [-0.011820, 0.042940, 0.968881]])


def plain(width: int = 300, height: int = 200) -> Image.Image:
    return Image.new("RGB", (width, height), GREY)


def drawn(result: dict, image: Image.Image | None = None, labels: Labels = "auto",
          scale: float | None = 1) -> NDArray[np.int64]:
    drawing = draw(image or plain(), result, Style(labels=labels, scale=scale))
    assert drawing.mode == "RGB"
    return np.asarray(drawing).astype(np.int64)


def color_of(label: str, *others: str) -> tuple[int, int, int]:
    return colors_of([label, *others], plain())[label]


def found(label: str, score: float | None = 0.9, **more: Any) -> dict:
    return {"label": label, "score": score, **more}


def box(left: float, top: float, right: float, bottom: float) -> dict:
    return {"xmin": left, "ymin": top, "xmax": right, "ymax": bottom}


def of_boxes(*predictions: dict) -> dict:
    return {"task": "object-detection", "predictions": list(predictions)}


def of_masks(*predictions: dict) -> dict:
    return {"task": "image-segmentation", "predictions": list(predictions)}


def crowd(count: int, side: int = 12, in_a_row: int = 20) -> dict:
    """Objects of so many pixels a side, in rows."""
    corners = ((4 + (side + 2) * (number % in_a_row), 4 + (side + 2) * (number // in_a_row)) for number in range(count))
    return of_boxes(*(found("ripe strawberry", box=box(left, top, left + side, top + side)) for left, top in corners))


def translucent(color: tuple[int, int, int], opacity: float) -> Any:
    return pytest.approx([GREY[0] + (part - GREY[0]) * opacity for part in color], abs=2)


def test_a_box_is_outlined_in_its_labels_colour_with_a_halo_and_its_inside_is_left() -> None:
    pixels, color = drawn(of_boxes(found("leaf", box=box(50, 80, 250, 180))), labels="none"), color_of("leaf")
    for row, column in ((179, 150), (130, 50), (130, 249), (80, 240)):
        assert tuple(pixels[row, column]) == color
    for row, column in ((180, 150), (79, 150), (130, 49), (130, 250)):
        assert tuple(pixels[row, column]) == (0, 0, 0)
    for row, column in ((130, 150), (182, 150), (130, 253)):
        assert tuple(pixels[row, column]) == GREY


@pytest.mark.parametrize(("corner", "rows"), [((50, 80), (60, 80)), ((50, 0), (180, 200))])
def test_a_tag_stands_above_its_object_or_below_where_the_image_ends(
        corner: tuple[int, int], rows: tuple[int, int]) -> None:
    result = of_boxes(found("leaf", box=box(*corner, 290, 180)))
    written = np.argwhere((drawn(result) != drawn(result, labels="none")).any(axis=2))
    assert len(written) > 300
    assert rows[0] <= written[:, 0].min() <= written[:, 0].max() < rows[1]


def test_tags_say_less_where_objects_are_smaller_and_a_legend_counts_what_is_not_said() -> None:
    results = [crowd(2, 140, 2), crowd(12, 60, 4), crowd(280)]
    tagged = [(drawn(result)[:, :300] != drawn(result, labels="none")).any(axis=2).sum() for result in results]
    assert tagged[0] / 2 > 800 > tagged[1] / 12 > 100 > tagged[2] == 0
    assert [drawn(result).shape[1] > 300 for result in results] == [False, True, True]


@pytest.mark.parametrize("top", [500, 500.3, 500.7])
def test_a_small_object_that_stands_alone_is_told_in_full(top: float) -> None:
    alone = of_boxes(found("leaf", box=box(700, top, 712, top + 12)))
    assert drawn(alone, plain(1500, 1000)).shape == (1000, 1500, 3)
    assert (drawn(alone, plain(1500, 1000)) != drawn(alone, plain(1500, 1000), "none")).any(axis=2).sum() > 500


def test_of_a_crowd_every_object_is_seen_and_the_legend_says_how_many() -> None:
    pixels, color = drawn(crowd(200)), color_of("ripe strawberry")
    outlined = (pixels == color).all(axis=2)
    for one in crowd(200)["predictions"]:
        assert outlined[int(one["box"]["ymin"]) + 6, int(one["box"]["xmin"])]
    assert (drawn(crowd(200))[:, 300:] != drawn(crowd(199))[:, 300:]).any()
    assert drawn(crowd(200), labels="none").shape == (200, 300, 3)


@pytest.mark.parametrize(("labels", "is_wide"), [("full", False), ("score", True)])
def test_a_caller_chooses_what_tags_say(labels: Labels, is_wide: bool) -> None:
    few = of_boxes(found("leaf", box=box(10, 30, 30, 50)), found("berry", box=box(150, 30, 170, 50)))
    pixels = drawn(few, labels=labels)
    assert (pixels[:, :300] != drawn(few, labels="none")).any(axis=2).sum() > 300
    assert (pixels.shape[1] > 300) == is_wide  # the legend says which colour is which


@pytest.mark.parametrize("result", [crowd(200), {
    "task": "image-classification", "predictions": [found("healthy")],
    "tiles": [found("healthy", box=box(0, 0, 150, 200))]}])
def test_a_drawing_on_the_plans_canvas_is_the_same(result: dict) -> None:
    plan = plan_of((300, 200), result, Style(scale=1))
    canvas = plan.canvas()
    assert canvas is not None
    canvas.paste(plain())
    assert (np.asarray(paint(plan, canvas)) == drawn(result)).all()


@pytest.mark.parametrize("scale", [1, 2])
def test_there_is_no_canvas_where_an_image_stands_alone_or_is_resized(scale: float) -> None:
    assert plan_of((300, 200), crowd(200 if scale > 1 else 1), Style(scale=scale)).canvas() is None


def test_the_best_box_lies_on_top() -> None:
    same = box(50, 80, 250, 180)
    pixels = drawn(of_boxes(found("leaf", 0.9, box=same), found("berry", 0.5, box=same)), labels="none")
    assert tuple(pixels[179, 150]) == color_of("leaf", "berry")


def test_the_outline_of_a_small_box_hides_nothing_that_is_in_it() -> None:
    pixels = drawn(of_boxes(found("leaf", box=box(50, 80, 58, 88))), labels="none")
    assert (pixels[80:88, 50:58] == GREY).all()
    assert tuple(pixels[79, 54]) == tuple(pixels[84, 58]) == color_of("leaf")


def test_boxes_that_are_thin_or_at_the_rim_can_be_drawn() -> None:
    pixels = drawn(of_boxes(found("leaf", box=box(10.2, 100.1, 10.3, 100.2)), found("leaf", box=box(0, 0, 300, 200))))
    assert tuple(pixels[199, 299]) == color_of("leaf")


def test_a_mask_is_translucent_with_an_opaque_edge_and_a_halo() -> None:
    mask = np.zeros((200, 300), bool)
    mask[100:180, 150:250] = True
    pixels, color = drawn(of_masks(found("leaf", mask=encode_mask(mask)))), color_of("leaf")
    assert pixels[140, 200].tolist() == translucent(color, MASK_OPACITY)
    assert tuple(pixels[100, 200]) == tuple(pixels[179, 200]) == tuple(pixels[140, 150]) == color
    assert tuple(pixels[99, 200]) == tuple(pixels[140, 250]) == (0, 0, 0)
    assert tuple(pixels[190, 200]) == GREY


def test_masks_have_a_legend_of_their_colours_beside_the_image() -> None:
    mask = encode_mask(np.zeros((200, 300), bool))
    pixels = drawn(of_masks(found("leaf", mask=mask), found("soil", None, mask=mask)))
    assert (pixels[:, :300] == GREY).all()
    for label, other in (("leaf", "soil"), ("soil", "leaf")):
        assert (pixels[:, 300:] == color_of(label, other)).all(axis=2).sum() > 30


def test_instances_have_boxes_with_tags() -> None:
    mask = encode_mask(np.zeros((200, 300), bool))
    pixels = drawn(of_masks(found("leaf", mask=mask, box=box(150, 80, 250, 180))))
    assert pixels.shape == (200, 300, 3)
    assert tuple(pixels[179, 200]) == color_of("leaf")


def test_classes_are_written_beside_the_image() -> None:
    pixels = drawn({"task": "image-classification", "predictions": [found("healthy"), found("scorched", 0.1)]})
    assert (pixels[:, :300] == GREY).all()
    assert (pixels[:60, 300:] > 180).all(axis=2).sum() > 100


def test_without_predictions_the_image_stays_as_it_is() -> None:
    for task in ("image-classification", "object-detection", "image-segmentation"):
        assert (drawn({"task": task, "predictions": []}) == GREY).all()


def test_tiles_are_the_more_opaque_the_higher_their_score() -> None:
    tiles = [found("leaf", 0.0, box=box(0, 0, 150, 200)), found("leaf", 1.0, box=box(150, 0, 300, 200))]
    pixels = drawn({"task": "image-classification", "predictions": [], "tiles": tiles})
    assert pixels[150, 50].tolist() == translucent(color_of("leaf"), TILE_OPACITY[0])
    assert pixels[150, 250].tolist() == translucent(color_of("leaf"), TILE_OPACITY[1])


def test_of_too_many_labels_as_many_are_written_as_there_is_room_for() -> None:
    few, many = ({"task": "image-classification", "predictions": [found(f"label {number}") for number in range(count)]}
                 for count in (8, 80))
    few_drawn, many_drawn = drawn(few, plain(300, 100)), drawn(many, plain(300, 100))
    assert few_drawn.shape[0] == many_drawn.shape[0] == 100
    assert (few_drawn[:, -40:] != many_drawn[:, -40:]).any()  # "and 5 more" became "and 77 more"


def test_an_image_of_few_pixels_can_be_drawn_on() -> None:
    result = {"task": "image-classification", "predictions": [found("healthy"), found("scorched")]}
    assert drawn(result, plain(1, 1)).shape[0] > 20
    assert drawn(of_boxes(found("leaf", box=box(0, 0, 3, 2))), plain(3, 2), "none").shape == (2, 3, 3)
    assert drawn(of_masks(found("leaf", mask=encode_mask(np.ones((1, 1))))), plain(1, 1), "none").shape == (1, 1, 3)


@pytest.mark.parametrize(("size", "sides", "times"), [
    ((64, 48), [30.0], 10), ((224, 224), [], 3), ((640, 480), [100.0], 1), ((640, 480), [20.0] * 9, 2),
    ((1600, 900), [8.0], 1), ((4000, 3000), [20.0], 1), ((1, 1), [1.0], 10)])
def test_a_small_image_and_small_objects_are_enlarged(size: tuple[int, int], sides: list[float], times: int) -> None:
    assert enlargement(size, sides) == times


def test_a_caller_chooses_the_size_up_to_that_of_the_largest_image() -> None:
    result = of_boxes(found("leaf", box=box(50, 80, 250, 180)))
    assert drawn(result, labels="none", scale=0.5).shape == (100, 150, 3)
    pixels = drawn(result, labels="none", scale=2)
    assert tuple(pixels[359, 300]) == color_of("leaf")
    with pytest.raises(BadParameter, match="3000x2000"):
        drawn_size((300, 200), result, Style(scale=10), max_pixels=5_000_000)


@pytest.mark.parametrize("values", [{"labels": "all"}, {"scale": "0"}, {"scale": "large"}, {"scale": "nan"},
                                    {"scale": True}])
def test_a_style_that_is_none_is_told(values: dict[str, Any]) -> None:
    with pytest.raises(BadParameter, match=f"parameter '{next(iter(values))}'"):
        style_of(values)


def test_lines_grow_with_their_object_and_no_further_than_the_image_bears() -> None:
    for side, line in ((40, 2), (300, 4), (900, 4)):
        pixels = drawn(of_boxes(found("leaf", box=box(50, 50, 50 + side, 50 + side))), plain(1000, 1000), "none")
        row = (pixels[50 + side // 2, 50:50 + side // 2] == colors_of(["leaf"], plain())["leaf"]).all(axis=1)
        assert row.sum() == line


def test_depths_have_a_bar_of_their_colours() -> None:
    depths = np.full((200, 300), 65535, np.uint16)
    result = {"task": "depth-estimation", "depth": encode_depth(depths), "minimum": 0.5, "maximum": 12.25}
    assert drawn(result, labels="none").shape == (200, 300, 3)
    pixels = drawn(result)
    assert (pixels[:, :300] == pixels[0, 0]).all()
    assert (pixels[:, 300:] == pixels[0, 0]).all(axis=2).any()


def test_a_produced_image_is_shown_itself() -> None:
    produced = Image.new("L", (7, 5), 80)
    data = base64.b64encode(encode(produced, "image/png")).decode()
    drawing = draw(plain(), {"task": "image-to-image", "image": f"data:image/png;base64,{data}"})
    assert (drawing.mode, drawing.size, drawing.getpixel((3, 3))) == ("RGB", (7, 5), (80, 80, 80))


@pytest.mark.parametrize("task", ["tensor", "image-feature-extraction"])
def test_what_marks_nothing_on_an_image_is_refused(task: str) -> None:
    with pytest.raises(NotDrawable, match=task):
        draw(plain(), {"task": task})


def test_nothing_is_drawn_for_who_has_gone() -> None:
    def gone() -> None:
        raise CalledOff("gone")

    for result in (of_boxes(found("leaf", box=box(50, 80, 250, 180))), of_masks(found("leaf", mask="…"))):
        with pytest.raises(CalledOff):
            draw(plain(), result, check=gone)
    for kind in KINDS:
        with pytest.raises(CalledOff):
            encode(plain(), kind, gone)


def test_labels_of_one_image_differ_in_colour_whatever_their_order() -> None:
    labels = [f"label {number}" for number in range(len(PALETTE))]
    assert len(set(colors_of(labels, plain()).values())) == len(PALETTE)
    assert colors_of(reversed(labels), plain()) == colors_of(labels, plain())
    assert set(colors_of([*labels, "one more"], plain())) == {*labels, "one more"}


@pytest.mark.parametrize("ground", PALETTE)
def test_a_colour_differs_from_the_image(ground: tuple[int, int, int]) -> None:
    chosen = colors_of(["leaf"], Image.new("RGB", (300, 200), ground))["leaf"]
    assert np.abs(np.subtract(chosen, ground)).max() > 80


@pytest.mark.parametrize("cones", [NO_RED, NO_GREEN])
def test_five_labels_can_be_told_apart_without_red_or_green_cones(cones: NDArray) -> None:
    colors = np.array(list(colors_of("abcde", plain()).values())) / 255
    linear = np.where(colors <= 0.04045, colors / 12.92, ((colors + 0.055) / 1.055) ** 2.4)
    seen = np.clip(linear @ cones.T, 0, 1) ** (1 / 2.2) * 255
    apart = np.linalg.norm(seen[:, None] - seen[None], axis=2) + np.eye(5) * 999
    assert apart.min() > 40


@pytest.mark.parametrize("color", PALETTE)
def test_text_can_be_read_on_every_colour(color: tuple[int, int, int]) -> None:
    def luminance(rgb: tuple[int, int, int]) -> float:
        """WCAG 2.2, relative luminance."""
        parts = [part / 255 / 12.92 if part / 255 <= 0.04045 else ((part / 255 + 0.055) / 1.055) ** 2.4 for part in rgb]
        return 0.2126 * parts[0] + 0.7152 * parts[1] + 0.0722 * parts[2]

    dark, light = sorted((luminance(color), luminance(readable_on(color))))
    assert (light + 0.05) / (dark + 0.05) >= 4.5  # as WCAG asks of small text


@pytest.mark.parametrize("kind", KINDS)
def test_drawings_are_encoded_as_asked(kind: Kind) -> None:
    with Image.open(io.BytesIO(encode(plain(30, 20), kind))) as drawing:
        assert (drawing.get_format_mimetype(), drawing.size) == (kind, (30, 20))
        assert np.abs(np.asarray(drawing.convert("RGB")).astype(int) - GREY).max() <= 2


def test_an_image_that_a_format_cannot_hold_is_told() -> None:
    with pytest.raises(NotDrawable, match="image/webp cannot hold 20000x2 pixels: ask for image/png"):
        encode(Image.new("RGB", (20_000, 2)), "image/webp")
