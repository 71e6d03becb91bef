"""What a person sees who drops models into the folder of a running server."""

import io
import shutil
from collections.abc import Iterator
from pathlib import Path
from unicodedata import normalize
from urllib.parse import quote

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper
from PIL import Image

from settings import ROOT
from tests.integration.images import leaf, photograph
from tests.integration.server import Server, wait_until
from tests.onnx_models import classifier

FOLLOW_S = 30


@pytest.fixture(scope="module")
def dropped(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server with the two bundled models in a folder of its own."""
    home = tmp_path_factory.mktemp("dropped")
    shutil.copytree(ROOT / "models", home / "models")
    running = Server(home, {"MODELS_DIR": home / "models", "WORKERS": 2})
    running.start()
    yield running
    running.stop()


def save(path: Path, nodes: list[onnx.NodeProto], inputs: dict[str, tuple], outputs: dict[str, tuple],
         kind: int = TensorProto.FLOAT, domain: str = "") -> None:
    given, made = ([helper.make_tensor_value_info(name, kind, shape) for name, shape in group.items()]
                   for group in (inputs, outputs))
    opsets = [helper.make_opsetid("", 17)] + ([helper.make_opsetid(domain, 1)] if domain else [])
    path.parent.mkdir(parents=True, exist_ok=True)
    onnx.save(helper.make_model(helper.make_graph(nodes, "odd", given, made), opset_imports=opsets, ir_version=9), path)


def custom_operator(path: Path) -> None:
    save(path, [helper.make_node("Mystery", ["image"], ["y"], domain="com.example")], {"image": (1, 3, 8, 8)},
         {"y": (1, 2)}, domain="com.example")


def truncated(path: Path) -> None:
    path.parent.mkdir()
    path.write_bytes((ROOT / "models" / "strawberry" / "model.onnx").read_bytes()[:1_000_000])


def lfs_pointer(path: Path) -> None:
    path.parent.mkdir()
    path.write_text("version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 3027389\n")


def two_images(path: Path) -> None:
    save(path, [helper.make_node("Add", ["left", "right"], ["y"])], {"left": (1, 3, 8, 8), "right": (1, 3, 8, 8)},
         {"y": (1, 3, 8, 8)})


def wrong_labels(path: Path) -> None:
    classifier(path)
    (path.parent / "labels.txt").write_text("one\ntwo\nthree\n")


def odd_type(path: Path) -> None:
    save(path, [helper.make_node("Identity", ["image"], ["y"])], {"image": (1, 3, 8, 8)}, {"y": (1, 3, 8, 8)},
         TensorProto.INT64)


def empty(path: Path) -> None:
    path.parent.mkdir()


def missing_weights(path: Path) -> None:
    classifier(path)
    model = onnx.load(path)
    onnx.save(model, path, save_as_external_data=True, location="weights.bin", size_threshold=0)
    (path.parent / "weights.bin").unlink()


BROKEN = {
    "custom-operator": (custom_operator, ["Mystery"]), "truncated": (truncated, ["truncated", "copy"]),
    "pointer": (lfs_pointer, ["git lfs pull"]), "two-images": (two_images, ["left", "right", "name ="]),
    "wrong-labels": (wrong_labels, ["3 labels for 2 classes", "labels.txt"]),
    "odd-type": (odd_type, ["INT64", "export"]),
    "empty": (empty, ["no .onnx file"]), "missing-weights": (missing_weights, ["weights.bin", "copy"]),
}


def test_every_error_a_model_can_bring_is_one_plain_sentence_and_the_rest_serves(dropped: Server) -> None:
    for name, (make, _) in BROKEN.items():
        make(dropped.home / "models" / name / "model.onnx")
    listed = wait_until(lambda: models if all((models := states(dropped)).get(name) == "failed" for name in BROKEN)
                        else None, FOLLOW_S)
    reasons = {name: dropped.get(f"/models/{name}").json["reason"] for name in BROKEN}
    for name, reason in reasons.items():
        print(f"{name}: {reason}")
    assert {name for name, state in listed.items() if state == "ready"} == {"strawberry", "strawberry-fruit"}
    assert dropped.predict(leaf()).status == 200
    for name, (_, words) in BROKEN.items():
        assert "\n" not in reasons[name]
        assert len(reasons[name]) < 300
        assert all(word in reasons[name] for word in words), (name, reasons[name])
        answer = dropped.predict(leaf(), name)
        assert answer.is_problem(404, "model-not-found")
        assert reasons[name][:60] in answer.json["detail"]


def wait_until_served(server: Server, name: str, version: str = "1") -> None:
    """By every process: they follow the folder each for itself."""
    wait_until(lambda: {server.predict(leaf(), name).json.get("model_version") for _ in range(8)} == {version},
               FOLLOW_S)


def states(server: Server) -> dict[str, str]:
    return {model["name"]: model["state"] for model in server.get("/models").json["models"]}


def test_the_server_starts_with_broken_models_and_serves_the_rest(tmp_path: Path) -> None:
    shutil.copytree(ROOT / "models" / "strawberry", tmp_path / "models" / "strawberry")
    for name, (make, _) in BROKEN.items():
        make(tmp_path / "models" / name / "model.onnx")
    server = Server(tmp_path, {"MODELS_DIR": tmp_path / "models"})
    try:
        server.start()
        assert states(server) == {"strawberry": "ready"} | dict.fromkeys(BROKEN, "failed")
        assert server.predict(leaf()).status == 200
    finally:
        server.stop()


def test_a_dropped_model_is_served_and_a_removed_one_is_gone(dropped: Server) -> None:
    folder = dropped.home / "models" / "new-one"
    classifier(folder / "2" / "model.onnx")
    wait_until_served(dropped, "new-one", "2")
    classifier(folder / "3" / "model.onnx", classes=3)
    wait_until_served(dropped, "new-one", "3")
    assert dropped.predict(leaf(), "new-one:2").json["model_version"] == "2"
    shutil.rmtree(folder)
    wait_until(lambda: {dropped.predict(leaf(), "new-one").status for _ in range(8)} == {404}, FOLLOW_S)


def test_a_korean_name_and_a_bare_file_are_served_as_any_other(dropped: Server) -> None:
    """The folder came from macOS, which writes its name in another form than callers do."""
    models, apart = dropped.home / "models", normalize("NFD", "딸기")
    classifier(models / apart / "best.onnx")
    classifier(models / "딸기-잎.onnx", classes=3)
    for name, classes in (("딸기", 2), ("딸기-잎", 3)):
        wait_until_served(dropped, name)
        assert states(dropped)[name] == "ready"
        answer = dropped.request("POST", f"/models/{quote(name)}/predict", leaf(), {"Content-Type": "image/jpeg"})
        assert (answer.json["model_type"], len(answer.json["result"]["predictions"])) == (name, classes)
        job = dropped.job(dropped.submit(leaf(), name), wait_s=20)
        assert (job["state"], job["model_type"], len(job["result"]["predictions"])) == ("succeeded", name, classes)
    assert dropped.predict(leaf(), apart).json["model_type"] == "딸기"


def test_a_job_for_a_model_that_was_just_replaced_is_answered_by_it(dropped: Server) -> None:
    """Whoever serves it then answers."""
    classifier(dropped.home / "models" / "young" / "model.onnx", classes=4)
    wait_until_served(dropped, "young")
    job = dropped.job(dropped.submit(leaf(), "young"), wait_s=20)
    assert (job["state"], len(job["result"]["predictions"])) == ("succeeded", 4)


def test_a_large_image_becomes_a_job_that_counts_its_tiles(dropped: Server) -> None:
    image = photograph(24)
    answer = dropped.predict(image, "strawberry-fruit")
    total = answer.json["progress"]["total"]
    assert (answer.status, answer.json["progress"]["done"]) == (202, 0)
    assert total > 20
    seen = set()
    def ended() -> dict | None:
        job = dropped.job(answer.json["id"])
        seen.add(job["progress"]["done"])
        return job if job["state"] == "succeeded" else None
    job = wait_until(ended, 60)
    assert job["progress"] == {"done": total, "total": total}
    assert len(seen) > 3
    assert seen <= set(range(total + 1))


def test_tiles_can_be_asked_for_and_turned_off(dropped: Server) -> None:
    image = photograph(1)
    whole = dropped.predict(image, "strawberry-fruit", tile="0", mode="sync")
    tiled = dropped.predict(image, "strawberry", tile="512", mode="sync")
    assert (whole.status, whole.json["result"]["task"]) == (200, "object-detection")
    tiles = tiled.json["result"]["tiles"]
    assert len(tiles) == 6
    assert {"box", "label", "score"} == set(tiles[0])
    assert dropped.predict(image, "strawberry", tile="1").is_problem(422, "bad-parameter")
    assert dropped.predict(image, "strawberry", tile="-1").is_problem(422, "bad-parameter")


@pytest.mark.parametrize(("kind", "file_format"), [
    ("image/png", "PNG"), ("image/jpeg", "JPEG"), ("image/webp", "WEBP")])
@pytest.mark.parametrize("mode", ["auto", "job"])
def test_a_result_can_be_had_as_a_drawing(dropped: Server, kind: str, file_format: str, mode: str) -> None:
    if mode == "auto":
        answer = dropped.predict(leaf(), headers={"Accept": kind}, scale="1")
    else:
        path = f"/jobs/{dropped.submit(leaf(), 'strawberry')}/result?wait=20&scale=1"
        answer = dropped.get(path, headers={"Accept": kind})
    assert (answer.status, answer.headers["Content-Type"]) == (200, kind)
    assert "inference;dur=" in answer.headers["Server-Timing"]
    image = Image.open(io.BytesIO(answer.body))
    assert (image.format, image.height) == (file_format, 224)
    plain, drawn = (np.asarray(one.convert("RGB"), int) for one in (Image.open(io.BytesIO(leaf())), image))
    assert np.abs(drawn[:, :224] - plain).mean() < 10
    assert (drawn[:, 224:] > 180).all(axis=2).sum() > 100  # the classes, written beside it


def test_json_is_answered_unless_an_image_is_liked_better(dropped: Server) -> None:
    for accept in ("*/*", "application/json", "image/png;q=0.5, application/json", "image/*;q=0.1, */*"):
        answer = dropped.predict(leaf(), headers={"Accept": accept})
        assert answer.headers["Content-Type"] == "application/json", accept
    assert dropped.predict(leaf(), headers={"Accept": "image/png, application/json;q=0.9"}).body.startswith(b"\x89PNG")
    assert dropped.predict(leaf(), headers={"Accept": "text/html"}).is_problem(406, "not-acceptable")


def test_what_cannot_be_drawn_is_refused_before_it_runs(dropped: Server) -> None:
    save(dropped.home / "models" / "raw" / "model.onnx", [helper.make_node("Relu", ["image"], ["y"])],
         {"image": (1, 3, 8, 8)}, {"y": (1, 3, 8, 8)})
    (dropped.home / "models" / "raw" / "model.toml").write_text('task = "tensor"')
    wait_until_served(dropped, "raw")
    answer = dropped.predict(leaf(), "raw")
    assert answer.json["result"]["outputs"][0]["shape"] == [1, 3, 8, 8]
    assert dropped.predict(leaf(), "raw", headers={"Accept": "image/png"}).is_problem(406, "not-acceptable")
    either = dropped.predict(leaf(), "raw", headers={"Accept": "image/png, application/json;q=0.5"})
    assert (either.status, either.headers["Content-Type"]) == (200, "application/json")


@pytest.mark.parametrize("mode", ["auto", "job"])
def test_an_output_can_be_had_as_plain_numbers(dropped: Server, mode: str) -> None:
    save(dropped.home / "models" / "plain" / "model.onnx", [helper.make_node("Relu", ["image"], ["y"])],
         {"image": (1, 3, 8, 8)}, {"y": (1, 3, 8, 8)})
    (dropped.home / "models" / "plain" / "model.toml").write_text('task = "tensor"')
    wait_until_served(dropped, "plain")
    [wanted] = dropped.predict(leaf(), "plain").json["result"]["outputs"]
    path = f"/jobs/{dropped.submit(leaf(), 'plain')}/result?wait=20"
    for kind in ("application/x-npy", "application/octet-stream"):
        headers = {"Accept": kind}
        answer = dropped.predict(leaf(), "plain", headers) if mode == "auto" else dropped.get(path, headers=headers)
        assert (answer.status, answer.headers["Content-Type"]) == (200, kind)
        assert (answer.headers["X-Tensor-Shape"], answer.headers["X-Tensor-Datatype"]) == ("1,3,8,8", "FP32")
        numbers = np.load(io.BytesIO(answer.body)) if kind.endswith("npy") else np.frombuffer(answer.body, "<f4")
        assert numbers.ravel().tolist() == np.array(wanted["data"], np.float32).tolist()
