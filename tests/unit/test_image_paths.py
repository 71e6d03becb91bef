"""Which files `img_file=<path>` may name."""

import os
from pathlib import Path

import pytest

from api.form import read_below
from api.problems import ImageNotFound, TooLarge

IMAGE = b"the image"
MAX_BYTES = 100


@pytest.fixture
def root(tmp_path: Path) -> Path:
    root = tmp_path / "root"
    (root / "folder").mkdir(parents=True)
    (root / "leaf.jpg").write_bytes(IMAGE)
    (root / "folder" / "leaf.jpg").write_bytes(IMAGE)
    (root / "inside").symlink_to(root / "leaf.jpg")
    (root / "inside folder").symlink_to("folder")
    (root / "outside").symlink_to(tmp_path / "secret")
    (root / "outside folder").symlink_to(tmp_path)
    (root / "loop").symlink_to("loop")
    os.mkfifo(root / "fifo")
    (tmp_path / "secret").write_bytes(b"secret")
    (tmp_path / "root2").mkdir()
    (tmp_path / "root2" / "leaf.jpg").write_bytes(b"secret")
    return root


@pytest.mark.parametrize("path", [
    "leaf.jpg", "./leaf.jpg", "folder/leaf.jpg", "folder/../leaf.jpg", "inside", "inside folder/leaf.jpg",
    "{root}/leaf.jpg", "{root}/folder/../leaf.jpg", "../root/leaf.jpg",
])
def test_a_regular_file_below_the_root_is_read(root: Path, path: str) -> None:
    assert read_below(root, path.format(root=root), MAX_BYTES) == IMAGE


@pytest.mark.parametrize("path", [
    "absent.jpg", "absent/leaf.jpg", "leaf.jpg/x", "../secret", "folder/../../secret", "{root}/../secret",
    "../root2/leaf.jpg", "/etc/passwd", "/dev/zero", "/proc/self/environ", "outside", "outside folder/secret", "loop",
    "fifo", "folder", ".", "/", "..", "a\0b", "x" * 5000, "\ud800", "~/leaf.jpg",
])
def test_everything_else_gets_one_and_the_same_answer(root: Path, path: str) -> None:
    with pytest.raises(ImageNotFound) as caught:
        read_below(root, path.format(root=root), MAX_BYTES)
    assert str(caught.value) == "no such image below PUNNET_IMAGE_ROOT"


def test_a_root_that_is_a_link_is_followed(root: Path, tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to(root)
    assert read_below(tmp_path / "link", "leaf.jpg", MAX_BYTES) == IMAGE


def test_a_missing_root_holds_nothing(tmp_path: Path) -> None:
    with pytest.raises(ImageNotFound):
        read_below(tmp_path / "absent", "leaf.jpg", MAX_BYTES)


def test_a_file_over_the_limit_is_refused_unread(root: Path) -> None:
    (root / "large").write_bytes(b"x" * (MAX_BYTES + 1))
    with pytest.raises(TooLarge):
        read_below(root, "large", MAX_BYTES)


@pytest.mark.parametrize("path", ["leaf.jpg", "fifo", "folder", "absent"])
def test_no_file_is_left_open(root: Path, path: str) -> None:
    before = len(list(Path("/proc/self/fd").iterdir()))
    for _ in range(3):
        try:
            read_below(root, path, MAX_BYTES)
        except ImageNotFound:
            continue
    assert len(list(Path("/proc/self/fd").iterdir())) == before
