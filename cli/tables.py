"""Tables on a terminal, or in a file. A few lines of our own: for the rows of a thousand images a library that measures
and folds each cell takes longer than the server takes for some of the images."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any
from unicodedata import combining, east_asian_width

GAP = "  "
MOST_TOLD = 3  # predictions of one image
Row = Sequence[str]


def print_table(heads: Row, rows: Iterable[Row]) -> None:
    print("\n".join(lines(heads, rows)))


def lines(heads: Row, rows: Iterable[Row]) -> Iterator[str]:
    """One below the other, as wide as the widest cell of each column; the last one ends where it ends."""
    every = [heads, *rows]
    widths = [max(map(_width, column)) for column in zip(*every, strict=True)][:-1]
    for *cells, last in every:
        yield "".join(cell + " " * (width - _width(cell)) + GAP
                      for cell, width in zip(cells, widths, strict=True)) + last


def told(answer: Mapping[str, Any]) -> str:
    """An answer, or the problem in its place, in a line."""
    if "result" not in answer:
        return answer["error"].get("detail") or answer["error"].get("title") or ""
    predictions = answer["result"].get("predictions")
    if predictions is None:
        return answer["result"]["task"]
    more = f" … {len(predictions)} in all" if len(predictions) > MOST_TOLD else ""
    return ", ".join(map(_labelled, predictions[:MOST_TOLD])) + more or "nothing found"


def milliseconds(answer: Mapping[str, Any]) -> str:
    return f"{answer['timings_ms']['total']:.0f}" if "timings_ms" in answer else ""


def _labelled(prediction: Mapping[str, Any]) -> str:
    score = prediction.get("score")
    return prediction["label"] if score is None else f"{prediction['label']} {score:.0%}"


def _width(text: str) -> int:
    """Columns of a terminal: Korean letters take two, accents that follow a letter none."""
    if text.isascii():
        return len(text)
    return sum(2 if east_asian_width(letter) in "WF" else not combining(letter) for letter in text)
