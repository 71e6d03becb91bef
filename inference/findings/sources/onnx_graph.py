"""What the operators of an ONNX file say: which pixels the first of them expects."""

from inference.findings.sources import GRAPH, Claims
from inference.findings.sources.seen import Facts
from inference.spec import Interface

PIXELS: Facts = {"scale": 1.0, "mean": 0.0, "std": 1.0}
SHARES: Facts = {"scale": 1 / 255, "mean": 0.0, "std": 1.0}
LEAST_OF_PIXELS = 2.0  # a mean or deviation of pixels is larger, one of 0..1 smaller
MOST_OF_FACTORS = 0.1  # 1/255, 1/127.5 and 1/std make pixels small
MEANS = (0.3, 0.7)  # of 0..1


def preprocessed_inside(model: Interface, image: str) -> list[Claims]:
    """A model that scales its input by constants first wants it as it was before: pixels (Keras' Rescaling), or shares
    of white from which it takes the mean by itself."""
    found = model.graph.first(image)
    facts = None if found is None else _before(*found)
    return [] if facts is None else [Claims(GRAPH, facts)]


def resized_inside(model: Interface, image: str) -> list[Claims]:
    """A model of open sides that resizes its input by itself takes each image as large as it is."""
    return [Claims(GRAPH, {"resize": "fit"})] if model.graph.resizes(image) else []


def _before(op: str, values: tuple[float, ...]) -> Facts | None:
    least, most = min(map(abs, values)), max(map(abs, values))
    if op == "Mul":
        return PIXELS if most < MOST_OF_FACTORS else SHARES if least >= 1 else None
    if op == "Div":
        return PIXELS if least > LEAST_OF_PIXELS else None
    if least > LEAST_OF_PIXELS:
        return PIXELS
    return SHARES if MEANS[0] < least and most < MEANS[1] else None
