"""The command line against a real server."""

import json
import re
import subprocess
from pathlib import Path

import pytest

from settings import ROOT
from tests.integration.images import leaf
from tests.integration.server import Server, kill, wait_until

IMAGES = 40


def predicted(server: Server) -> int:
    """How many predictions the server has made."""
    numbers = re.findall(r"^punnet_prediction_seconds_count\{.*\} (\S+)$", server.get("/metrics").body.decode(), re.M)
    return sum(int(float(number)) for number in numbers)


@pytest.mark.parametrize("mode", ["auto", "async"])
def test_what_a_kill_interrupts_is_resumed_and_no_image_is_done_twice(server: Server, tmp_path: Path,
                                                                      mode: str) -> None:
    (tmp_path / "images").mkdir()
    for number in range(IMAGES):
        (tmp_path / "images" / f"{number}.jpg").write_bytes(leaf() + number.to_bytes() + mode.encode())
    call = [str(ROOT / "punnet"), "predict", str(tmp_path / "images"), "--model", "strawberry", "-p", f"mode={mode}",
            "--json"]
    environment, before = server.environment | {"XDG_CACHE_HOME": str(tmp_path)}, predicted(server)
    with subprocess.Popen(call, env=environment, stdout=subprocess.DEVNULL) as first:
        wait_until(lambda: predicted(server) - before > IMAGES // 3, 20)
        kill(first.pid)
    assert first.returncode == -9
    again = subprocess.run([*call, "--resume"], env=environment, capture_output=True, text=True, check=True)
    answers = [json.loads(line) for line in again.stdout.splitlines()]
    assert len({answer["file"] for answer in answers}) == IMAGES
    assert {answer["status"] for answer in answers} == {200}
    wait_until(lambda: predicted(server) - before >= IMAGES, 5)  # a worker counts after its job has ended
    assert predicted(server) - before == IMAGES
