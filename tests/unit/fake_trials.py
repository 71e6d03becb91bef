"""The registry's surroundings without processes: trials that end at once, and a parent that serves what is wanted."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, cast

from inference.model_info import ModelInfo
from inference.registry import Candidate, Entry, Place, Registry
from inference.repository import ModelFiles
from inference.spec import InputSpec, ModelSpec, OutputSpec
from inference.trial import TrialResult

BROKEN = b"broken"


def tried(files: ModelFiles, fingerprint: str) -> TrialResult:
    """A model is good unless its file says otherwise."""
    assert files.onnx is not None
    if files.onnx.read_bytes() == BROKEN:
        return TrialResult("export it again")
    spec = ModelSpec(files.name, files.version, "tensor", (), InputSpec("image", (32, 32)), OutputSpec({}))
    return TrialResult(info=ModelInfo(spec, fingerprint, (), ()))


class AtOnce:
    """Trials that have ended as soon as somebody follows them, unless they are `slow`."""

    def __init__(self) -> None:
        self.results: dict[tuple[str, str], TrialResult] = {}
        self.count, self.slow, self.forgotten = 0, False, list[str]()

    def known(self, files: ModelFiles, fingerprint: str) -> TrialResult | None:
        return self.results.get((files.name, fingerprint))

    def follow(self, wanted: Mapping[str, tuple[ModelFiles, str]]) -> list[str]:
        for files, fingerprint in wanted.values() if not self.slow else ():
            self.results[files.name, fingerprint] = tried(files, fingerprint)
            self.count += 1
        return []  # the next look finds the results

    def forget(self, name: str) -> None:
        self.forgotten.append(name)


@dataclass
class Parent:
    """Looks, and serves at once what is wanted."""

    models: Path
    trials: AtOnce = field(default_factory=AtOnce)
    served: dict[Place, Candidate] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.registry = Registry(self.models, cast(Any, self.trials))

    def look(self, times: int = 1) -> None:
        for _ in range(times):
            self.registry.look()
            self.served = self.registry.wanted(self.served)

    def look_long(self) -> None:
        """Two looks show that a file is settled; the third one hears of its trial."""
        self.look(3)

    def entry(self, name: str = "leaf", version: str = "1") -> Entry:
        [entry] = [entry for entry in self.entries if (entry.name, entry.version) == (name, version)]
        return entry

    @property
    def entries(self) -> list[Entry]:
        return self.registry.entries(self.served)


def put(folder: Path, content: bytes = b"good") -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "model.onnx").write_bytes(content)
    return folder / "model.onnx"
