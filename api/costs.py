"""What predictions will take, as one web process knows it: from the predictors' calibration, and from every run."""

import threading
import time
from collections.abc import Iterable, Sequence

from inference.cost import Amounts, CostModel, Fit, Work
from inference.errors import InferenceError, SlowToDecode
from inference.model_info import ModelInfo
from inference.workload import UNMEASURED_LIKE, running_part
from jobs.costs import SharedCosts
from predictors.catalogue import Catalogue

EXCHANGE_S = 1.0
Seed = Sequence[tuple[Amounts, float]]
Sample = tuple[str, tuple[float, ...], float]  # a part, its amounts, milliseconds


class Costs:
    """A cost model that begins with the catalogue's seeds and learns from the runs of all processes."""

    def __init__(self, catalogue: Catalogue, shared: SharedCosts) -> None:
        self._catalogue, self._shared = catalogue, shared
        self._model = CostModel(UNMEASURED_LIKE)
        self._revision = -1
        self._seeds: dict[str, Seed] = {}
        self._gone: set[str] = set()

    def start(self) -> None:
        """Exchange samples with the other processes in a thread; after a fork, never before."""
        threading.Thread(target=self._exchange_forever, name="costs", daemon=True).start()

    def predict_ms(self, works: Iterable[Work]) -> float:
        """Milliseconds of a core that all parts of some work will take."""
        self._follow_catalogue()
        return self._model.predict_ms(works)

    def observe(self, samples: Iterable[Sample]) -> None:
        """Keep what a run took; the next exchange learns from it."""
        for part, amounts, ms in samples:
            self._model.observe(Work(part, amounts), ms, time.time())

    def observe_failed(self, error: InferenceError, decoding: Work | None = None, budget_ms: float = 0.0) -> None:
        """Keep what was spent on a run that came to no end. A predictor that was ended because it decoded for too long
        tells nothing any more, but it has used the budget up."""
        self._follow_catalogue()
        used_up = [(decoding.part, decoding.amounts, budget_ms)] if decoding and isinstance(error, SlowToDecode) else []
        for part, amounts, ms in error.samples or used_up:
            self._model.observe_least(Work(part, amounts), ms, time.time())

    def exchange(self) -> None:
        """Learn from what was observed, here and in the other processes."""
        self._follow_catalogue()
        given = self._model.snapshot(self._model.learn())
        self._model.merge(self._shared.exchange(given), time.time())

    def of(self, model: ModelInfo) -> dict:
        """Milliseconds of a core, for `GET /models/<name>`."""
        self._follow_catalogue()
        fits = self._model.fits()
        decoding = {part.removeprefix("decode "): _rates(fit, ("image", "megapixel", "megabyte"))
                    for part, fit in sorted(fits.items()) if part.startswith("decode ")}
        own = _rates(fits[running_part(model)], ("run", "resized_megapixel", "megapixel"))
        return own | {"decode": decoding}

    def _exchange_forever(self) -> None:
        while True:
            time.sleep(EXCHANGE_S)
            self.exchange()

    def _follow_catalogue(self) -> None:
        if self._catalogue.revision != self._revision:
            self._revision = self._catalogue.revision
            self._take(dict(self._catalogue.seeds))

    def _take(self, seeds: dict[str, Seed]) -> None:
        """A model that is gone is forgotten one revision later: a request may just be asking for its cost."""
        for part in self._gone - seeds.keys():
            self._model.forget(part)
        self._gone = self._seeds.keys() - seeds.keys()
        for part, seed in seeds.items():
            if seed != self._seeds.get(part):
                self._model.seed(part, seed)
        self._seeds = seeds


def _rates(fit: Fit, names: tuple[str, ...]) -> dict:
    rates = {f"{name}_ms": round(rate, 4) for name, rate in zip(names, fit.rates, strict=True)}
    return rates | {"error": fit.error, "samples": fit.samples}
