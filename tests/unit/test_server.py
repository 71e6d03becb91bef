"""What a predictor makes of one question."""

import io
import os
import signal
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import orjson
import pytest
from PIL import Image

from inference.errors import InferenceError, InferenceFailed, SlowToDecode
from inference.loading import try_out
from inference.model import LoadedModel
from inference.prediction import one_by_one
from inference.repository import scan
from predictors import server as module
from predictors.hang_ups import HangUps
from predictors.protocol import Inbox, Message, packed
from predictors.reservations import DecodedBytes
from predictors.server import Predictor, as_json
from tests.onnx_models import classifier
from tests.unit.conftest import LABELS, MAX_PIXELS
from tests.unit.forks import forked
from tests.unit.images import chunk, encode, exif_of, photo, plain, png_with, quadrants

ROOM = 64_000_000
Asked = Callable[..., list[Message]]


@pytest.fixture(scope="module")
def leaf(models_dir: Path) -> LoadedModel:
    [files] = [files for files in scan(models_dir) if files.name == "leaf"]
    return try_out(files, "of-leaf")


@pytest.fixture
def predictor(leaf: LoadedModel, tmp_path: Path) -> Predictor:
    return Predictor("quick-1", [], {("leaf", "1", "of-leaf"): leaf}, MAX_PIXELS,
                     DecodedBytes(tmp_path / "decoded", ROOM, "quick"), one_by_one)


def question(*bodies: bytes, **head: Any) -> bytes:
    usual: dict[str, Any] = {
        "kind": "predict", "name": "leaf", "version": "1", "fingerprint": "of-leaf", "parameters": {},
        "sizes": [len(body) for body in bodies], "deadline": None, "sent_at": time.monotonic()}
    return b"".join(packed(usual | head, bodies))


@contextmanager
def served(predictor: Predictor, asked: bytes) -> Iterator[socket.socket]:
    """The asker's end, while a predictor serves the other one."""
    ours, theirs = socket.socketpair()

    def serve() -> None:
        with theirs:
            predictor._serve(theirs)

    serving = threading.Thread(target=serve)
    with ours:
        ours.settimeout(10)
        ours.sendall(asked)
        serving.start()
        yield ours
    serving.join(10)
    assert not serving.is_alive()


def told(predictor: Predictor, *bodies: bytes, **head: Any) -> list[Message]:
    """All that a predictor tells of a question."""
    messages: list[Message] = []
    with served(predictor, question(*bodies, **head)) as asker:
        inbox = Inbox(asker)
        while not messages or messages[-1].head["kind"] in ("begun", "progress"):
            messages.append(inbox.receive())
    return messages


def refusal(predictor: Predictor, *bodies: bytes, **head: Any) -> tuple[str, str]:
    error = told(predictor, *bodies, **head)[-1].head
    assert error["kind"] == "error"
    return error["error"], error["detail"]


def test_a_prediction_begins_and_is_answered(predictor: Predictor) -> None:
    begun, answer = told(predictor, photo())
    assert begun.head == {"kind": "begun", "predictor": "quick-1"}
    assert answer.head["kind"] == "answer"
    assert answer.head["image"] == {"width": 64, "height": 48, "format": "JPEG"}
    assert set(answer.head["timings_ms"]) == {"decode", "preprocess", "inference", "postprocess"}
    assert 0 <= answer.head["queue_ms"] < 10_000
    assert len(answer.head["samples"]) == 2
    result = orjson.loads(answer.body)
    assert {found["label"] for found in result["predictions"]} <= set(LABELS)


def test_the_next_question_is_answered_too(predictor: Predictor) -> None:
    first, second = (told(predictor, photo())[-1] for _ in range(2))
    assert first.body == second.body


def test_a_broken_image_is_refused(predictor: Predictor) -> None:
    assert refusal(predictor, b"no image")[0] == "UnsupportedImage"
    assert refusal(predictor, photo((640, 480))[:2000])[0] == "UnsupportedImage"


def test_an_image_with_too_many_pixels_is_refused(predictor: Predictor) -> None:
    predictor.max_pixels = 1000
    assert refusal(predictor, photo())[0] == "TooManyPixels"


def test_a_bad_parameter_is_refused(predictor: Predictor) -> None:
    error, detail = refusal(predictor, photo(), parameters={"top_k": "many"})
    assert error == "BadParameter"
    assert "top_k" in detail


@pytest.mark.parametrize("other", [{"name": "tree"}, {"version": "2"}, {"fingerprint": "new"}])
def test_a_model_that_it_does_not_hold_is_not_its(predictor: Predictor, other: dict[str, str]) -> None:
    assert told(predictor, photo(), **other)[-1].head == {"kind": "not-mine"}


@pytest.mark.parametrize(("error", "detail"), [
    (ZeroDivisionError("secret"), "unexpected ZeroDivisionError"), (MemoryError(), "not enough memory")])
def test_an_unexpected_error_is_told_without_its_text(predictor: Predictor, monkeypatch: pytest.MonkeyPatch,
                                                      error: Exception, detail: str) -> None:
    def fails(*_: object) -> None:
        raise error

    monkeypatch.setattr(module, "predict", fails)
    kind, text = refusal(predictor, photo())
    assert kind == "InferenceFailed"
    assert detail in text
    assert "secret" not in text


def test_who_comes_too_late_is_not_computed_for(predictor: Predictor, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "predict", lambda *_: pytest.fail("it was computed"))
    assert refusal(predictor, photo(), deadline=time.monotonic() - 1)[0] == "Overdue"


def test_an_asker_that_is_gone_is_not_computed_for(predictor: Predictor, monkeypatch: pytest.MonkeyPatch) -> None:
    computed: list[object] = []
    monkeypatch.setattr(module, "predict", lambda *given: computed.append(given))
    ours, theirs = socket.socketpair()
    ours.sendall(question(photo()))
    ours.close()
    with theirs:
        predictor._serve(theirs)
    assert computed == []


def test_an_asker_that_goes_meanwhile_calls_it_off(predictor: Predictor, monkeypatch: pytest.MonkeyPatch) -> None:
    raised: list[InferenceError] = []

    def works(model: object, image: object, parameters: object, call_off: Any, *_: object) -> None:
        until = time.monotonic() + 10
        try:
            while time.monotonic() < until:
                call_off.check()
        except InferenceError as error:
            raised.append(error)
            raise

    monkeypatch.setattr(module, "predict", works)
    with served(predictor, question(photo())) as asker:
        assert Inbox(asker).receive().head["kind"] == "begun"
    assert len(raised) == 1
    assert told(predictor, b"no image")[-1].head["kind"] == "error"


def test_an_asker_that_stops_in_the_middle_costs_no_longer_than_patience(predictor: Predictor,
                                                                         monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "STUCK_S", 1)
    with served(predictor, question(photo())[:-1]) as asker:
        assert asker.recv(1) == b""


def test_tiles_are_told_while_they_are_computed(predictor: Predictor, monkeypatch: pytest.MonkeyPatch) -> None:
    found = module.predict
    monkeypatch.setattr(module, "PROGRESS_S", 0)

    def tiled(model: Any, image: Any, parameters: Any, call_off: Any, progress: Any, *others: Any) -> Any:
        for done in (1, 2):
            progress(done, 2)
        return found(model, image, parameters, call_off, progress, *others)

    monkeypatch.setattr(module, "predict", tiled)
    heads = [message.head for message in told(predictor, photo())]
    assert [head["kind"] for head in heads] == ["begun", "progress", "progress", "answer"]
    assert heads[2] == {"kind": "progress", "done": 2, "total": 2}


def test_room_for_the_image_is_given_back(predictor: Predictor, tmp_path: Path) -> None:
    told(predictor, photo())
    told(predictor, b"no image")
    told(predictor, photo((640, 480))[:2000])

    def no_wait() -> None:
        raise AssertionError("it has to wait")

    def life(say_ready: Callable[[], None]) -> None:
        with DecodedBytes(tmp_path / "decoded", ROOM, "quick").reserved(ROOM, no_wait):
            pass

    assert forked(life).status() == 0


def test_a_drawing_is_a_question_like_any_other(predictor: Predictor) -> None:
    result = as_json({"task": "image-classification", "predictions": [{"label": "leaf", "score": 0.9}]})
    answer = told(predictor, photo(), result, kind="draw", style={}, media_type="image/png")[-1]
    assert answer.head["kind"] == "answer"
    [(part, amounts, ms)] = answer.head["samples"]
    assert (part, amounts[:2]) == ("draw png JPEG", [1.0, 64 * 48 / 1e6])
    assert ms > 0
    assert answer.body.startswith(b"\x89PNG")


@pytest.mark.parametrize("data", [
    png_with(encode(quadrants(), "PNG"), before=chunk(b"tEXt", b"icc_profile\0no profile")),
    encode(quadrants(), "PNG", icc_profile=b"profile"), encode(Image.new("1", (40, 30)), "PNG", transparency=1),
    encode(quadrants(), "TIFF", tiffinfo={34675: 7}), encode(quadrants(), "JPEG", exif=exif_of(6), comment=b"secret"),
    encode(quadrants(), "WEBP", xmp=b"secret", exif=exif_of(1)), encode(quadrants(), "JPEG", icc_profile=b"secret"),
], ids=["icc_profile text", "iCCP", "1 bit with tRNS", "ICC tag", "exif", "webp", "jpeg icc"])
@pytest.mark.parametrize("media_type", ["image/png", "image/jpeg", "image/webp"])
def test_what_the_sender_told_beside_the_pixels_is_not_in_a_drawing(predictor: Predictor, data: bytes,
                                                                    media_type: str) -> None:
    result = as_json({"task": "image-classification", "predictions": [{"label": "leaf", "score": 0.9}]})
    answer = told(predictor, data, result, kind="draw", style={}, media_type=media_type)[-1]
    assert answer.head["kind"] == "answer", answer.head
    with Image.open(io.BytesIO(answer.body)) as drawing:
        assert not {"exif", "xmp", "icc_profile", "comment", "transparency"} & drawing.info.keys()
    assert b"secret" not in answer.body


def test_a_refused_image_tells_what_it_took(predictor: Predictor) -> None:
    head = told(predictor, photo((640, 480), "PNG")[:50_000])[-1].head
    assert head["error"] == "UnsupportedImage"
    [(part, amounts, ms)] = head["samples"]
    assert (part, amounts[1]) == ("decode PNG", 640 * 480 / 1e6)
    assert ms > 0


def test_decoding_for_too_long_is_told(predictor: Predictor) -> None:
    @contextmanager
    def at_once(check: Callable[[], None]) -> Iterator[Callable[[], None]]:
        def over() -> None:
            raise SlowToDecode("it takes too long")

        yield over

    predictor.decode_limit = at_once
    assert refusal(predictor, photo())[0] == "SlowToDecode"
    result = as_json({"task": "image-classification", "predictions": []})
    assert refusal(predictor, photo(), result, kind="draw", style={}, media_type="image/png")[0] == "SlowToDecode"


def test_a_drawing_that_nobody_wants_any_more_ends(predictor: Predictor) -> None:
    result = as_json({"task": "object-detection", "predictions": [
        {"label": "leaf", "score": 0.9, "box": {"xmin": 1, "ymin": 1, "xmax": 9, "ymax": 9}}] * 800})
    began = time.monotonic()
    asked = question(encode(plain((3000, 3000))), result, kind="draw", style={}, media_type="image/png")
    with served(predictor, asked) as asker:
        assert Inbox(asker).receive().head["kind"] == "begun"
    assert time.monotonic() - began < 2


def test_a_result_without_a_drawing_is_refused(predictor: Predictor) -> None:
    result = as_json({"task": "image-feature-extraction", "embedding": [1.0]})
    assert refusal(predictor, photo(), result, kind="draw", style={}, media_type="image/png")[0] == "NotDrawable"


def test_the_one_output_of_a_model_is_answered_as_plain_numbers(predictor: Predictor, tmp_path: Path) -> None:
    classifier(tmp_path / "raw" / "model.onnx")
    (tmp_path / "raw" / "model.toml").write_text('task = "tensor"')
    [files] = scan(tmp_path)
    predictor.models = {("leaf", "1", "of-leaf"): try_out(files, "of-leaf")}
    answer = told(predictor, photo(), tensor_type="application/x-npy")[-1]
    assert answer.head["kind"] == "answer"
    assert answer.head["tensor"] == {"shape": [1, 2], "datatype": "FP32"}
    plain = orjson.loads(told(predictor, photo())[-1].body)
    assert np.load(io.BytesIO(answer.body)).ravel().tolist() == pytest.approx(plain["outputs"][0]["data"])


def test_a_result_that_is_no_tensor_is_refused_as_plain_numbers(predictor: Predictor) -> None:
    assert refusal(predictor, photo(), tensor_type="application/x-npy")[0] == "NotOneTensor"


def test_a_result_in_json_is_written_as_plain_numbers(predictor: Predictor) -> None:
    predictor.models = {}
    output = {"name": "y", "shape": [2], "datatype": "FP32", "data": [0.1, None]}
    result = as_json({"task": "tensor", "outputs": [output]})
    answer = told(predictor, result, kind="tensor", media_type="application/octet-stream")[-1]
    assert answer.head == {"kind": "answer", "tensor": {"shape": [2], "datatype": "FP32"}}
    assert answer.body == np.array([0.1, np.nan], np.float32).tobytes()


@pytest.mark.parametrize(("value", "text"), [
    (np.float32(0.5), b"0.5"), (np.int64(3), b"3"), (np.array([[1, 2]], np.float32), b"[[1.0,2.0]]"),
    (np.array([1.5, np.nan], np.float32), b"[1.5,null]"), (float("inf"), b"null"), ("gesünd", '"gesünd"'.encode()),
    ({1: "one"}, b'{"1":"one"}'), (np.bool_(True), b"true")])
def test_a_result_is_written_as_json(value: object, text: bytes) -> None:
    assert as_json({"value": value}) == b'{"value":' + text + b"}"


@pytest.mark.parametrize("value", [object(), {1, 2}, b"bytes", 2**70, np.array([1 + 2j]), "\ud800"])
def test_what_json_has_no_form_for_is_refused(value: object) -> None:
    with pytest.raises(InferenceFailed, match="JSON"):
        as_json({"value": value})


def test_sigterm_ends_a_predictor_that_waits(predictor: Predictor, tmp_path: Path) -> None:
    waiting = forked(lambda say_ready: serve_at(predictor, [tmp_path / "a.sock"], say_ready))
    os.kill(waiting.pid, signal.SIGTERM)
    assert waiting.status() == 0


def test_sigterm_lets_a_predictor_end_its_answer(predictor: Predictor, tmp_path: Path,
                                                 monkeypatch: pytest.MonkeyPatch) -> None:
    found = module.predict

    def ends_itself(*given: Any) -> Any:
        os.kill(os.getpid(), signal.SIGTERM)
        return found(*given)

    monkeypatch.setattr(module, "predict", ends_itself)
    waiting = forked(lambda say_ready: serve_at(predictor, [tmp_path / "a.sock"], say_ready))
    with connected(tmp_path / "a.sock") as asker:
        asker.sendall(question(photo()))
        inbox = Inbox(asker)
        assert [inbox.receive().head["kind"] for _ in range(2)] == ["begun", "answer"]
    assert waiting.status() == 0


def test_inline_questions_for_a_device_go_first(predictor: Predictor, tmp_path: Path) -> None:
    """Two wait while the predictor is at work; the one that came last is inline."""
    paths = [tmp_path / "inline.sock", tmp_path / "job.sock"]
    waiting = forked(lambda say_ready: serve_at(predictor, paths, say_ready))
    with connected(paths[1]) as first:
        first.sendall(question(photo())[:-1])
        with connected(paths[1]) as job, connected(paths[0]) as inline:
            job.sendall(question(photo()))
            inline.sendall(question(photo())[:-1])
            first.sendall(question(photo())[-1:])
            inbox = Inbox(job)
            job.settimeout(0.1)
            with pytest.raises(TimeoutError):
                inbox.receive()
            inline.sendall(question(photo())[-1:])
            job.settimeout(10)
            assert Inbox(inline).receive().head["kind"] == inbox.receive().head["kind"] == "begun"
    os.kill(waiting.pid, signal.SIGTERM)
    assert waiting.status() == 0


def test_a_device_does_not_wait_at_a_socket_where_another_process_was_faster(predictor: Predictor, tmp_path: Path,
                                                                             monkeypatch: pytest.MonkeyPatch) -> None:
    """The inline connection that it was told of is gone when it accepts; there is a job."""
    paths, looked = [tmp_path / "inline.sock", tmp_path / "job.sock"], module.select.select

    def select(listeners: list[socket.socket], *others: Any) -> Any:
        monkeypatch.setattr(module.select, "select", looked)
        return listeners[:1], [], []

    monkeypatch.setattr(module.select, "select", select)
    waiting = forked(lambda say_ready: serve_at(predictor, paths, say_ready))
    with connected(paths[1]) as job:
        job.sendall(question(photo()))
        assert Inbox(job).receive().head["kind"] == "begun"
    os.kill(waiting.pid, signal.SIGTERM)
    assert waiting.status() == 0


def serve_at(predictor: Predictor, paths: list[Path], say_ready: Callable[[], None]) -> None:
    serve(predictor, [listening(path) for path in paths], say_ready)


def serve(predictor: Predictor, listeners: list[socket.socket], say_ready: Callable[[], None]) -> None:
    predictor = replace(predictor, listeners=listeners, hang_ups=HangUps())
    accepted = predictor._accepted

    def first_accepted() -> socket.socket:
        predictor._accepted = accepted  # type: ignore[method-assign]
        say_ready()
        return accepted()

    predictor._accepted = first_accepted  # type: ignore[method-assign]
    try:
        predictor.serve()
    except SystemExit as exit_:
        os._exit(int(exit_.code or 0))


def listening(path: Path) -> socket.socket:
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(str(path))
    listener.listen()
    return listener


def connected(path: Path) -> socket.socket:
    connection = socket.socket(socket.AF_UNIX)
    connection.settimeout(10)
    connection.connect(str(path))
    return connection
