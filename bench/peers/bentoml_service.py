"""BentoML: `bentoml serve bench.peers.bentoml_service:Models --port <port>`. One process per core. A slow image takes a
thread; with the default of one, all quick images wait behind it. More than 8 threads win nothing."""

import os
from typing import Any

import bentoml
from PIL.Image import Image

from bench.peers import models

WORKERS = int(os.environ.get("PUNNET_BENCH_WORKERS", "1"))
THREADS = 8


@bentoml.service(workers=WORKERS, threads=THREADS, logging={"access": {"enabled": False}},
                 metrics={"enabled": False}, traffic={"timeout": 600})
class Models:
    def __init__(self) -> None:
        self._quick, self._detector = models.load(models.QUICK), models.load(models.DETECTOR)

    @bentoml.api(route=f"/{models.QUICK}")
    def quick(self, image: Image) -> dict:
        return self._quick(_file(image))

    @bentoml.api(route=f"/{models.DETECTOR}")
    def detect(self, image: Image) -> dict:
        return self._detector(_file(image))


def _file(image: Any) -> bytes:
    """BentoML opens the upload by Pillow, which has read the header so far; the file's bytes are behind it."""
    image.fp.seek(0)
    return image.fp.read()
