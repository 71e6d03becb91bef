"""What is served lies in the models folder: a link in a model's folder that leads out of it is not followed."""

import os
from collections.abc import Iterable
from pathlib import Path

from inference.model_names import writable


def linked_outside(folder: Path, files: Iterable[Path]) -> str:
    """Which of a model's files lies elsewhere, and what to do; nothing where all lie in the folder, which may be a link
    itself."""
    linked = [path for path in files if path.is_symlink() or (path.parent != folder and path.parent.is_symlink())]
    inside = Path(os.path.realpath(folder)) if linked else folder
    outside = next((path for path in linked if not Path(os.path.realpath(path)).is_relative_to(inside)), None)
    if outside is None:
        return ""
    return f"{writable(outside.name)} is a link that leads out of the folder: copy the file itself there, as cp -L does"
