"""What libraries write to standard error comes to the log shortly, with whom it is about."""

import logging
import os
from collections.abc import Callable

import numpy as np
import pytest

from inference.image import decode, open_image
from predictors.library_output import LOGGED_BYTES, LibraryOutput
from tests.unit.forks import forked
from tests.unit.images import tiff


def test_it_is_logged_once_with_the_request(caplog: pytest.LogCaptureFixture) -> None:
    output = LibraryOutput()

    def life(say_ready: Callable[[], None]) -> None:
        output.capture()
        os.write(2, b"odd tag 1\nodd tag 2\n")

    assert forked(life).status() == 0
    with caplog.at_level(logging.WARNING):
        output.log_for("request r1")
        output.log_for("request r2")
    assert [record.message for record in caplog.records] == [
        "request r1: a library says: odd tag 1 | odd tag 2 | "]
    output.close()


def test_a_thousand_odd_tags_are_a_line_in_the_log(caplog: pytest.LogCaptureFixture) -> None:
    """libtiff has some hundred bytes to say of each."""
    odd = {f"t{40_000 + number}": (4, 7) for number in range(1_900)}
    data, output = tiff(np.zeros((50, 50), np.uint8), "<", True, **odd), LibraryOutput()

    def life(say_ready: Callable[[], None]) -> None:
        output.capture()
        decode(open_image(data, 10**6), None)

    assert forked(life).status() == 0
    with caplog.at_level(logging.WARNING):
        output.log_for("request r1")
    assert sum(len(record.message) for record in caplog.records) < 2 * LOGGED_BYTES
    output.close()


def test_who_says_nothing_is_not_in_the_log(caplog: pytest.LogCaptureFixture) -> None:
    output = LibraryOutput()
    with caplog.at_level(logging.WARNING):
        output.log_for("request r1")
    assert not caplog.records
    output.close()
