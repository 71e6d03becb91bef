"""Engine: the models that are served, as their folder stands, and what a prediction by each will take."""

import ctypes
import logging
import time
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel

from inference import drawing, loading, repository
from inference.cost import CostModel, Fit, Snapshot
from inference.errors import ModelNotFound, ModelNotUsable
from inference.image import ImageInfo, OpenedImage, decode, open_image
from inference.measuring import measure_decoding
from inference.model import LoadedModel, Prediction, Progress, unheard
from inference.repository import ModelFiles
from inference.trial import TRIAL_S, Trials, Verdict
from inference.workload import UNMEASURED_LIKE, Workload, first_guess, running_part, workload

log = logging.getLogger(__name__)
State = Literal["loading", "ready", "failed"]
Key = tuple[str, int]  # name, version
TRIMS = 3  # looks
RETIRED_S = 600.0  # what a dropped model cost is asked for by requests that still hold it
START_S = 15  # for all trials of a start together


@dataclass(frozen=True)
class ModelEntry:
    """One version of a model as `GET /models` lists it. A ready one with a reason was replaced on disk by files that
    cannot be served."""

    files: ModelFiles
    state: State
    reason: str = ""
    model: LoadedModel | None = None


class Engine:
    """The served models. One thread at a time loads and follows; `predict` may be called from several meanwhile.

    With a folder for `trials` each model is tried in a child process before it is loaded here.
    """

    def __init__(self, models_dir: Path, max_pixels: int, trials: Path | None = None) -> None:
        self._models_dir = models_dir
        self._max_pixels = max_pixels
        self._trials = None if trials is None else Trials(trials)
        self.costs = CostModel(UNMEASURED_LIKE)
        self._retired: deque[tuple[float, str]] = deque()
        self._seen = {files.key: files for files in repository.scan(models_dir)}
        self._entries = {key: ModelEntry(files, "loading") for key, files in self._seen.items()}
        self._served = _by_model_type(self._entries)
        self._started = False
        self._trims = 0
        self._news: deque[tuple[int, str]] = deque()

    def load(self, before_fork: bool = False) -> None:
        """Load what is not loaded yet; with `before_fork` only models that survive one (one thread, on the CPU).

        A model whose trial takes too long for a start stays `loading`: `follow` tries it, while the rest is served.
        """
        if not before_fork:
            self._take_over()
        deadline = time.monotonic() + START_S
        for key, entry in list(self._entries.items()):
            if entry.state == "loading" and (loading.survives_fork(entry.files) or not before_fork):
                new = self._loaded(entry.files, patience_s=deadline - time.monotonic())
                if new is not None:
                    self._put(key, new)
        self._started = not before_fork or all(entry.state != "loading" or loading.survives_fork(entry.files)
                                               for entry in self._entries.values())
        _return_memory()  # what loading left: 18 to 60 MB of the process that forks, for a model of 150

    def begin_again(self) -> None:
        """In a process that may have been forked long after the models were loaded: then it has to `load` first."""
        found = {files.key: files for files in repository.scan(self._models_dir)}
        self._started = self._started and found == {key: entry.files for key, entry in self._entries.items()}

    def log_news(self) -> None:
        """Log what loading and following brought. Not done there: it may be a native thread beside gevent's hub, and
        the two must not share logging's lock."""
        while self._news:
            level, text = self._news.popleft()
            log.log(level, text)

    def follow(self, may_try: bool = True, before_fork: bool = False) -> None:
        """One look at the folder, to be repeated each second: what stayed as it was since the last look is loaded,
        what is gone since then is dropped. Files that nobody tried are left alone without `may_try`; with
        `before_fork` models that do not survive one are left `loading`."""
        self._tidy_up()
        found = {files.key: files for files in repository.scan(self._models_dir)}
        settled = [files for key, files in found.items() if self._seen.get(key) == files]
        gone = [key for key in self._entries if key not in found and key not in self._seen]
        self._seen = found
        for key in gone:
            self._drop(key)
        for files in settled:
            if before_fork and not loading.survives_fork(files):
                self._leave(files)
            else:
                self._adopt(files, may_try)

    def loaded_from(self, model_type: str, mark: str) -> LoadedModel | None:
        """The model of this name if it is the one that was loaded from these very files."""
        entry = self._served.get(model_type)
        return entry.model if entry is not None and entry.model is not None and entry.model.mark == mark else None

    def catch_up(self, mark: str) -> None:
        """Take over files that another process serves already, if they are still the ones on disk."""
        for files in repository.scan(self._models_dir):
            if mark and files.mark == mark:
                self._adopt(files, may_try=False)

    def measure_decoding(self) -> None:
        """Learn what decoding costs on this machine; `predict_ms` needs it, `predict` does not."""
        for part, samples in measure_decoding():
            self.costs.seed(part, samples)

    @property
    def entries(self) -> list[ModelEntry]:
        """All versions of all models of the repository, by name and number."""
        entries = self._entries
        return [entries[key] for key in sorted(entries)]

    @property
    def loading(self) -> bool:
        """Whether the first load is still under way."""
        return not self._started

    def entry(self, model_type: str) -> ModelEntry:
        """By name (the highest version that can be served) or by "name:version".

        Raises:
            ModelNotFound.
        """
        served = self._served  # the thread that follows may put others in its place
        if model_type not in served:
            names = ", ".join(dict.fromkeys(name for name, _ in sorted(self._entries))) or "none"
            raise ModelNotFound(f"no model '{model_type}'; there is: {names}")
        return served[model_type]

    def model(self, model_type: str) -> LoadedModel:
        """Raises ModelNotFound, also for a model that is listed but cannot be served."""
        entry = self.entry(model_type)
        if entry.model is None:
            raise ModelNotFound(f"model '{model_type}' cannot be served: {entry.reason or entry.state}")
        return entry.model

    def open(self, data: bytes) -> OpenedImage:
        """Read an image's header; raises UnsupportedImage, TooManyPixels."""
        return open_image(data, self._max_pixels)

    def workload(self, model: LoadedModel, info: ImageInfo, parameters: BaseModel) -> Workload:
        """What a prediction consists of, from the header alone."""
        return workload(model, info, parameters)

    def predict_ms(self, work: Workload) -> float:
        """What a prediction will take, by what was learned so far."""
        return self.costs.predict_ms(work.works)

    def observe(self, work: Workload, prediction: Prediction) -> None:
        """Learn from a finished prediction."""
        for part, ms in zip(work.works, work.spent_ms(prediction), strict=True):
            self.costs.observe(part, ms, time.time())

    def learn(self, exchange: Callable[[Snapshot], Snapshot]) -> None:
        """Make use of what was observed, here and in the processes that `exchange` gives to and takes from."""
        given = self.costs.snapshot(self.costs.learn())
        self.costs.merge(exchange(given), time.time())

    def cost(self, model: LoadedModel) -> dict:
        """What `predict_ms` knows, for `GET /models/<name>`: milliseconds of a core."""
        fits = self.costs.fits()
        own = fits[running_part(model)]
        decoding = {part.removeprefix("decode "): _rates(fit, ("image", "megapixel", "megabyte"))
                    for part, fit in sorted(fits.items()) if part.startswith("decode ")}
        return _rates(own, ("run", "resized_megapixel", "megapixel")) | {"decode": decoding}

    def parameters(self, model_type: str, given: Mapping[str, Any]) -> BaseModel:
        """Raises ModelNotFound, BadParameter."""
        return self.model(model_type).parameters(given)

    def predict(self, model_type: str, image: OpenedImage, parameters: BaseModel,
                progress: Progress = unheard) -> Prediction:
        """Decode, preprocess, run, postprocess. The image is used up.

        Raises:
            ModelNotFound, UnsupportedImage, InferenceFailed.
        """
        return self.model(model_type).predict(image, parameters, progress)

    def picture(self, data: bytes, result: dict, kind: drawing.Kind) -> bytes:
        """A result drawn on its image, or the image that it produced, as a file of the media type `kind`.

        Raises:
            NotDrawable, UnsupportedImage.
        """
        return drawing.encode(drawing.draw(decode(self.open(data), None).image, result), kind)

    def end_trials(self) -> None:
        """For good: the process is to stop, and a trial may take long."""
        if self._trials is not None:
            self._trials.end()

    def _take_over(self) -> None:
        """At once what the other processes serve by now."""
        found = {files.key: files for files in repository.scan(self._models_dir)}
        for key in self._entries.keys() - found.keys():
            self._drop(key)
        for files in found.values():
            self._adopt(files, may_try=False)

    def _adopt(self, files: ModelFiles, may_try: bool) -> None:
        """Load files that are not those served, beside them, and put them in their place if they can be served."""
        entry = self._entries.get(files.key)
        if entry is not None and entry.files == files and entry.state != "loading":
            return
        if self._trials is not None and not may_try and self._trials.known(files) is None:
            return
        if entry is None:
            self._put(files.key, ModelEntry(files, "loading"))
        new = self._loaded(files)
        if new is not None and (repository.is_unchanged(files) or files.onnx is None):
            self._put(files.key, _kept(entry, new))

    def _leave(self, files: ModelFiles) -> None:
        """To the processes that are forked later."""
        entry = self._entries.get(files.key)
        if entry is None or entry.files != files:
            self._replace({**self._entries, files.key: ModelEntry(files, "loading")})

    def _note(self, level: int, text: str) -> None:
        self._news.append((level, text))

    def _loaded(self, files: ModelFiles, patience_s: float = TRIAL_S) -> ModelEntry | None:
        """None where the files were moved meanwhile, or their trial took longer than the patience: look again."""
        try:
            if self._trials is not None and files.onnx is not None:
                verdict = self._verdict(self._trials, files, patience_s)
                if verdict is None:
                    return None
                _check(verdict.reason)
            model = loading.load(files)
            self.costs.seed(running_part(model), first_guess(model))
            return ModelEntry(files, "ready", model=model)
        except FileNotFoundError:
            return None
        except Exception as error:  # whatever one model's files bring, the others serve
            reason = loading.reason_of(error)
        self._note(logging.WARNING, f"model {files.name!r}, version {files.version or '-'} cannot be served: {reason}")
        return ModelEntry(files, "failed", reason)

    def _verdict(self, trials: Trials, files: ModelFiles, patience_s: float) -> Verdict | None:
        try:
            return trials.verdict(files, patience_s)
        except OSError as error:  # a full disk says nothing about the model
            self._note(logging.ERROR, f"model {files.name!r} cannot be tried: {error}")
            return None

    def _put(self, key: Key, entry: ModelEntry) -> None:
        """Requests see either the old models or the new ones."""
        if self._started and entry.state == "ready" and not entry.reason:
            self._note(logging.INFO, f"model {entry.files.name!r}, version {entry.files.version} is served")
        self._replace({**self._entries, key: entry})

    def _drop(self, key: Key) -> None:
        files = self._entries[key].files
        self._note(logging.INFO, f"model {files.name!r} is gone")
        if self._trials is not None and files.onnx is not None:  # what was tried; other folders may have any name
            self._trials.forget(files)
        self._replace({other: entry for other, entry in self._entries.items() if other != key})

    def _replace(self, entries: dict[Key, ModelEntry]) -> None:
        now = time.monotonic()
        self._retired += [(now, running_part(model)) for model in _models(self._entries)
                          if not any(model is kept for kept in _models(entries))]
        self._entries, self._served, self._trims = entries, _by_model_type(entries), TRIMS

    def _forget_costs(self, part: str) -> None:
        """Unless the same files were brought back meanwhile."""
        if part not in map(running_part, _models(self._entries)):
            self.costs.forget(part)

    def _tidy_up(self) -> None:
        """glibc keeps what a dropped model used: 20 swaps of a 137-MB model grew to 470 MB, with this 202. Several
        looks long, as requests may still hold it."""
        while self._retired and time.monotonic() - self._retired[0][0] > RETIRED_S:
            self._forget_costs(self._retired.popleft()[1])
        if self._trims:
            self._trims -= 1
            _return_memory()


def _kept(old: ModelEntry | None, new: ModelEntry) -> ModelEntry:
    """The new entry, but never a broken model in the place of a working one."""
    if new.model is not None or old is None or old.model is None:
        return new
    return replace(old, files=new.files, reason=f"its files changed and cannot be served, those before still are: "
                                                f"{new.reason}")


def _by_model_type(entries: Mapping[Key, ModelEntry]) -> dict[str, ModelEntry]:
    """Every name that `model_type` may have: "name" for the highest version that is ready, "name:version"."""
    served: dict[str, ModelEntry] = {}
    for name, version in sorted(entries, key=lambda key: (key[0], entries[key].model is not None, key[1])):
        served[name] = served[f"{name}:{version}"] = entries[name, version]
    return served


def _rates(fit: Fit, names: tuple[str, ...]) -> dict:
    rates = {f"{name}_ms": round(rate, 4) for name, rate in zip(names, fit.rates, strict=True)}
    return rates | {"error": fit.error, "samples": fit.samples}


def _models(entries: Mapping[Key, ModelEntry]) -> list[LoadedModel]:
    return [entry.model for entry in entries.values() if entry.model is not None]


def _check(reason: str) -> None:
    if reason:
        raise ModelNotUsable(reason)


def _return_memory() -> None:
    libc = ctypes.CDLL(None)
    if hasattr(libc, "malloc_trim"):
        libc.malloc_trim(0)
