"""Which model is served, and how a new one takes its place: decided from the models folder and the trials' results."""

import logging
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from inference import repository
from inference.model_info import ModelInfo
from inference.repository import Fingerprints, ModelFiles
from inference.trial import TrialResult, Trials

State = Literal["loading", "ready", "failed"]
Place = tuple[str, int]  # a model's name and version: only one model can be served at a place
READING_S = 0.5  # of model files at each look
log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Candidate:
    """A model that passed its trial."""

    files: ModelFiles
    info: ModelInfo

    @property
    def source(self) -> tuple[str, Path | None, Path]:
        """What the model was made of, and from where a predictor that is forked later can load it again."""
        return self.info.fingerprint, self.files.onnx, self.files.folder


@dataclass(frozen=True)
class Entry:
    """One version of a model as `GET /models` lists it. A ready one with a reason was replaced on disk by files that
    cannot be served."""

    name: str
    version: str
    state: State
    reason: str = ""
    model: ModelInfo | None = None


@dataclass(frozen=True)
class _Found:
    """A model's files as they lie there, once they stayed the same for two looks, and the result of their trial."""

    files: ModelFiles
    fingerprint: str = ""
    result: TrialResult | None = None


@dataclass
class Registry:
    """Belongs to one process, which loads none of the models. `look` is to be called again and again."""

    models_dir: Path
    trials: Trials
    _fingerprints: Fingerprints = field(default_factory=Fingerprints)
    _seen: dict[Place, ModelFiles] | None = None
    _found: dict[Place, _Found] = field(default_factory=dict)
    _refused: dict[str, str] = field(default_factory=dict)  # fingerprint -> why it could not be loaded after all

    def look(self) -> None:
        """Look once at the folder: what stayed as it was since the last look is tried, what is gone since then is
        dropped. At the first look everything counts as settled."""
        now = {files.key: files for files in repository.scan(self.models_dir)}
        before = now if self._seen is None else self._seen
        for key in [key for key in self._found if key not in now and key not in before]:
            self._drop(key)
        self._settle_all({key: files for key, files in now.items() if before.get(key) == files})
        self._seen = now
        self.follow()

    def follow(self) -> None:
        """Note what came of the trials that ended since the last look, and begin others in their places."""
        wanted = {f"{name}@{version}": (name, version) for (name, version), found in self._found.items()
                  if found.result is None and found.fingerprint}
        for ended in self.trials.follow({name: (self._found[key].files, self._found[key].fingerprint)
                                         for name, key in wanted.items()}):
            if ended in wanted:
                found = self._found[wanted[ended]]
                self._note(wanted[ended], found.files, found.fingerprint,
                           self.trials.known(found.files, found.fingerprint))

    def wanted(self, served: Mapping[Place, Candidate]) -> dict[Place, Candidate]:
        """What should be served: the newest files that passed their trial, else what is served now."""
        wanted = {}
        for key, found in self._found.items():
            info, current = self._result(found).info, served.get(key)
            candidate = None if info is None else Candidate(found.files, info)
            if candidate is not None and (current is None or candidate.source != current.source):
                wanted[key] = candidate
            elif current is not None:
                wanted[key] = current
        return wanted

    def refuse(self, candidate: Candidate, reason: str) -> None:
        """It passed its trial and could not be loaded all the same: it is not tried again until its files change."""
        log.warning("model %r cannot be loaded: %s", candidate.files.name, reason)
        self._refused[candidate.info.fingerprint] = reason

    def entries(self, served: Mapping[Place, Candidate]) -> list[Entry]:
        """All versions of all models, by name and number."""
        return [self._entry(self._found[key], served.get(key)) for key in sorted(self._found)]

    def _settle_all(self, settled: Mapping[Place, ModelFiles]) -> None:
        """Files are read for their fingerprints: what takes long goes on at the next look, and is listed meanwhile."""
        began = time.monotonic()
        for key, files in settled.items():
            if time.monotonic() - began < READING_S:
                self._settle(key, files)
            else:
                self._found.setdefault(key, _Found(files))

    def _settle(self, key: Place, files: ModelFiles) -> None:
        """Note files that may be new; a file that is gone in this moment is noted at the next look."""
        found = self._found.get(key)
        if found is not None and found.files == files and found.result is not None:
            return
        try:
            fingerprint = self._fingerprints.of(files) if files.onnx is not None else ""
        except FileNotFoundError:
            return
        except OSError as error:
            self._found[key] = _Found(files, "", TrialResult(
                f"its files cannot be read ({error.strerror}): let the service's user read them"))
            return
        result = TrialResult(files.reason) if files.onnx is None else self.trials.known(files, fingerprint)
        self._note(key, files, fingerprint, result)

    def _note(self, key: Place, files: ModelFiles, fingerprint: str, result: TrialResult | None) -> None:
        before = self._found.get(key)
        if result is not None and result.reason and (before is None or before.result != result):
            log.warning("model %r, version %s cannot be served: %s", files.name, files.version or "-", result.reason)
        self._found[key] = _Found(files, fingerprint, result)

    def _drop(self, key: Place) -> None:
        found = self._found.pop(key)
        log.info("model %r is gone", found.files.name)
        if found.files.version:  # only what may have been tried; what is refused may have any name
            self.trials.forget(found.files.name)

    def _result(self, found: _Found) -> TrialResult:
        """The trial's result, unless the model could not be loaded after it."""
        if found.fingerprint in self._refused:
            return TrialResult(self._refused[found.fingerprint])
        return found.result or TrialResult()

    def _entry(self, found: _Found, served: Candidate | None) -> Entry:
        files, reason = found.files, self._result(found).reason
        if served is None:
            return Entry(files.name, files.version, "failed" if reason else "loading", reason)
        replaced = "its files changed and cannot be served, those before still are: " + reason if reason else ""
        return Entry(files.name, files.version, "ready", replaced, served.info)
