"""`./punnet models check FOLDER`: what would be found out about a model, without serving it."""

import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from inference.model_info import ModelInfo
from inference.repository import Fingerprints, ModelFiles, scan
from inference.trial import TrialResult, Trials

LOOK_S = 0.05


def main(path: Path) -> int:
    """Print it. Returns 0 for a model that would be served."""
    if not path.exists():
        print(f"punnet: {path}: there is no such folder or file", file=sys.stderr)
        return 1
    with tempfile.TemporaryDirectory(prefix="punnet-check-") as folder:
        models = Path(folder, "models")
        models.mkdir()
        (models / path.name).symlink_to(path)
        results = [(files, tried(files, Path(folder))) for files in scan(models)]
    for files, result in results:
        print("\n".join(told(files, result)))
    if not results:
        print(f"punnet: {path}: neither a folder nor an ONNX file", file=sys.stderr)
    return 0 if results and all(result.info for _, result in results) else 1


def tried(files: ModelFiles, folder: Path) -> TrialResult:
    """In a process of its own, as the service does it."""
    if files.onnx is None:
        return TrialResult(files.reason)
    trials, fingerprint = Trials(folder, places=1), Fingerprints().of(files)
    try:
        while (found := trials.known(files, fingerprint)) is None:
            trials.follow({files.name: (files, fingerprint)})
            time.sleep(LOOK_S)
    finally:
        trials.end()
    return found


def told(files: ModelFiles, result: TrialResult) -> Iterator[str]:
    if result.info is None:
        yield f"{files.name}: would not be served: {result.reason}"
        return
    yield f"{files.name}: would be served, as {result.info.spec.task}"
    yield from _details(result.info)


def _details(info: ModelInfo) -> Iterator[str]:
    for warning in info.spec.warnings:
        yield f"  warning: {warning}"
    for finding in info.spec.findings:
        known = finding.to_dict()
        yield f"  {known['fact']}: {known['value']}  ({known['source']})"


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
