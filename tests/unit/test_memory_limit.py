"""A predictor's memory is limited."""

import resource
from collections.abc import Callable

import pytest

from predictors import memory_limit as module
from predictors.memory_limit import limit_memory
from tests.unit.conftest import in_child
from tests.unit.forks import forked

MEGA = 1_000_000
IMAGES = """
from inference.image import decode, open_image
from predictors import memory_limit
from tests.unit.images import Image, encode, photo

large, small = encode(Image.new("1", (9900, 9900)), "PNG"), photo()
memory_limit._machine_bytes = lambda: 600_000_000
memory_limit.limit_memory(0)
for _ in range(2):
    try:
        decode(open_image(large, 10**8), None)
    except MemoryError:
        print("refused", decode(open_image(small, 10**8), None).image.size)
"""


def test_what_is_over_the_limit_fails_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_machine_bytes", lambda: 4_000 * MEGA)

    def life(say_ready: Callable[[], None]) -> None:
        limit_memory(10 * MEGA)
        for _ in range(3):
            with pytest.raises(MemoryError):
                bytearray(3_000 * MEGA)  # more than any free piece of the heap
            assert len(bytearray(100 * MEGA)) == 100 * MEGA

    assert forked(life).status() == 0


def test_an_image_that_needs_more_fails_alone() -> None:
    """In a process whose heap has no free pieces; what is told of it is in test_server.py."""
    assert in_child(IMAGES).split() == ["refused", "(64,", "48)"] * 2


def test_a_stricter_limit_from_outside_stays() -> None:
    def life(say_ready: Callable[[], None]) -> None:
        resource.setrlimit(resource.RLIMIT_DATA, (2_000 * MEGA, 2_000 * MEGA))
        limit_memory(10**15)
        assert resource.getrlimit(resource.RLIMIT_DATA) == (2_000 * MEGA, 2_000 * MEGA)

    assert forked(life).status() == 0


def test_the_machine_is_the_cgroup_where_that_has_less(tmp_path, monkeypatch: pytest.MonkeyPatch) -> None:
    for text, told in (("max\n", None), ("123456\n", 123_456)):
        (tmp_path / "memory.max").write_text(text)
        monkeypatch.setattr(module, "CGROUP", tmp_path / "memory.max")
        assert module._machine_bytes() == told or (told is None and module._machine_bytes() > 10**8)
