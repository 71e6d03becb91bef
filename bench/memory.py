"""Memory by the number of gunicorn processes, with a model of 150 MB: loaded before the fork, it is there once."""

import tempfile
from pathlib import Path

from bench import messages, pictures
from bench.client import each_once
from bench.page import Check, Section, Table
from bench.servers import running_server
from bench.workload import Measured, Options
from tests.onnx_models import heavy

MODEL_MB = 150
PROCESSES = (1, 2, 4, 8)
REQUESTS = 100
CONNECTIONS = 16
LIMIT = 1.5  # times
MODEL = "heavy"
TEXT = f"""\
PSS of gunicorn's arbiter and workers together (a page that several share is split among them) after {REQUESTS}
requests to a model of {MODEL_MB} MB, by `PUNNET_WORKERS`. The job workers, which have a copy of their own, are not in
it."""


def measure(options: Options) -> Measured:
    processes = PROCESSES[:2] if options.quickly else PROCESSES
    with tempfile.TemporaryDirectory(prefix="punnet-bench-models-") as folder:
        heavy(Path(folder) / MODEL / "model.onnx", MODEL_MB)
        return {"pss_mb": {str(count): _pss_mb(Path(folder), count) for count in processes}}


def section(measured: Measured) -> Section:
    found = {int(count): pss_mb for count, pss_mb in measured["pss_mb"].items()}
    one, most = found[min(found)], max(found)
    table = Table(("gunicorn processes", "PSS in MB", "of one"),
                  tuple((count, f"{pss_mb:.0f}", pss_mb / one) for count, pss_mb in found.items()))
    check = Check(f"memory of {most} gunicorn processes against one", found[most] / one, LIMIT, "x")
    return Section("memory: a model is shared by all processes", TEXT, (table,), (check,))


def _pss_mb(models: Path, processes: int) -> float:
    request = messages.multipart(f"/models/{MODEL}/predict", pictures.leaf_jpegs(224)[0])
    with running_server(models_dir=models, workers=processes) as server:
        load = each_once(server.address, [request] * REQUESTS, CONNECTIONS)
        if load.others:
            raise RuntimeError(f"answered {load.others}")
        return server.gunicorn_pss_mb()
