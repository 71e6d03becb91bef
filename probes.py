"""Who asks /readyz, and how often: a proxy that does so has to see that a machine leaves before the machine leaves."""

import logging
import time
from collections.abc import Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from urllib.parse import quote

OWN = "punnet"  # the user agent of our own commands: who starts or looks after a machine sends nothing to it
KEPT = 5  # times of each asker
ENOUGH = 3  # of them tell how often he asks
# Who asks more often waits for something; who asks less often guards the machine, as containers' health checks do.
FASTEST_S, SLOWEST_S = 0.2, 12.0
# Proxies give a server up after two or three refusals; it may be an interval until the first one.
INTERVALS, MARGIN_S, MOST_S = 4, 1.0, 20.0
MOST_ASKERS = 64
log = logging.getLogger(__name__)


def note(folder: Path, asker: str) -> None:
    """Write down that somebody asks just now. Two processes that do so at once may lose one of the times."""
    file = folder / quote(asker, safe=":")
    try:
        folder.mkdir(exist_ok=True)
        if file.exists() or len(list(folder.iterdir())) < MOST_ASKERS:
            file.write_text(" ".join([*_words(file)[1 - KEPT:], f"{time.monotonic():.3f}"]))
    except OSError as error:
        log.debug("who asks /readyz cannot be written down: %s", error)


def read(folder: Path) -> Mapping[str, Sequence[float]]:
    """When each asked, of time.monotonic, the last time last."""
    return {file.name: [float(word) for word in _words(file)] for file in folder.glob("*")}


def seconds_until_seen(asked: Mapping[str, Sequence[float]], now: float) -> float:
    """How long /readyz has to say 503 until all who ask regularly know it, and send nothing any more. Pure."""
    return max((_seconds(times, now) for times in asked.values()), default=0.0)


def _seconds(times: Sequence[float], now: float) -> float:
    if len(times) < ENOUGH:
        return 0.0
    interval_s = max(later - earlier for earlier, later in pairwise(times))
    if not FASTEST_S <= interval_s <= SLOWEST_S or now - times[-1] > INTERVALS * interval_s:
        return 0.0
    return min(MOST_S, INTERVALS * interval_s + MARGIN_S)


def _words(file: Path) -> list[str]:
    return file.read_text().split() if file.exists() else []
