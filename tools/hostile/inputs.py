"""What is sent: raw HTTP requests, each of a kind."""

import random
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import islice

from bench.client import multipart

PATH = "/models/strawberry/predict"


@dataclass(frozen=True)
class Input:
    """One request. `name` says how to make it again, with the seed."""

    kind: str
    name: str
    request: bytes


# Gives any number of inputs; what it draws, it draws from the generator of random numbers.
Source = Callable[[random.Random], Iterator[Input]]


def upload(kind: str, name: str, image: bytes, accept: str = "*/*") -> Input:
    """An image as a file part of a form."""
    request = multipart(PATH, image).replace(b"Accept: */*", f"Accept: {accept}".encode(), 1)
    return Input(kind, name, request)


def drawn(sources: dict[Source, float], count: int, seed: int) -> Iterator[Input]:
    """`count` inputs of all sources, by their shares; a source with fewer gives all it has. Same seed, same inputs."""
    for source, share in sources.items():
        yield from islice(source(random.Random(f"{seed} {source.__module__} {source.__name__}")), int(share * count))
