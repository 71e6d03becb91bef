"""`python -m bench.drawing_cost`: what drawing on 12 megapixels costs beside encoding the drawing, in CPU time; 1 where
a drawing costs more than 1.5 times what encoding it does."""

import random
import sys
import time
from collections.abc import Callable
from statistics import median
from typing import Any

from bench.images import frame, photograph
from bench.page import Table, markdown
from inference.drawing.files import Kind, encode
from inference.drawing.painters import paint, plan_of
from inference.image import decode, open_image

MEGAPIXELS, ROUNDS, LIMIT = 12, 7, 1.5
COUNTS = {1: 0.5, 38: 0.12, 419: 0.03}  # objects: the side of one, as a share of the image's height
KINDS: tuple[Kind, ...] = ("image/jpeg", "image/png", "image/webp")
LABELS = ("ripe strawberry", "unripe strawberry", "flower")


def main() -> None:
    """Measure in rounds, and take the medians."""
    size, data = frame(MEGAPIXELS), photograph(frame(MEGAPIXELS))
    measured = {(kind, count): _medians(data, kind, _result(size, count)) for kind in KINDS for count in COUNTS}
    rows = tuple((kind.partition("/")[2], count, *values) for (kind, count), values in measured.items())
    print(markdown(Table(("format", "objects", "draw ms", "encode ms", "both / encode"), rows)))
    sys.exit(any(ratio > LIMIT for _, _, ratio in measured.values()))


def _medians(data: bytes, kind: Kind, result: dict[str, Any]) -> tuple[float, float, float]:
    """Milliseconds to draw and to encode, and both over the latter. The first round only loads fonts."""
    rounds = [_round(data, kind, result) for _ in range(ROUNDS + 1)][1:]
    draws, encodes = zip(*rounds, strict=True)
    return median(draws), median(encodes), median((drawn + encoded) / encoded for drawn, encoded in rounds)


def _round(data: bytes, kind: Kind, result: dict[str, Any]) -> tuple[float, float]:
    """As a predictor does it; to decode the image is no part of the drawing."""
    image = open_image(data, sys.maxsize)
    plan_ms, plan = _timed(lambda: plan_of(image.info.size, result))
    pixels = decode(image, None, canvas=plan.canvas())
    paint_ms, drawing = _timed(lambda: paint(plan, pixels.image))
    return plan_ms + paint_ms, _timed(lambda: encode(drawing, kind))[0]


def _timed(act: Callable[[], Any]) -> tuple[float, Any]:
    """CPU milliseconds, and what was made."""
    began = time.process_time()
    made = act()
    return (time.process_time() - began) * 1000, made


def _result(size: tuple[int, int], count: int) -> dict[str, Any]:
    """So many boxes at random places, the best first."""
    chance = random.Random(count)
    return {"task": "object-detection", "predictions": sorted(
        (_prediction(chance, size, COUNTS[count] * size[1]) for _ in range(count)), key=lambda one: -one["score"])}


def _prediction(chance: random.Random, size: tuple[int, int], side: float) -> dict[str, Any]:
    wide, high = side * chance.uniform(0.7, 1.3), side * chance.uniform(0.7, 1.3)
    left, top = chance.uniform(0, size[0] - wide), chance.uniform(0, size[1] - high)
    return {"label": chance.choice(LABELS), "score": chance.uniform(0.3, 0.99),
            "box": {"xmin": left, "ymin": top, "xmax": left + wide, "ymax": top + high}}


if __name__ == "__main__":
    main()
