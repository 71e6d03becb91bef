"""What is served, for those who hold no model: a file of JSON, which the predictors' parent replaces as a whole."""

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from inference.cost import Amounts
from inference.errors import ModelLoading, ModelNotFound
from inference.model_info import ModelInfo
from inference.model_names import composed
from inference.registry import Entry
from inference.workload import first_guess, running_part

Seed = tuple[str, list[tuple[Amounts, float]]]  # a part of the work, and what amounts of it take in milliseconds


@dataclass(frozen=True)
class Listing:
    """What the file says. `is_ready`: every model of the start is ready or failed, or 15 s have passed and one is
    ready. `decoding` is what decoding takes on this machine."""

    entries: Sequence[Entry] = ()
    is_ready: bool = False
    decoding: Sequence[Seed] = ()

    def to_json(self) -> dict[str, Any]:
        return {"entries": [_entry_to_json(entry) for entry in self.entries], "is_ready": self.is_ready,
                "decoding": self.decoding}

    @classmethod
    def from_json(cls, values: dict[str, Any]) -> "Listing":
        decoding = [(part, [(tuple(amounts), ms) for amounts, ms in samples]) for part, samples in values["decoding"]]
        return cls([_entry_from_json(entry) for entry in values["entries"]], values["is_ready"], decoding)


def write(path: Path, listing: Listing) -> None:
    """Replace the file. Raises OSError."""
    partial = path.with_suffix(".partial")
    partial.write_text(json.dumps(listing.to_json()))
    partial.replace(path)


class Catalogue:
    """The file as one process reads it: again whenever it was replaced, which costs a look at it otherwise."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._inode_and_time = (0, 0)
        self._listing = Listing()
        self._by_name: dict[str, Entry] = {}
        self.revision = 0  # grows with each reading

    @property
    def exists(self) -> bool:
        """Whether the predictors' parent has listed the models yet."""
        self._read()
        return self.revision > 0

    @property
    def entries(self) -> Sequence[Entry]:
        """All versions of all models, by name and number."""
        return self._read().entries

    @property
    def names(self) -> str:
        """Of the models that are served, or will be soon, to be told to a caller."""
        served = dict.fromkeys(entry.name for entry in self.entries if entry.state != "failed")
        return ", ".join(served) or "none"

    @property
    def is_ready(self) -> bool:
        return self._read().is_ready

    @property
    def seeds(self) -> list[Seed]:
        """What is known of costs before the first prediction, for `CostModel.seed`."""
        listing = self._read()
        models = (entry.model for entry in listing.entries if entry.model is not None)
        return [*listing.decoding, *((running_part(model), first_guess(model)) for model in models)]

    @property
    def fingerprints(self) -> dict[str, str]:
        """Of the models that are served, by every name that `model_type` may have."""
        self._read()
        return {name: entry.model.fingerprint for name, entry in self._by_name.items() if entry.model is not None}

    def entry(self, model_type: str) -> Entry:
        """By name (the highest version that is ready) or by "name:version", in either of Unicode's forms.

        Raises:
            ModelNotFound.
        """
        self._read()
        name = composed(model_type)
        if name not in self._by_name:
            raise ModelNotFound(f"no model '{model_type}'; there is: {self.names}")
        return self._by_name[name]

    def model(self, model_type: str) -> ModelInfo:
        """The model that is served under a name.

        Raises:
            ModelNotFound: also for one that is listed and cannot be served. ModelLoading.
        """
        entry = self.entry(model_type)
        if entry.model is not None:
            return entry.model
        if entry.state == "loading":
            raise ModelLoading(f"model '{model_type}' is still being loaded; try again in a few seconds")
        raise ModelNotFound(f"model '{model_type}' cannot be served: {entry.reason}")

    def _read(self) -> Listing:
        try:
            found = self._path.stat()
        except FileNotFoundError:
            return self._listing
        if (found.st_ino, found.st_mtime_ns) != self._inode_and_time:
            self._listing = Listing.from_json(json.loads(self._path.read_text()))
            self._by_name = _by_name(self._listing.entries)
            self._inode_and_time = found.st_ino, found.st_mtime_ns
            self.revision += 1
        return self._listing


def _by_name(entries: Iterable[Entry]) -> dict[str, Entry]:
    """Every name that `model_type` may have: "name" for the highest version that is ready, "name:version"."""
    found: dict[str, Entry] = {}
    for entry in sorted(entries, key=lambda entry: (entry.name, entry.model is not None, int(entry.version or 0))):
        found[entry.name] = found[f"{entry.name}:{entry.version}"] = entry
    return found


def _entry_to_json(entry: Entry) -> dict[str, Any]:
    return {"name": entry.name, "version": entry.version, "state": entry.state, "reason": entry.reason,
            "model": None if entry.model is None else entry.model.to_json()}


def _entry_from_json(values: dict[str, Any]) -> Entry:
    model = values["model"]
    return Entry(**values | {"model": None if model is None else ModelInfo.from_json(model)})
