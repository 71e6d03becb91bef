"""The models folder on disk: which models there are, which files each is made of, and whether they changed."""

import hashlib
import os
import re
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

MODEL_FILE = "model.onnx"
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")
# What may lie beside a model file and tell of it; a version's own beat its model's.
SIDE_FILES = ("model.toml", "labels.txt", "config.json", "preprocessor_config.json", "hooks.py")
NO_WEIGHTS = (".txt", ".json", ".toml", ".py", ".md", ".log", ".jpg", ".png")  # what else lies about in such folders
ONLY_VERSION = "1"  # of a model whose file lies in its folder


@dataclass(frozen=True)
class ModelFiles:
    """One version of a model. `onnx` is None where there is no model file; `reason` says what to do then.

    `folder` holds the side files; `stamp` differs whenever any of the files was written, moved or replaced.
    """

    name: str
    version: str
    folder: Path
    onnx: Path | None
    reason: str = ""
    stamp: str = ""

    @property
    def key(self) -> tuple[str, int]:
        """Sorts models by name, then versions by number."""
        return self.name, int(self.version or 0)


def scan(models_dir: Path) -> list[ModelFiles]:
    """All versions of all models below `models_dir`; hidden folders and loose files are passed over."""
    if not models_dir.is_dir():
        return []
    folders = sorted(path for path in _inside(models_dir) if path.is_dir() and not path.name.startswith("."))
    return [files for folder in folders for files in _readable(folder)]


def _readable(folder: Path) -> list[ModelFiles]:
    try:
        return list(_versions(folder))
    except OSError as error:
        return [ModelFiles(folder.name, "", folder, None,
                           f"its files cannot be read ({error.strerror}): let the service's user read them")]


def _versions(folder: Path) -> Iterator[ModelFiles]:
    if not NAME.fullmatch(folder.name):
        yield ModelFiles(folder.name, "", folder, None,
                         "rename the folder: letters, digits, '.', '_' and '-', at most 100")
        return
    numbered = [path for path in _inside(folder) if _is_version(path.name) and (path / MODEL_FILE).is_file()]
    for path in numbered:
        yield _files(folder, path.name, path / MODEL_FILE)
    if not numbered:
        yield _files(folder, ONLY_VERSION, folder / MODEL_FILE)


def _is_version(name: str) -> bool:
    return name.isascii() and name.isdecimal() and name == str(int(name))


def _files(folder: Path, version: str, onnx: Path) -> ModelFiles:
    if not onnx.is_file():
        return ModelFiles(folder.name, "", folder, None, f"no {MODEL_FILE} in the folder: put the model there")
    own = any((onnx.parent / name).is_file() for name in SIDE_FILES)
    side = onnx.parent if own else folder
    return ModelFiles(folder.name, version, side, onnx, stamp=_stamp({onnx.parent, side}))


class Fingerprints:
    """Digests of what models' files hold: the same on every machine, whenever and by whomever they were copied.

    A file is read again only when its inode, size or times have changed.
    """

    def __init__(self) -> None:
        self._known: dict[str, tuple[str, str]] = {}  # path -> stamp and digest

    def of(self, files: ModelFiles) -> str:
        """Raises OSError: a file cannot be read, or is gone in this moment."""
        lines = []
        for folder in sorted(_folders(files)):
            role = "model" if files.onnx and folder == files.onnx.parent else "side"
            lines += [f"{role} {path.name} {self._digest(path, found)}" for path, found in _relevant(folder)]
        return digest("\n".join(lines))

    def _digest(self, path: Path, found: os.stat_result) -> str:
        stamp, known = _stamp_of(path, found), self._known.get(str(path))
        if known is None or known[0] != stamp:
            with path.open("rb") as file:
                known = stamp, hashlib.file_digest(file, "sha256").hexdigest()
            self._known[str(path)] = known
        return known[1]


def _folders(files: ModelFiles) -> set[Path]:
    return {files.folder} if files.onnx is None else {files.onnx.parent, files.folder}


def _stamp(folders: set[Path]) -> str:
    """A digest of name, size, inode and times of each file that matters: `cp`, `mv` and an editor's save change it."""
    return digest("\n".join(_stamp_of(path, found) for folder in sorted(folders) for path, found in _relevant(folder)))


def _stamp_of(path: Path, found: os.stat_result) -> str:
    return f"{path} {found.st_size} {found.st_ino} {found.st_mtime_ns} {found.st_ctime_ns}"


def _relevant(folder: Path) -> Iterator[tuple[Path, os.stat_result]]:
    """The regular files of a folder that a model may be made of."""
    for path in filter(_matters, _inside(folder)):
        try:
            found = path.stat()
        except OSError:  # a dangling link, or gone in this moment
            continue
        if stat.S_ISREG(found.st_mode):
            yield path, found


def _matters(path: Path) -> bool:
    return path.name in SIDE_FILES or path.name == MODEL_FILE or may_be_weights(path)


def may_be_weights(path: Path) -> bool:
    """Whether a file beside a model may hold its weights, by its name."""
    return path.suffix.lower() not in NO_WEIGHTS


def digest(text: str) -> str:
    """A short digest of a text; names of files need not be text."""
    return hashlib.sha256(text.encode(errors="surrogateescape")).hexdigest()[:32]


def _inside(folder: Path) -> list[Path]:
    try:
        return sorted(folder.iterdir())
    except (FileNotFoundError, NotADirectoryError):
        return []  # renamed or removed in this moment
