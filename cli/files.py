"""Which images are meant: files as they are named, and of folders all images in them."""

import os
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
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


def drawings(files: Sequence[Path], folder: Path) -> dict[Path, Path]:
    """Where the drawing of each is saved: under its own name where no other has it, else in folders as theirs are."""
    above = os.path.commonpath([file.parent.absolute() for file in files])
    count = Counter(file.stem for file in files)
    return {file: folder / (f"{file.stem}.png" if count[file.stem] == 1 else
                            f"{file.absolute().relative_to(above)}.png") for file in files}


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
