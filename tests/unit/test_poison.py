"""Images that ended two predictors are remembered for a while, by all processes."""

import os
import time
from pathlib import Path

from predictors.poison import REMEMBERED_S, PoisonImages


def test_a_poison_image_is_known_to_every_process(tmp_path: Path) -> None:
    PoisonImages(tmp_path / "poison").add("of-leaf", b"image")
    assert PoisonImages(tmp_path / "poison").has("of-leaf", b"image")


def test_another_image_of_its_size_and_another_model_are_not_meant(tmp_path: Path) -> None:
    images = PoisonImages(tmp_path / "poison")
    images.add("of-leaf", b"image")
    assert not images.has("of-leaf", b"IMAGE")
    assert not images.has("of-tree", b"image")


def test_nothing_is_poison_before_anything_was(tmp_path: Path) -> None:
    assert not PoisonImages(tmp_path / "poison").has("of-leaf", b"image")


def test_an_image_is_forgotten_after_its_time(tmp_path: Path) -> None:
    images = PoisonImages(tmp_path / "poison")
    images.add("of-leaf", b"image")
    [file] = (tmp_path / "poison").iterdir()
    long_ago = time.time() - REMEMBERED_S - 1
    os.utime(file, (long_ago, long_ago))
    assert not images.has("of-leaf", b"image")
    images.add("of-leaf", b"another")
    assert not file.exists()
