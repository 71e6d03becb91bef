"""Which images are meant: files as they are named, and of folders all images in them."""

from collections.abc import Iterable, Iterator
from pathlib import Path

IMAGES = frozenset((".avif", ".bmp", ".gif", ".heic", ".heif", ".jpeg", ".jpg", ".jfif", ".mpo", ".png", ".tif",
                    ".tiff", ".webp"))


class NoImage(Exception):
    """Nothing that is named is an image; the text says what."""


def images(named: Iterable[str]) -> list[Path]:
    """In order, none twice.

    Raises:
        NoImage: a name stands for nothing, or a folder holds no image.
    """
    return list(dict.fromkeys(path for name in named for path in _of(Path(name))))


def _of(path: Path) -> Iterator[Path]:
    if not path.is_dir():
        if not path.is_file():
            raise NoImage(f"{path}: there is no such file")
        yield path
        return
    found = sorted(file for file in path.rglob("*") if file.suffix.lower() in IMAGES and file.is_file())
    if not found:
        raise NoImage(f"{path}: no image in this folder ({', '.join(sorted(IMAGES))})")
    yield from found
