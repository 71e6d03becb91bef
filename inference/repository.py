"""The models folder on disk: which models there are, which files each is made of, and whether they changed."""

import hashlib
import os
import stat
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from inference.links import linked_outside
from inference.model_names import RULE, composed, is_name, is_text, writable

MODEL_FILE = "model.onnx"  # the one that serves where a folder holds several
ONNX_SUFFIX = ".onnx"
ONNX_FOLDER = "onnx"  # Hugging Face's, with the side files one level up
HOOKS_PY = "hooks.py"
# What may lie beside a model file and tell of it; a version's own beat its model's.
SIDE_FILES = ("model.toml", "labels.txt", "config.json", "preprocessor_config.json", "processor_config.json",
              "export.json", HOOKS_PY)
# What else lies about in such folders.
NO_WEIGHTS = (ONNX_SUFFIX, ".txt", ".json", ".toml", ".py", ".md", ".log", ".jpg", ".png")
ONLY_VERSION = "1"  # of a model whose file lies in its folder
LONGEST_VERSION = 18  # digits
MOST_LISTED = 4  # files in a reason


@dataclass(frozen=True)
class ModelFiles:
    """One version of a model. `onnx` is None where there is no model file; `reason` says what to do then.

    `folder` holds the side files; of a bare file it is the file itself, below which there are none. `stamp` differs
    whenever any of the files was written, moved or replaced.
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

    @property
    def is_bare(self) -> bool:
        """Whether the model is a file without a folder of its own, and so without side files."""
        return self.folder == self.onnx

    def placed(self, reason: str) -> str:
        """The reason, and where to put the file that it tells to write beside a model without a folder."""
        if self.onnx is None or not self.is_bare or not any(name in reason for name in SIDE_FILES):
            return reason
        return f"{reason} (first move {self.onnx.name} into a folder {self.name})"


def scan(models_dir: Path) -> list[ModelFiles]:
    """All versions of all models below `models_dir`, by name and number; no two have the same key.

    A model is a folder or an ONNX file. What is hidden, and other loose files, are passed over.
    """
    found: dict[tuple[str, int], ModelFiles] = {}
    first: dict[str, Path] = {}  # by name, what bears it and holds a model
    for path in sorted(filter(_is_model, _inside(models_dir)), key=_rank):
        name = _name_of(path)
        versions = [_second(name, path, first[name])] if name in first else _readable(name, path)
        if any(files.version for files in versions):
            first[name] = path
        for files in versions:
            found.setdefault(files.key, files)
    return [found[key] for key in sorted(found)]


def _is_model(path: Path) -> bool:
    return not path.name.startswith(".") and (path.is_dir() or (_is_onnx(path) and path.is_file()))


def _rank(path: Path) -> tuple[bool, bool, str]:
    """Of those that have the same name a folder goes first, and one whose name is composed."""
    return path.is_file(), path.name != composed(path.name), path.name


def _name_of(path: Path) -> str:
    return composed(writable(path.stem if path.is_file() else path.name))


def _second(name: str, path: Path, first: Path) -> ModelFiles:
    """It is listed without a version, beside the one that serves."""
    differ = composed(path.name) == composed(first.name)
    forms = " (their names differ in Unicode's form alone)" if differ else ""
    return _refused(name, path, f"{_called(first)} has this name too, and goes first{forms}: "
                                f"rename or remove {_called(path)}")


def _called(path: Path) -> str:
    return f"the {'file' if path.is_file() else 'folder'} {writable(path.name)}"


def _refused(name: str, path: Path, reason: str, version: str = "") -> ModelFiles:
    return ModelFiles(name, version, path, None, reason)


def _readable(name: str, path: Path) -> list[ModelFiles]:
    try:
        return list(_versions(name, path))
    except OSError as error:
        return [_refused(name, path, f"its files cannot be read ({error.strerror}): let the service's user read them")]


def _versions(name: str, path: Path) -> Iterator[ModelFiles]:
    if not is_name(name):
        yield _refused(name, path, f"rename the {'file' if path.is_file() else 'folder'}: {RULE}")
    elif path.is_file():
        yield _bare(name, path)
    else:
        numbered = [home for home in _inside(path) if _is_version(home.name) and _model_files(home)]
        for home in numbered:
            yield _files(name, home.name, path, home)
        if not numbered:
            yield _files(name, ONLY_VERSION, path, path)


def _is_version(name: str) -> bool:
    return len(name) <= LONGEST_VERSION and name.isascii() and name.isdecimal() and name == str(int(name))


def _files(name: str, version: str, folder: Path, home: Path) -> ModelFiles:
    """One version. Its files lie in `home`: the model's folder, or a numbered one below it."""
    found = _model_files(home)
    if reason := _reason(home, found):
        return _refused(name, home, reason, version if found else "")
    places = (home, found[0].parent, folder)
    side = next((place for place in places if any((place / file).is_file() for file in SIDE_FILES)), folder)
    if outside := linked_outside(folder, (path for _, path, _ in _parts(found[0], side))):
        return _refused(name, home, outside, version)
    return ModelFiles(name, version, side, found[0], stamp=_stamp(found[0], side))


def _bare(name: str, path: Path) -> ModelFiles:
    """A model file without a folder of its own."""
    beside = (file for _, file, _ in _parts(path, path) if file != path)
    if outside := linked_outside(path.parent, beside):
        return _refused(name, path, outside, ONLY_VERSION)
    return ModelFiles(name, ONLY_VERSION, path, path, stamp=_stamp(path, path))


def _model_files(home: Path) -> list[Path]:
    """The model file of a folder; several where none of them goes first."""
    found = _onnx_files(home) or _onnx_files(home / ONNX_FOLDER)
    return [path for path in found if path.name == MODEL_FILE] or found


def _reason(home: Path, found: Sequence[Path]) -> str:
    """What hinders a folder with these model files from being served, and what to do."""
    if not found:
        return f"no {ONNX_SUFFIX} file in the folder: put the model there"
    if len(found) > 1:
        names = ", ".join(writable(str(path.relative_to(home))) for path in found[:MOST_LISTED])
        more = f" and {len(found) - MOST_LISTED} more" if len(found) > MOST_LISTED else ""
        return f"several {ONNX_SUFFIX} files, and none is {MODEL_FILE} ({names}{more}): name the one to serve " \
               f"{MODEL_FILE}, or move the others away"
    if not is_text(found[0].name):
        return f"the name of its file, {writable(found[0].name)}, is not UTF-8: rename it to {MODEL_FILE}"
    return ""


def _onnx_files(folder: Path) -> list[Path]:
    return [path for path in _inside(folder) if _is_onnx(path) and path.is_file()]


def _is_onnx(path: Path) -> bool:
    """By the name. Hidden ones are what macOS leaves beside a copy ("._best.onnx")."""
    return path.suffix.lower() == ONNX_SUFFIX and not path.name.startswith(".")


class Fingerprints:
    """Digests of what models' files hold: the same on every machine, whenever and by whomever they were copied.

    A file is read again only when its inode, size or times have changed.
    """

    def __init__(self) -> None:
        self._known: dict[str, tuple[str, str]] = {}  # path -> stamp and digest

    def of(self, files: ModelFiles) -> str:
        """Raises OSError: a file cannot be read, or is gone in this moment."""
        parts = [] if files.onnx is None else _parts(files.onnx, files.folder)
        return digest("\n".join(sorted(f"{role} {composed(path.name)} {self._digest(path, found)}"
                                       for role, path, found in parts)))

    def _digest(self, path: Path, found: os.stat_result) -> str:
        stamp, known = _stamp_of(path, found), self._known.get(str(path))
        if known is None or known[0] != stamp:
            with path.open("rb") as file:
                known = stamp, hashlib.file_digest(file, "sha256").hexdigest()
            self._known[str(path)] = known
        return known[1]


def _stamp(onnx: Path, folder: Path) -> str:
    """A digest of name, size, inode and times of each file that matters: `cp`, `mv` and an editor's save change it."""
    return digest("\n".join(_stamp_of(path, found) for _, path, found in _parts(onnx, folder)))


def _stamp_of(path: Path, found: os.stat_result) -> str:
    return f"{path} {found.st_size} {found.st_ino} {found.st_mtime_ns} {found.st_ctime_ns}"


def _parts(onnx: Path, folder: Path) -> Iterator[tuple[str, Path, os.stat_result]]:
    """The regular files that a model may be made of, each with its role: weights lie beside the model file, and what
    hooks.py may read beside the side files."""
    read_by_hooks = _weights_in(folder) if folder != onnx.parent and (folder / HOOKS_PY).is_file() else []
    sides = [*(folder / name for name in SIDE_FILES), *read_by_hooks]
    for role, paths in (("model", [onnx, *_weights_in(onnx.parent, onnx)]), ("side", sides)):
        for path in paths:
            try:
                found = path.stat()
            except OSError:  # there is none, a dangling link, or gone in this moment
                continue
            if stat.S_ISREG(found.st_mode):
                yield role, path, found


def _weights_in(folder: Path, onnx: Path | None = None) -> list[Path]:
    """What may be weights, but for those that are named after another model file than `onnx`."""
    beside = _inside(folder)
    others = tuple(path.name for path in beside if _is_onnx(path) and path != onnx)
    return [path for path in beside if may_be_weights(path) and not path.name.startswith(others)]


def may_be_weights(path: Path) -> bool:
    """Whether a file beside a model may hold its weights, by its name."""
    return path.suffix.lower() not in NO_WEIGHTS and not path.name.startswith(".")


def digest(text: str) -> str:
    """A short digest of a text; names of files need not be text."""
    return hashlib.sha256(text.encode(errors="surrogateescape")).hexdigest()[:32]


def _inside(folder: Path) -> list[Path]:
    try:
        return sorted(folder.iterdir())
    except (FileNotFoundError, NotADirectoryError):
        return []  # renamed or removed in this moment
