"""LitServe: `python -m bench.peers.litserve_server <port> <workers>`. One API per model, each with processes of its
own, so that slow images have other processes than quick ones."""

import sys

import litserve
from fastapi import Request

from bench.peers import models


class Model(litserve.LitAPI):
    """An endpoint of one model, named as the model is."""

    def __init__(self, name: str) -> None:
        super().__init__(api_path=f"/{name}")
        self._name = name

    def setup(self, device: str) -> None:
        self._predict = models.load(self._name)

    def decode_request(self, request: Request) -> bytes:
        return request["image"].file.read()

    def predict(self, data: bytes) -> dict:
        return self._predict(data)

    def encode_response(self, output: dict) -> dict:
        return output


if __name__ == "__main__":
    port, workers = map(int, sys.argv[1:])
    server = litserve.LitServer([Model(models.QUICK), Model(models.DETECTOR)], accelerator="cpu",
                                workers_per_device=workers)
    server.run(host="127.0.0.1", port=port, num_api_servers=workers, log_level="warning", generate_client_file=False,
               access_log=False)
