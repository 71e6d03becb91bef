"""FastAPI under uvicorn: `uvicorn bench.peers.fastapi_server:app --workers <cores>`. The endpoints are plain `def`, so
that they run on its thread pool and no prediction holds up the event loop."""

from fastapi import FastAPI, File

from bench.peers import models

app = FastAPI()
_quick, _detector = models.load(models.QUICK), models.load(models.DETECTOR)


@app.post(f"/{models.QUICK}")
def quick(image: bytes = File()) -> dict:
    return _quick(image)


@app.post(f"/{models.DETECTOR}")
def detect(image: bytes = File()) -> dict:
    return _detector(image)
