"""The models folder on disk: which models there are, which files each is made of, and whether they changed."""

import hashlib
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

    `folder` holds the side files; `mark` differs whenever any of its files was written, moved or replaced.
    """

    name: str
    version: str
    folder: Path
    onnx: Path | None
    reason: str = ""
    mark: str = ""

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


def is_unchanged(files: ModelFiles) -> bool:
    """Whether the files are still those that were looked at."""
    try:
        return files.onnx is not None and _mark({files.onnx.parent, files.folder}) == files.mark
    except OSError:
        return False


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
    return ModelFiles(folder.name, version, side, onnx, mark=_mark({onnx.parent, side}))


def _mark(folders: set[Path]) -> str:
    """A digest of name, size, inode and times of each file that matters: `cp`, `mv` and an editor's save change it."""
    lines = []
    for path in (path for folder in sorted(folders) for path in _inside(folder) if _matters(path)):
        try:
            found = path.stat()
        except OSError:  # a dangling link, or gone in this moment
            continue
        if stat.S_ISREG(found.st_mode):
            lines.append(f"{path} {found.st_size} {found.st_ino} {found.st_mtime_ns} {found.st_ctime_ns}")
    return digest("\n".join(lines))


def _matters(path: Path) -> bool:
    return path.name in SIDE_FILES or path.name == MODEL_FILE or may_be_weights(path)


def may_be_weights(path: Path) -> bool:
    """Whether a file beside a model may hold its weights, by its name."""
    return path.suffix.lower() not in NO_WEIGHTS


def digest(text: str) -> str:
    """A short fingerprint; names of files need not be text."""
    return hashlib.sha256(text.encode(errors="surrogateescape")).hexdigest()[:32]


def _inside(folder: Path) -> list[Path]:
    try:
        return sorted(folder.iterdir())
    except (FileNotFoundError, NotADirectoryError):
        return []  # renamed or removed in this moment
