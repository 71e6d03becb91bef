import contextlib
import struct
import time
from collections.abc import Callable

import numpy as np
import pytest
from PIL import Image

from inference.errors import UnsupportedImage
from inference.formats.jpeg import COUNT_STEP, MAX_SCANS, START_OF_SCAN, has_end, scans
from inference.image import decode, open_image
from tests.unit.images import encode, photo, quadrants

MAX_PIXELS = 50_000_000


def repeat_last_scan(data: bytes, times: int) -> bytes:
    """A JPEG whose last scan is there so often: each a pass over all pixels, for a few bytes of the file."""
    last = data.rindex(START_OF_SCAN)
    return data[:last] + data[last:-2] * times + data[-2:]


def separate_scans(size: tuple[int, int], last: int = 1) -> bytes:
    """A baseline JPEG with a scan for each of its three components, all alike, the last one `last` times."""
    grey = encode(Image.effect_noise(size, 50), "JPEG")
    frame, scan = grey.index(b"\xff\xc0"), grey.index(START_OF_SCAN)
    components = b"".join(bytes((number, 0x11, 0)) for number in (1, 2, 3))
    head = grey[:frame + 2] + struct.pack(">H", 17) + grey[frame + 4:frame + 9] + b"\3" + components
    passes = [grey[scan:scan + 5] + bytes((number,)) + grey[scan + 6:-2] for number in (1, 2, *[3] * last)]
    return head + grey[frame + 13:scan] + b"".join(passes) + grey[-2:]


@pytest.mark.parametrize("data", [
    repeat_last_scan(photo(progressive=True), MAX_SCANS), photo(progressive=True) + START_OF_SCAN * MAX_SCANS,
    separate_scans((64, 48), MAX_SCANS),
    b"\xff\xd8\xff" + photo()[2:] + START_OF_SCAN * MAX_SCANS,
    photo()[:2] + b"\xff\xcc\0\2" + photo()[2:] + START_OF_SCAN * MAX_SCANS,
], ids=["progressive", "behind the end", "a component a scan", "a fill byte", "an odd segment"])
def test_a_jpeg_of_very_many_scans_is_refused(data: bytes) -> None:
    """Also one whose first scan is not for certain the only one that is decoded."""
    with pytest.raises(UnsupportedImage, match="scans"):
        open_image(data, MAX_PIXELS)


def test_a_progressive_jpeg_tells_its_scans() -> None:
    assert 5 <= scans(photo(progressive=True)) == photo(progressive=True).count(START_OF_SCAN) < 15


def test_a_scan_for_each_component_is_three_scans() -> None:
    data = separate_scans((64, 48))
    assert scans(data) == 3
    assert np.ptp(np.asarray(decode(open_image(data, MAX_PIXELS), None).image)) > 100


@pytest.mark.parametrize("at", [-1, 0, 1])
def test_scans_are_counted_over_the_edges_of_steps(at: int) -> None:
    data = photo(progressive=True)
    padded = data + bytes(COUNT_STEP - len(data) + at - 1) + START_OF_SCAN + bytes(10)
    assert scans(padded) == data.count(START_OF_SCAN) + 1


def seconds_to_decode(data: bytes) -> float:
    began = time.process_time()
    with contextlib.suppress(UnsupportedImage):
        decode(open_image(data, MAX_PIXELS), None)
    return time.process_time() - began


def with_preview(first: bytes, second: bytes) -> bytes:
    """An MPO with these two in place of its images."""
    image = encode(quadrants((640, 480)), "MPO", save_all=True, append_images=[quadrants()])
    return image[:image.index(START_OF_SCAN)] + first[first.index(START_OF_SCAN):] + second


@pytest.mark.parametrize("make", [
    lambda one: repeat_last_scan(one, 3000), lambda one: one + one[one.rindex(START_OF_SCAN):] * 3000,
    lambda one: one + repeat_last_scan(photo((640, 480), progressive=True), 3000),
    lambda one: with_preview(one, repeat_last_scan(photo((640, 480), progressive=True), 3000)),
], ids=["in front of the end", "behind the end", "a progressive one behind it", "as its preview"])
def test_scans_behind_a_baseline_jpegs_first_are_never_decoded(make: Callable[[bytes], bytes]) -> None:
    """So they need not be counted, which takes as long as reading the whole file."""
    one = encode(quadrants((640, 480)))
    data = make(one)
    assert scans(data) == 1
    assert seconds_to_decode(data) < 0.1 + 5 * seconds_to_decode(one)


@pytest.mark.parametrize("options", [{}, {"progressive": True}, {"subsampling": 0}, {"restart_marker_rows": 1}])
@pytest.mark.parametrize("wanted", [None, (32, 32)])
def test_a_jpeg_without_its_end_marker_shows_all_its_pixels(options: dict, wanted: tuple[int, int] | None) -> None:
    data = photo((400, 300), **options)
    whole = np.asarray(decode(open_image(data, MAX_PIXELS), wanted).image)
    for unended in (data[:-2], data[:-1], data[:-2] + bytes(100)):
        assert np.array_equal(whole, np.asarray(decode(open_image(unended, MAX_PIXELS), wanted).image))


@pytest.mark.parametrize("options", [{}, {"progressive": True}])
@pytest.mark.parametrize("missing", [20, 100, 1000, 5000])
def test_a_jpeg_that_lacks_pixels_is_refused(options: dict, missing: int) -> None:
    data = photo((400, 300), **options)[:-2]
    with pytest.raises(UnsupportedImage, match="truncated"):
        decode(open_image(data[:-missing], MAX_PIXELS), None)


def test_an_end_marker_may_have_something_behind_it() -> None:
    assert has_end(photo())
    assert has_end(photo() + bytes(5000))
    assert has_end(photo(progressive=True) + b"trailer")
    assert not has_end(photo()[:-2])
    assert not has_end(photo()[:-2] + bytes(64))
