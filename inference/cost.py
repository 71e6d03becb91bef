"""What a prediction will take, learned from earlier ones: facts of the header in, milliseconds of a core out.

The work of a prediction has parts (a JPEG is decoded at 1/4, a model runs), and each part's time is linear in a few
amounts (megapixels, megabytes, runs). Its rates are fitted to the newest samples of every size, so that a thousand
small images do not make the model forget the large ones, by least absolute relative error (iteratively reweighted
least squares, Schlossmacher 1973): samples that other work on the machine delayed count as outliers. Pure: plain
values in, plain values out.
"""

import math
from collections import defaultdict, deque
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from operator import mul
from statistics import median
from typing import Any

Amounts = tuple[float, ...]
Bin = tuple[str, int]  # a part, and the class of size that its work falls in
Snapshot = dict[str, list[list[Any]]]  # as JSON has it: by bin, of each sample its time, amounts, milliseconds
KEPT = 12  # samples of a bin
KEPT_S = 24 * 3600
RENEWED_S = 5  # between two samples of a full bin: more would tell the same, and the event loop waits for each fit
MAX_WAITING = 1000  # between two calls of `learn`
REFITS, SWEEPS = 8, 12
ROUND_OFF = 0.05  # errors below this share are not told from none
NEXT_TO_NOTHING = 1e-4
FAR_OFF = 0.8  # of what the samples took: no noise, and no machine that became slower
SEED_WEIGHT = 0.25  # of a real sample's: two real ones outweigh what was measured at the start


@dataclass(frozen=True)
class Work:
    """A part of a prediction. Its name begins with the word for its kind."""

    part: str
    amounts: Amounts


@dataclass(frozen=True)
class Sample:
    """What an amount of work took: `ms` of a core's time, at `at` seconds since the epoch."""

    at: float
    amounts: Amounts
    ms: float


@dataclass(frozen=True)
class Fit:
    """Milliseconds per unit of each amount, and the median relative error on the samples that they were fitted to."""

    rates: Amounts
    error: float | None = None
    samples: int = 0


@dataclass
class CostModel:
    """The samples and fits of one process.

    Samples of several processes are merged by time, in any order and as often as one likes. `observe` may be called
    from another thread than the rest. A part that nobody measured is taken to cost what that part does which `like`
    names for its kind.
    """

    like: Mapping[str, str] = field(default_factory=dict)
    _seeds: dict[str, tuple[Sample, ...]] = field(default_factory=dict)
    _samples: dict[Bin, tuple[Sample, ...]] = field(default_factory=dict)
    _fits: dict[str, Fit] = field(default_factory=dict)
    _news: set[Bin] = field(default_factory=set)
    _waiting: deque[tuple[str, Sample]] = field(default_factory=lambda: deque(maxlen=MAX_WAITING))

    def seed(self, part: str, samples: Iterable[tuple[Amounts, float]]) -> None:
        """Keep what was measured before the first prediction: amounts and milliseconds."""
        self._seeds[part] = tuple(Sample(0.0, amounts, ms) for amounts, ms in samples)
        self._refit({part})

    def predict_ms(self, works: Iterable[Work]) -> float:
        """Milliseconds of a core that all parts will take together."""
        return sum(_dot(self._fit_of(work.part).rates, work.amounts) for work in works)

    def observe(self, work: Work, ms: float, at: float) -> None:
        """Keep a sample, also one of another process; `learn` makes use of it."""
        if ms > 0:
            self._waiting.append((work.part, Sample(at, work.amounts, ms)))

    def observe_least(self, work: Work, ms: float, at: float) -> None:
        """Keep a sample of work that came to no end: the whole takes that long at least, which is news only where it
        was predicted to take less."""
        if ms > self.predict_ms([work]):
            self.observe(work, ms, at)

    def learn(self) -> set[Bin]:
        """Fit again the parts that have new samples. Returns the bins that the samples fell in."""
        while self._waiting:
            part, sample = self._waiting.popleft()
            key = part, _size_class(sample.amounts)
            if self._wants(key, sample):
                self._add(key, [sample])
        news, self._news = self._news, set()
        self._refit({part for part, _ in news})
        return news

    def merge(self, snapshot: Snapshot, now: float) -> None:
        """Take over samples of other processes that are not too old."""
        for name, rows in snapshot.items():
            part, _, size_class = name.rpartition(" ")
            fresh = {Sample(at, tuple(amounts), ms) for at, amounts, ms in rows if now - at < KEPT_S}
            if not fresh <= set(self._samples.get((part, int(size_class)), ())):
                self._add((part, int(size_class)), fresh)

    def snapshot(self, bins: Iterable[Bin]) -> Snapshot:
        """The samples of these bins, the newest first."""
        return {f"{part} {size_class}": [[sample.at, list(sample.amounts), sample.ms]
                                         for sample in self._samples.get((part, size_class), ())]
                for part, size_class in bins}

    def forget(self, part: str) -> None:
        """Drop a part, because its model is gone."""
        self._samples = {key: samples for key, samples in list(self._samples.items()) if key[0] != part}
        self._seeds.pop(part, None)
        self._fits.pop(part, None)

    def fits(self) -> dict[str, Fit]:
        """All fits, by part."""
        return dict(self._fits)

    def _fit_of(self, part: str) -> Fit:
        return self._fits.get(part) or self._fits[self._model_for(part)]

    def _model_for(self, part: str) -> str:
        return self.like.get(part.split(" ", 1)[0], part)

    def _wants(self, key: Bin, sample: Sample) -> bool:
        kept = self._samples.get(key, ())
        return len(kept) < KEPT or sample.at - kept[0].at >= RENEWED_S

    def _add(self, key: Bin, samples: Iterable[Sample]) -> None:
        together = {*self._samples.get(key, ()), *samples}
        self._samples[key] = tuple(sorted(together, key=lambda sample: -sample.at)[:KEPT])
        self._news.add(key)

    def _refit(self, parts: set[str]) -> None:
        samples: defaultdict[str, list[Sample]] = defaultdict(list)
        for (part, _), found in list(self._samples.items()):
            if part in parts:
                samples[part] += found
        for part in parts:
            seeds = self._seeds.get(part) or self._seeds.get(self._model_for(part), ())
            self._fits[part] = fit(samples[part], seeds)


def snapshot_of(samples: Iterable[tuple[str, Amounts, float]], at: float) -> Snapshot:
    """Parts, amounts and milliseconds, all measured at this time, by bin: for who learns nothing from them."""
    found: Snapshot = {}
    for part, amounts, ms in samples:
        if ms > 0:
            found.setdefault(f"{part} {_size_class(amounts)}", []).append([at, list(amounts), ms])
    return found


def fit(samples: Sequence[Sample], seeds: Sequence[Sample]) -> Fit:
    """The rates, none below zero, that make the sum of absolute errors least, each relative to what was predicted or
    what it took, whichever is more: ten times too much is as wrong as ten times too little."""
    shares = list(zip(*(_shares(sample) for sample in (*samples, *seeds)), strict=True))
    scale = [max(column) or 1.0 for column in shares]
    columns = [[share / unit for share in column] for column, unit in zip(shares, scale, strict=True)]
    weights = [1.0] * len(samples) + [SEED_WEIGHT] * len(seeds)
    rates = _refined(columns, weights, [1.0] * len(samples) + [NEXT_TO_NOTHING] * len(seeds))
    error = _median_error(columns, rates, len(samples))
    if samples and error > FAR_OFF:  # the seeds are of another kind of work: the samples alone tell where to begin
        rates = _refined(columns, weights, [1.0] * len(samples) + [0.0] * len(seeds))
        error = _median_error(columns, rates, len(samples))
    return Fit(tuple(rate / unit for rate, unit in zip(rates, scale, strict=True)), error if samples else None,
               len(samples))


def _refined(columns: list[list[float]], weights: list[float], start: list[float]) -> list[float]:
    """The rates, beginning with those that fit best with the weights `start`: a seed that is far off pulls hardest."""
    rates = _least_squares(columns, start, [0.0] * len(columns))
    for _ in range(REFITS):
        emphases = map(_emphasis, _predicted(columns, rates))
        rates = _least_squares(columns, list(map(mul, weights, emphases)), rates)
    return rates


def _median_error(columns: list[list[float]], rates: list[float], samples: int) -> float:
    return median([abs(1 - share) for share in _predicted(columns, rates)[:samples]] or [0.0])


def _shares(sample: Sample) -> list[float]:
    """Each amount per millisecond that the sample took: with the right rates these sum up to 1."""
    return [amount / sample.ms for amount in sample.amounts]


def _predicted(columns: list[list[float]], rates: list[float]) -> list[float]:
    """What these rates predict for each sample, as a share of what it took."""
    parts = ([share * rate for share in column] for column, rate in zip(columns, rates, strict=True))
    return list(map(sum, zip(*parts, strict=True)))


def _emphasis(predicted: float) -> float:
    """The weight with which a sample's squared error counts as its absolute one."""
    larger = max(1.0, predicted)
    return 1 / (max(abs(1 - predicted) / larger, ROUND_OFF) * larger**2)


def _least_squares(columns: list[list[float]], weights: list[float], start: list[float]) -> list[float]:
    """The rates, none below zero, with which each sample's shares sum up to 1 best, by coordinate descent.

    A column has one amount's shares of all samples.
    """
    pulls = [list(map(mul, column, weights)) for column in columns]
    rows = [[_dot(pull, column) for column in columns] for pull in pulls]
    targets, solution = list(map(sum, pulls)), list(start)
    for _ in range(SWEEPS):
        for index, row in enumerate(rows):
            if row[index] > 0:
                step = (targets[index] - _dot(row, solution)) / row[index]
                solution[index] = max(0.0, solution[index] + step)
    return solution


def _dot(left: Sequence[float], right: Sequence[float]) -> float:
    if len(left) != len(right):
        raise ValueError(f"{len(left)} and {len(right)} numbers have no product")
    return sum(map(mul, left, right))


def _size_class(amounts: Amounts) -> int:
    return round(math.log2(sum(amounts) + 1e-3) * 1.5)
