"""How far a call is, in a line that is gone afterwards. The only import of rich."""

import sys
from collections.abc import Iterable, Iterator
from typing import TypeVar

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

T = TypeVar("T")


def followed(done: Iterable[T], count: int) -> Iterator[T]:
    """What is done, counted on the standard error while it comes. Lines that are printed meanwhile stand above, where
    they go to the same terminal."""
    with Progress(TextColumn("predicting"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn(),
                  console=Console(stderr=True), transient=True, redirect_stdout=sys.stdout.isatty()) as progress:
        yield from progress.track(done, total=count)
