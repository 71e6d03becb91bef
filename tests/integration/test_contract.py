"""The contract's lines against a running server."""

import json
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from settings import ROOT
from tests.integration.images import LEAF, flat_png, leaf, photograph, shared, white
from tests.integration.server import Answer, Server, wait_until

RAW = "/predict?model_type=strawberry"
# 40 megapixels without draft decoding: far over the inline budget by its header.
BIG = flat_png(8000, 5000)


def label(answer: Answer) -> str:
    return answer.json["result"]["predictions"][0]["label"]


CURL_LINES = {
    "upload": "curl -s -F model_type=strawberry -F img_file=@photo.jpg localhost:4958/predict",
    "path": "curl -s -d model_type=strawberry -d img_file=leaf.jpg localhost:4958/predict",
    "raw": "curl -s --data-binary @photo.jpg -H 'Content-Type: image/jpeg' "
           "'localhost:4958/predict?model_type=strawberry'",
    "the notes' own": 'curl -s -X POST localhost:4958/predict -d "model_type=strawberry" -d "img_file=leaf.jpg"',
    "model in the path": "curl -s -F img_file=@photo.jpg localhost:4958/models/strawberry/predict",
}


@pytest.mark.skipif(shutil.which("curl") is None, reason="no curl here")
@pytest.mark.parametrize("line", CURL_LINES.values(), ids=CURL_LINES.keys())
def test_curl_line_works_as_it_stands(server: Server, tmp_path: Path, line: str) -> None:
    (tmp_path / "photo.jpg").write_bytes(LEAF.read_bytes())
    line = line.replace("localhost:4958", f"localhost:{server.port}")
    done = subprocess.run(["bash", "-c", line], cwd=tmp_path, capture_output=True, check=True)
    answer = json.loads(done.stdout)
    assert answer["status"] == 200
    assert answer["result"]["predictions"][0]["label"] == "healthy"


def test_an_absolute_path_below_the_root_is_taken(server: Server) -> None:
    form = f"model_type=strawberry&img_file={LEAF}"
    answer = server.request("POST", "/predict", form, {"Content-Type": "application/x-www-form-urlencoded"})
    assert label(answer) == "healthy"


def test_an_image_as_json_is_answered(server: Server) -> None:
    from base64 import b64encode

    body = json.dumps({"model_type": "strawberry", "image": "data:image/jpeg;base64," + b64encode(leaf()).decode()})
    assert label(server.request("POST", "/predict", body, {"Content-Type": "application/json"})) == "healthy"


def test_the_drawn_samples_are_labelled_right(server: Server) -> None:
    for name, expected in (("leaf.jpg", "healthy"), ("scorched_leaf.jpg", "leaf_scorch")):
        assert label(server.predict((ROOT / "samples" / name).read_bytes())) == expected


def test_the_answer_has_the_fields_of_the_contract(server: Server) -> None:
    answer = server.predict(leaf())
    assert answer.status == 200
    body = answer.json
    assert {"status", "id", "model_type", "model_version", "route", "image", "result", "timings_ms"} == set(body)
    assert (body["status"], body["route"], body["model_version"]) == (200, "inline", "1")
    assert body["image"] == {"width": 224, "height": 224, "format": "JPEG"}
    phases = {"queue", "decode", "preprocess", "inference", "postprocess", "total"}
    assert set(body["timings_ms"]) == phases
    assert set(re.findall(r"(\w+);dur=[\d.]+", answer.headers["Server-Timing"])) == phases


def test_a_9_megapixel_photograph_runs_inline(server: Server) -> None:
    photo = shared("large/DJI_0024.jpg")
    data = photo.read_bytes() if photo.is_file() else photograph(9)
    answer = server.predict(data)
    assert (answer.status, answer.json["route"]) == (200, "inline")


def test_an_exif_rotated_photograph_is_reported_upright(server: Server) -> None:
    photo = shared("large/derived_DJI_0024_exif6.jpg")
    if not photo.is_file():
        pytest.skip("no shared photographs here")
    assert server.predict(photo.read_bytes()).json["image"] == {"width": 4000, "height": 2250, "format": "JPEG"}


def test_a_40_megapixel_png_becomes_a_job_with_the_inline_result(server: Server) -> None:
    answer = server.predict(BIG)
    assert (answer.status, answer.json["state"]) == (202, "queued")
    assert answer.headers["Location"] == f"/jobs/{answer.json['id']}"
    assert int(answer.headers["Retry-After"]) >= 1
    job = server.job(answer.json["id"], wait_s=30)
    assert (job["state"], job["status"], job["eta_s"]) == ("succeeded", 200, None)
    result = server.get(f"/jobs/{job['id']}/result").json
    assert (result["status"], result["route"], result["id"]) == (200, "queue", job["id"])
    assert result["result"] == job["result"]


def test_mode_sync_waits_for_a_job_and_answers_200(server: Server) -> None:
    answer = server.predict(BIG, mode="sync")
    assert (answer.status, answer.json["route"]) == (200, "queue")


def test_mode_async_answers_202_and_the_job_has_the_same_result(server: Server) -> None:
    inline = server.predict(leaf())
    job = server.job(server.submit(leaf(), "strawberry"), wait_s=30)
    assert job["result"] == inline.json["result"]


def test_prefer_is_applied_and_told(server: Server) -> None:
    answer = server.predict(leaf(), headers={"Prefer": "respond-async"})
    assert (answer.status, answer.headers["Preference-Applied"]) == (202, "respond-async")
    answer = server.predict(leaf(), headers={"Prefer": "respond-async, wait=99999"})
    assert (answer.status, answer.headers["Preference-Applied"]) == (200, "respond-async, wait=60")


def test_a_queued_job_is_canceled_for_good(server: Server) -> None:
    blocker, waiting = server.submit(white(), "sleep2"), server.submit(leaf(), "strawberry")
    server.wait_for_state(blocker, "processing")
    assert server.job(waiting)["queue_position"] == 1
    answer = server.request("DELETE", f"/jobs/{waiting}")
    assert (answer.status, answer.json["state"], answer.json["status"]) == (200, "canceled", 410)
    assert server.get(f"/jobs/{waiting}/result").is_problem(410, "job-canceled")
    assert server.job(blocker, wait_s=30)["state"] == "succeeded"
    assert server.job(waiting)["state"] == "canceled"


def test_an_ended_job_is_left_as_it_is_by_delete(server: Server) -> None:
    job_id = server.submit(leaf(), "strawberry")
    server.job(job_id, wait_s=30)
    answer = server.request("DELETE", f"/jobs/{job_id}")
    assert (answer.status, answer.json["state"]) == (200, "succeeded")


def test_a_wait_returns_when_the_job_ends_and_not_at_its_limit(server: Server) -> None:
    job = server.job(server.submit(white(), "sleep2"), wait_s=60)
    assert job["state"] == "succeeded"
    assert job["timings_ms"]["total"] < 30_000


def test_the_running_jobs_document_says_so(server: Server) -> None:
    job = server.wait_for_state(server.submit(white(), "sleep2"), "processing")
    assert (job["status"], job["queue_position"]) == (202, None)
    assert job["started_at"] > job["created_at"]
    server.job(job["id"], wait_s=30)


def test_an_expired_job_is_410_and_an_unknown_one_404(own_server: Server) -> None:
    own_server.settings["RESULT_TTL_S"] = 1
    own_server.start()
    job_id = own_server.submit(leaf(), "strawberry")
    wait_until(lambda: own_server.get(f"/jobs/{job_id}").is_problem(410, "job-expired") or None, 10)
    assert own_server.get(f"/jobs/{'0' * 32}").is_problem(404, "job-not-found")


def test_models_are_listed_with_what_was_found_out(server: Server) -> None:
    listed = {model["name"]: model for model in server.get("/models").json["models"]}
    assert listed["strawberry"] == {"name": "strawberry", "version": "1", "state": "ready",
                                    "task": "image-classification"}
    shown = server.get("/models/strawberry").json
    assert shown["labels"] == ["healthy", "leaf_scorch"]
    assert shown["cost"]["run_ms"] > 0
    assert {"fact", "value", "source"} == set(shown["findings"][0])


def test_the_callers_request_id_comes_back(server: Server) -> None:
    assert server.get("/livez", headers={"X-Request-ID": "abc-123"}).headers["X-Request-ID"] == "abc-123"
    assert re.fullmatch(r"[0-9a-f]{32}", server.get("/livez").headers["X-Request-ID"])
