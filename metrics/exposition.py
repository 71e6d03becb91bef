"""Numbers -> the text that Prometheus reads. The only import of prometheus_client."""

from collections import defaultdict
from collections.abc import Iterator, Sequence
from itertools import accumulate

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily
from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest
from prometheus_client.registry import Collector

from metrics.definitions import ALL, Metric
from metrics.sums import Sums

CONTENT_TYPE = CONTENT_TYPE_LATEST
Family = CounterMetricFamily | GaugeMetricFamily | HistogramMetricFamily
Series = tuple[Sequence[str], list[float]]  # values of the labels, and the numbers


def text(sums: Sums) -> bytes:
    """All metrics with their meanings, also those that have no numbers yet."""
    return generate_latest(_Sums(sums))


class _Sums(Collector):
    def __init__(self, sums: Sums) -> None:
        self._series: defaultdict[str, list[Series]] = defaultdict(list)
        for (name, *labels), row in sorted(sums.items()):
            self._series[name].append((labels, row))

    def collect(self) -> Iterator[Family]:
        return (_family(metric, self._series[metric.name]) for metric in ALL)


def _family(metric: Metric, series: list[Series]) -> Family:
    if metric.kind == "histogram":
        return _histogram(metric, series)
    kind = CounterMetricFamily if metric.kind == "counter" else GaugeMetricFamily
    family = kind(metric.name, metric.meaning, labels=metric.labels)
    for labels, [value] in series:
        family.add_metric(labels, value)
    return family


def _histogram(metric: Metric, series: list[Series]) -> HistogramMetricFamily:
    family = HistogramMetricFamily(metric.name, metric.meaning, labels=metric.labels)
    names = [*map(str, metric.bounds), "+Inf"]
    for labels, (*counts, total) in series:
        family.add_metric(labels, list(zip(names, accumulate(counts), strict=True)), total)
    return family
