"""Bad input: the contract's problem, never a 500 and never a hang; the same as a job as inline."""

import http.client
import os
import socket
import time
from pathlib import Path

import pytest

from tests.integration.images import leaf, png_header
from tests.integration.server import BOUNDARY, Answer, Server, multipart

FORM = {"Content-Type": "application/x-www-form-urlencoded"}
MULTIPART = {"Content-Type": f"multipart/form-data; boundary={BOUNDARY}"}
MB = 1_000_000


def post_form(server: Server, form: str) -> Answer:
    return server.request("POST", "/predict", form, FORM)


def upload(server: Server, body: bytes) -> Answer:
    return server.request("POST", "/predict", body, MULTIPART)


def test_no_file_is_a_bad_request(server: Server) -> None:
    assert upload(server, multipart({"model_type": "strawberry"}, None)).is_problem(400, "bad-request")


def test_no_body_is_a_bad_request(server: Server) -> None:
    assert server.request("POST", "/predict?model_type=strawberry").is_problem(400, "bad-request")


def test_two_files_are_a_bad_request(server: Server) -> None:
    end = f"--{BOUNDARY}--\r\n".encode()
    two = multipart({"model_type": "strawberry"}, leaf()).removesuffix(end) + multipart({}, leaf(), "image")
    assert upload(server, two).is_problem(400, "bad-request")


def test_a_missing_model_type_is_a_bad_request(server: Server) -> None:
    answer = upload(server, multipart({}, leaf()))
    assert answer.is_problem(400, "bad-request")
    assert "strawberry" in answer.json["detail"]


def test_an_unknown_model_is_not_found(server: Server) -> None:
    assert server.predict(leaf(), "tomato").is_problem(404, "model-not-found")


REFUSED_IMAGES = {
    "an empty file": (b"", 415, "unsupported-image"),
    "text": (b"hello, this is no image", 415, "unsupported-image"),
    "a truncated JPEG": (leaf()[:-2000], 415, "unsupported-image"),
    "200 megapixels in the header": (png_header(20_000, 10_000), 422, "too-many-pixels"),
}


@pytest.mark.parametrize(("data", "status", "slug"), REFUSED_IMAGES.values(), ids=REFUSED_IMAGES.keys())
@pytest.mark.parametrize("mode", ["auto", "sync", "async"])
def test_a_bad_image_is_refused_alike_inline_and_as_a_job(server: Server, data: bytes, status: int, slug: str,
                                                          mode: str) -> None:
    answer = server.predict(data, mode=mode)
    if answer.status == 202:
        job = server.job(answer.json["id"], wait_s=30)
        assert (job["state"], job["status"], job["error"]["type"]) == ("failed", status, f"/problems/{slug}")
        answer = server.get(f"/jobs/{job['id']}/result")
    assert answer.is_problem(status, slug)


def test_a_truncated_jpeg_reaches_the_worker_as_a_job(server: Server) -> None:
    """Its header is fine: only decoding finds out, so this one is a failed job and no refused upload."""
    assert server.predict(leaf()[:-2000], mode="async").status == 202


@pytest.fixture(scope="module")
def odd_root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An image root with one image, and things that are none."""
    root = tmp_path_factory.mktemp("root") / "images"
    (root / "folder").mkdir(parents=True)
    (root / "ok.jpg").write_bytes(leaf())
    (root.parent / "secret.jpg").write_bytes(leaf())
    (root / "out.jpg").symlink_to(root.parent / "secret.jpg")
    os.mkfifo(root / "fifo.jpg")
    return root


@pytest.fixture(scope="module")
def odd_server(tmp_path_factory: pytest.TempPathFactory, models_dir: Path, odd_root: Path):
    running = Server(tmp_path_factory.mktemp("odd-server"),
                     {"MODELS_DIR": models_dir, "IMAGE_ROOT": odd_root, "WORKERS": 1})
    running.start()
    yield running
    running.stop()


@pytest.mark.parametrize("path", ["../secret.jpg", "{outside}", "out.jpg", "fifo.jpg", "folder", "missing.jpg",
                                  "/dev/zero", "/etc/passwd", "ok.jpg%00.png", "."])
def test_a_path_that_is_no_image_below_the_root_is_one_and_the_same_404(odd_server: Server, odd_root: Path,
                                                                          path: str) -> None:
    path = path.format(outside=odd_root.parent / "secret.jpg")
    answer = post_form(odd_server, f"model_type=strawberry&img_file={path}")
    missing = post_form(odd_server, "model_type=strawberry&img_file=missing.jpg")
    assert answer.is_problem(404, "image-not-found")
    assert answer.json["detail"] == missing.json["detail"]


def test_a_path_below_the_root_is_answered(odd_server: Server) -> None:
    assert post_form(odd_server, "model_type=strawberry&img_file=ok.jpg").status == 200


def test_raw_bytes_under_curls_form_type_are_told_which_header_to_send(server: Server) -> None:
    answer = server.request("POST", "/predict?model_type=strawberry", leaf(), FORM)
    assert answer.is_problem(415, "unsupported-media-type")
    assert "Content-Type: image/jpeg" in answer.json["detail"]


@pytest.mark.parametrize(("form", "status", "slug"), [
    ("top_k=many", 422, "bad-parameter"), ("threshold=2", 422, "bad-parameter"),
    ("thresold=0.5", 422, "bad-parameter"), ("mode=later", 400, "bad-request"),
    ("webhook=http://localhost", 422, "bad-parameter")])
def test_a_wrong_field_is_named(server: Server, form: str, status: int, slug: str) -> None:
    answer = post_form(server, f"model_type=strawberry&img_file=leaf.jpg&{form}")
    assert answer.is_problem(status, slug)
    assert form.partition("=")[0] in answer.json["detail"]


def test_accept_that_nothing_meets_is_406(server: Server) -> None:
    assert server.predict(leaf(), headers={"Accept": "text/html"}).is_problem(406, "not-acceptable")


def test_a_body_over_the_limit_is_413_also_chunked(server: Server) -> None:
    raw = {"Content-Type": "image/jpeg"}
    path = "/predict?model_type=strawberry"
    assert server.request("POST", path, bytes(33 * MB), raw).is_problem(413, "too-large")
    steps = (bytes(MB) for _ in range(33))
    assert server.request("POST", path, steps, raw).is_problem(413, "too-large")


@pytest.mark.parametrize("connection", ["close", "keep-alive"])
def test_a_client_that_sends_400_mb_first_reads_its_413_afterwards(server: Server, connection: str) -> None:
    client = socket.create_connection(("127.0.0.1", server.port), timeout=30)
    head = (f"POST /predict?model_type=strawberry HTTP/1.1\r\nHost: localhost\r\nConnection: {connection}\r\n"
            f"Content-Type: image/jpeg\r\nContent-Length: {400 * MB}\r\n\r\n")
    with client:
        client.sendall(head.encode())
        step = bytes(MB)
        for _ in range(400):
            client.sendall(step)
        response = http.client.HTTPResponse(client)
        response.begin()
        assert response.status == 413
        assert b"too-large" in response.read()


def test_connections_that_send_nothing_cost_a_web_process_nothing_until_they_do(server: Server) -> None:
    def opened() -> int:
        return sum(len([*Path(f"/proc/{pid}/fd").iterdir()]) for pid in server.pids()["web process"])

    before = opened()
    silent = [socket.create_connection(("127.0.0.1", server.port), timeout=30) for _ in range(200)]
    assert server.get("/livez").status == 200
    assert opened() < before + 50
    silent[0].sendall(b"GET /livez HTTP/1.1\r\nHost: localhost\r\n\r\n")
    assert silent[0].recv(12) == b"HTTP/1.1 200"
    for client in silent:
        client.close()


def test_a_client_that_stops_in_the_middle_costs_nothing(server: Server) -> None:
    with socket.create_connection(("127.0.0.1", server.port), timeout=5) as client:
        client.sendall(b"POST /predict?model_type=strawberry HTTP/1.1\r\nHost: [::1]\r\nContent-Type: image/jpeg\r\n"
                       b"Content-Length: 100000\r\n\r\nabc")
        client.shutdown(socket.SHUT_WR)
        response = http.client.HTTPResponse(client)
        response.begin()
        assert response.status == 400
    began = time.monotonic()
    assert server.get("/livez").status == 200
    assert time.monotonic() - began < 1
