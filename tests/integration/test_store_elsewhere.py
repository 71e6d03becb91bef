"""A service whose images and large results lie in a bucket: what its callers see, and when the bucket goes away."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from jobs.stores.named import named_store
from settings import Settings
from tests.integration.bucket import Bucket, running_bucket
from tests.integration.images import leaf
from tests.integration.server import Server, wait_until

SIDE = 128
NUMBERS = 3 * SIDE * SIDE


@pytest.fixture(scope="module")
def bucket() -> Iterator[Bucket]:
    with running_bucket() as bucket:
        yield bucket


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory, models_dir: Path, bucket: Bucket) -> Iterator[Server]:
    folder = tmp_path_factory.mktemp("store-models")
    (folder / "strawberry").symlink_to(models_dir / "strawberry")
    large_results(folder / "large")
    variables = {name: value for name, value in bucket.variables().items() if name.startswith("AWS_")}
    server = Server(tmp_path_factory.mktemp("store"), {"MODELS_DIR": folder, "STORE": bucket.url, "RESULT_TTL_S": 600},
                    variables=variables)
    server.start()
    yield server
    server.stop()


def large_results(folder: Path) -> None:
    """A model that answers with its input: some 500 kB as JSON."""
    graph = helper.make_graph(
        [helper.make_node("Flatten", ["image"], ["numbers"])], "large",
        [helper.make_tensor_value_info("image", TensorProto.FLOAT, [1, 3, SIDE, SIDE])],
        [helper.make_tensor_value_info("numbers", TensorProto.FLOAT, [1, NUMBERS])])
    folder.mkdir()
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9),
              folder / "model.onnx")
    (folder / "model.toml").write_text('task = "tensor"\n[input]\nmean = 0.5\nstd = 0.25\n')


def names(bucket: Bucket, folder: str) -> list[str]:
    store = named_store(Settings(store=bucket.url))
    return [entry.name for entry in store.entries(folder)]


def test_results_and_drawings_come_from_the_bucket(served: Server, bucket: Bucket) -> None:
    drawn, large = served.submit(leaf(), "strawberry"), served.submit(leaf(), "large")
    for job_id in (drawn, large):
        assert served.wait_for_state(job_id, "succeeded")["status"] == 200
    wait_until(lambda: sorted(names(bucket, "ended")) == sorted([drawn, large]), 10)
    assert names(bucket, "spool") == []
    [result] = names(bucket, "results")
    assert result.startswith(large)
    assert len(served.job(large)["result"]["outputs"][0]["data"]) == NUMBERS
    plain = served.get(f"/jobs/{large}/result", headers={"Accept": "application/octet-stream"})
    assert np.frombuffer(plain.body, "<f4").shape == (NUMBERS,)
    drawing = served.get(f"/jobs/{drawn}/result", headers={"Accept": "image/png"})
    assert (drawing.status, drawing.headers["Content-Type"]) == (200, "image/png")
    assert list((served.state_dir / "spool").iterdir()) == list((served.state_dir / "ended").iterdir()) == []
    named_store(Settings(store=bucket.url)).delete(f"results/{result}")
    assert served.get(f"/jobs/{large}/result").is_problem(410, "job-expired")


def test_a_start_with_a_bucket_that_is_not_there_is_one_line(tmp_path: Path, bucket: Bucket) -> None:
    server = Server(tmp_path, {"STORE": "s3://absent-bucket"}, variables=bucket.variables())
    told = server.start(check=False)
    assert told.returncode != 0
    line = told.stdout.splitlines()[-1]
    assert line.startswith("punnet: PUNNET_STORE=s3://absent-bucket: it cannot be used")
    assert "NoSuchBucket" in line


def test_while_the_bucket_is_away_jobs_are_refused_and_running_ones_wait(served: Server, bucket: Bucket) -> None:
    """The last test of this server."""
    small, large = served.submit(leaf(), "strawberry"), served.submit(leaf(), "large")
    for job_id in (small, large):
        served.wait_for_state(job_id, "succeeded")
    bucket.stop()
    refused = served.predict(leaf(), mode="async")
    assert refused.is_problem(503, "queue-unavailable")
    assert refused.headers["Retry-After"]
    assert served.get(f"/jobs/{large}/result").is_problem(503, "queue-unavailable")
    assert served.job(small)["state"] == "succeeded"
    assert served.predict(leaf()).status == 200
    logs = "".join(file.read_text(errors="replace") for file in (served.home / "logs").iterdir())
    assert bucket.name in logs
    assert bucket.secret not in logs
