import base64
import io
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from inference.drawing import MASK_OPACITY, PALETTE, TILE_OPACITY, colors_of, draw, readable_on
from inference.drawn_files import Kind, encode
from inference.errors import CalledOff, NotDrawable
from inference.masks import encode_mask

KINDS: tuple[Kind, ...] = ("image/png", "image/jpeg", "image/webp")
GREY = (100, 100, 100)


def plain(width: int = 300, height: int = 200) -> Image.Image:
    return Image.new("RGB", (width, height), GREY)


def drawn(result: dict, image: Image.Image | None = None) -> NDArray[np.int64]:
    drawing = draw(image or plain(), result)
    assert drawing.mode == "RGB"
    return np.asarray(drawing).astype(np.int64)


def found(label: str, score: float | None = 0.9, **more: Any) -> dict:
    return {"label": label, "score": score, **more}


def box(left: float, top: float, right: float, bottom: float) -> dict:
    return {"xmin": left, "ymin": top, "xmax": right, "ymax": bottom}


def translucent(color: tuple[int, int, int], opacity: float) -> Any:
    return pytest.approx([GREY[0] + (part - GREY[0]) * opacity for part in color], abs=2)


def letters(pixels: NDArray, label: str) -> NDArray:
    """Where neither the image nor the label's plain colour is seen."""
    return (pixels != GREY).any(axis=2) & (pixels != colors_of([label])[label]).any(axis=2)


def of_boxes(*predictions: dict) -> dict:
    return {"task": "object-detection", "predictions": list(predictions)}


def of_masks(*predictions: dict) -> dict:
    return {"task": "image-segmentation", "predictions": list(predictions)}


def test_a_box_is_outlined_in_its_labels_colour_and_its_inside_is_left() -> None:
    pixels = drawn(of_boxes(found("leaf", box=box(50, 80, 250, 180))))
    color = colors_of(["leaf"])["leaf"]
    for row, column in ((179, 150), (130, 50), (130, 249), (80, 240)):
        assert tuple(pixels[row, column]) == color
    for row, column in ((130, 150), (180, 150), (130, 250), (130, 49)):
        assert tuple(pixels[row, column]) == GREY


@pytest.mark.parametrize(("corner", "rows"), [((50, 80), (62, 80)), ((50, 0), (0, 20))])
def test_a_label_stands_above_its_box_or_within_where_the_image_ends(
        corner: tuple[int, int], rows: tuple[int, int]) -> None:
    written = np.argwhere(letters(drawn(of_boxes(found("leaf", box=box(*corner, 290, 190)))), "leaf"))
    assert len(written) > 100
    assert rows[0] <= written[:, 0].min() <= written[:, 0].max() < rows[1]


def test_a_label_does_not_leave_the_image_at_the_right() -> None:
    at_rim = drawn(of_boxes(found("leaf", box=box(290, 80, 300, 180))))
    inside = drawn(of_boxes(found("leaf", box=box(100, 80, 110, 180))))
    assert letters(at_rim, "leaf").sum() == letters(inside, "leaf").sum() > 100


def test_the_best_box_lies_on_top() -> None:
    same = box(50, 80, 250, 180)
    pixels = drawn(of_boxes(found("leaf", 0.9, box=same), found("berry", 0.5, box=same)))
    assert tuple(pixels[179, 150]) == colors_of(["leaf", "berry"])["leaf"]


def test_boxes_that_are_thin_or_at_the_rim_can_be_drawn() -> None:
    pixels = drawn(of_boxes(found("leaf", box=box(10.2, 100.1, 10.3, 100.2)), found("leaf", box=box(0, 0, 300, 200))))
    assert tuple(pixels[199, 299]) == colors_of(["leaf"])["leaf"]


def test_a_mask_is_translucent_with_an_opaque_rim() -> None:
    mask = np.zeros((200, 300), bool)
    mask[100:180, 150:250] = True
    pixels, color = drawn(of_masks(found("leaf", mask=encode_mask(mask)))), colors_of(["leaf"])["leaf"]
    assert pixels[140, 200].tolist() == translucent(color, MASK_OPACITY)
    assert tuple(pixels[100, 200]) == tuple(pixels[179, 200]) == tuple(pixels[140, 150]) == color
    assert tuple(pixels[190, 200]) == GREY


def test_masks_have_a_legend_of_their_colours() -> None:
    mask = np.zeros((200, 300), bool)
    pixels = drawn(of_masks(found("leaf", mask=encode_mask(mask)), found("soil", None, mask=encode_mask(mask))))
    for color in colors_of(["leaf", "soil"]).values():
        assert (pixels[:60, :60] == color).all(axis=2).sum() > 30


def test_instances_have_boxes_instead_of_a_legend() -> None:
    mask = np.zeros((200, 300), bool)
    pixels = drawn(of_masks(found("leaf", mask=encode_mask(mask), box=box(150, 80, 250, 180))))
    assert tuple(pixels[179, 200]) == colors_of(["leaf"])["leaf"]
    assert (pixels[:60, :60] == GREY).all()


def test_labels_are_written_in_the_corner() -> None:
    pixels = drawn({"task": "image-classification", "predictions": [found("healthy"), found("scorched", 0.1)]})
    assert (pixels[:60, :140] > 180).all(axis=2).sum() > 100
    assert (pixels[70:] == GREY).all()


def test_without_predictions_the_image_stays_as_it_is() -> None:
    for task in ("image-classification", "object-detection", "image-segmentation"):
        assert (drawn({"task": task, "predictions": []}) == GREY).all()


def test_tiles_are_the_more_opaque_the_higher_their_score() -> None:
    tiles = [found("leaf", 0.0, box=box(0, 0, 150, 200)), found("leaf", 1.0, box=box(150, 0, 300, 200))]
    pixels = drawn({"task": "image-classification", "predictions": [], "tiles": tiles})
    color = colors_of(["leaf"])["leaf"]
    assert pixels[150, 50].tolist() == translucent(color, TILE_OPACITY[0])
    assert pixels[150, 250].tolist() == translucent(color, TILE_OPACITY[1])


def test_of_too_many_labels_as_many_are_written_as_there_is_room_for() -> None:
    few, many = ([found(f"label {number}") for number in range(count)] for count in (8, 80))
    few_drawn, many_drawn = (drawn({"task": "image-classification", "predictions": predictions}, plain(300, 100))
                             for predictions in (few, many))
    assert (many_drawn[-3:] == GREY).all()
    assert (few_drawn != many_drawn).any()  # "and 3 more" became "and 75 more"


def test_an_image_of_few_pixels_can_be_drawn_on() -> None:
    result = {"task": "image-classification", "predictions": [found("healthy"), found("scorched")]}
    assert drawn(result, plain(1, 1)).shape == (1, 1, 3)
    assert drawn(of_boxes(found("leaf", box=box(0, 0, 3, 2))), plain(3, 2)).shape == (2, 3, 3)
    assert drawn(of_masks(found("leaf", mask=encode_mask(np.ones((1, 1))))), plain(1, 1)).shape == (1, 1, 3)


def test_lines_and_letters_grow_with_the_image() -> None:
    for scale in (1, 10):
        pixels = drawn(of_boxes(found("leaf", box=box(0, 100 * scale, 300 * scale, 180 * scale))),
                       plain(300 * scale, 200 * scale))
        column = (pixels[150 * scale:, 150 * scale] == colors_of(["leaf"])["leaf"]).all(axis=1)
        assert column.sum() == {1: 2, 10: 8}[scale]


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
            draw(plain(), result, gone)
    for kind in KINDS:
        with pytest.raises(CalledOff):
            encode(plain(), kind, gone)


def test_labels_of_one_image_differ_in_colour_and_keep_it_alone() -> None:
    labels = [f"label {number}" for number in range(len(PALETTE))]
    assert len(set(colors_of(labels).values())) == len(PALETTE)
    assert colors_of(reversed(labels)) == colors_of(labels)
    assert set(colors_of([*labels, "one more"])) == {*labels, "one more"}


@pytest.mark.parametrize("color", PALETTE)
def test_text_can_be_read_on_every_colour(color: tuple[int, int, int]) -> None:
    def luminance(rgb: tuple[int, int, int]) -> float:
        """WCAG 2.2, relative luminance."""
        parts = [part / 255 / 12.92 if part / 255 <= 0.04045 else ((part / 255 + 0.055) / 1.055) ** 2.4 for part in rgb]
        return 0.2126 * parts[0] + 0.7152 * parts[1] + 0.0722 * parts[2]

    dark, light = sorted((luminance(color), luminance(readable_on(color))))
    assert (light + 0.05) / (dark + 0.05) >= 4  # WCAG asks 3 of large and 4.5 of small text


@pytest.mark.parametrize("kind", KINDS)
def test_drawings_are_encoded_as_asked(kind: Kind) -> None:
    with Image.open(io.BytesIO(encode(plain(30, 20), kind))) as drawing:
        assert (drawing.get_format_mimetype(), drawing.size) == (kind, (30, 20))
        assert np.abs(np.asarray(drawing.convert("RGB")).astype(int) - GREY).max() <= 2


def test_an_image_that_a_format_cannot_hold_is_told() -> None:
    with pytest.raises(NotDrawable, match="image/webp cannot hold 20000x2 pixels: ask for image/png"):
        encode(Image.new("RGB", (20_000, 2)), "image/webp")
