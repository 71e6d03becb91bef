import itertools

import numpy as np
import pytest

from inference.calibration import fastest_ms, measure_decoding, synthetic_image


def test_every_usual_way_of_decoding_is_measured() -> None:
    measured = dict(measure_decoding())
    assert set(measured) == {"decode JPEG 1/1", "decode JPEG 1/2", "decode JPEG 1/4", "decode JPEG 1/8",
                             "decode JPEG progressive", "decode PNG", "decode WEBP", "decode HEIC", "decode HEIC grid"}
    assert all(ms > 0 for samples in measured.values() for _, ms in samples)


def test_the_fastest_run_counts() -> None:
    clock = itertools.accumulate([0, 0.030, 0, 0.010, 0, 0.020])
    assert fastest_ms(lambda: None, clock=lambda: next(clock)) == pytest.approx(10)


@pytest.mark.parametrize("size", [(1, 1), (2, 3), (224, 100)])
def test_synthetic_images_come_in_every_size_and_are_no_flat_grey(size: tuple[int, int]) -> None:
    image = synthetic_image(size)
    assert image.size == size
    assert size[0] < 4 or np.ptp(np.asarray(image)) > 0


def test_synthetic_images_are_the_same_each_time() -> None:
    assert synthetic_image((64, 64)).tobytes() == synthetic_image((64, 64)).tobytes()
