import itertools

import numpy as np
import pytest

from inference.cost import (
    PROGRESSIVE,
    DecodeCost,
    decode_key,
    fastest_ms,
    measure_decoding,
    synthetic_picture,
)
from inference.image import ImageInfo

RATES = DecodeCost({
    "JPEG 1/1": 10, "JPEG 1/2": 6, "JPEG 1/4": 4, "JPEG 1/8": 3, PROGRESSIVE: 30, "PNG": 20, "WEBP": 25,
})
WANTED = (100, 100)


def jpeg(side: int, **facts: bool) -> ImageInfo:
    return ImageInfo(side, side, "JPEG", **facts)


@pytest.mark.parametrize(("info", "key"), [
    (jpeg(100), "JPEG 1/1"), (jpeg(600), "JPEG 1/2"), (jpeg(1200), "JPEG 1/4"), (jpeg(2400), "JPEG 1/8"),
    (jpeg(9000), "JPEG 1/8"), (jpeg(1600, progressive=True), PROGRESSIVE), (ImageInfo(9000, 100, "MPO"), "JPEG 1/1"),
    (ImageInfo(1600, 1600, "PNG"), "PNG"), (ImageInfo(16, 16, "BMP"), "BMP"),
])
def test_what_decoding_costs_depends_on_format_and_scale(info: ImageInfo, key: str) -> None:
    assert decode_key(info, WANTED) == key


@pytest.mark.parametrize(("info", "expected_ms"), [
    (ImageInfo(1000, 1000, "PNG"), 20), (ImageInfo(2000, 1000, "WEBP"), 50), (jpeg(1000), 6), (jpeg(2000), 16),
    (ImageInfo(1000, 1000, "TIFF"), 20),
])
def test_predicted_milliseconds_are_rate_times_megapixels(info: ImageInfo, expected_ms: float) -> None:
    assert RATES.predict_ms(info, WANTED) == pytest.approx(expected_ms)


def test_every_way_of_decoding_is_measured() -> None:
    rates = measure_decoding().ms_per_megapixel
    assert set(rates) == set(RATES.ms_per_megapixel)
    assert all(rate > 0 for rate in rates.values())


def test_the_fastest_run_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = itertools.accumulate([0, 0.030, 0, 0.010, 0, 0.020])
    monkeypatch.setattr("time.perf_counter", lambda: next(clock))
    assert fastest_ms(lambda: None) == pytest.approx(10)


@pytest.mark.parametrize("size", [(1, 1), (2, 3), (224, 100)])
def test_synthetic_pictures_come_in_every_size_and_are_no_flat_grey(size: tuple[int, int]) -> None:
    picture = synthetic_picture(size)
    assert picture.size == size
    assert size[0] < 4 or np.ptp(np.asarray(picture)) > 0


def test_synthetic_pictures_are_the_same_each_time() -> None:
    assert synthetic_picture((64, 64)).tobytes() == synthetic_picture((64, 64)).tobytes()
