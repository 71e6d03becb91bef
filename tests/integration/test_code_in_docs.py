"""The code in the documents runs here as it is printed, but for the port; what cannot run here says why."""

import json
import re
import shlex
import shutil
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from flask import Flask, request
from standardwebhooks import Webhook, WebhookVerificationError

from inference.model_toml import read_toml
from settings import ROOT
from tests.integration.server import Server

FOLDERS = ("docs", "bench", "deploy", "models", "tools", "training")
DOCUMENTS = [ROOT / "README.md", *sorted(path for folder in FOLDERS for path in (ROOT / folder).rglob("*.md"))]
# The beginning of a block that is not run as it is printed -> why, or which test does with it what can be done.
NOT_HERE = {
    "PUNNET_BIND=0.0.0.0:4958": "opens a port to the network; test_keys.py starts a server with keys",
    "const form = new FormData();": "test_browser.py runs it in a browser, from another origin",
    "import { Webhook }": "needs express and standardwebhooks of npm",
    "from standardwebhooks": "is a part of a program: test_the_receiver_takes_what_is_signed_alone completes it",
    'pip install "optimum-onnx': "downloads a model; tools/exports compares such exports",
    "import timm, torch": "downloads weights; tools/exports compares such exports",
    "import torch, torchvision": "downloads weights; tools/exports compares such exports",
    "weights = torchvision.models.seg": "downloads weights; tools/exports compares such exports",
    "class OneImage": "downloads weights; tools/exports compares such exports",
    "import keras": "downloads weights; tools/exports compares such exports",
    "import numpy as np\n\nSTRIDE": "is a model's hooks.py: unit/test_docs.py predicts with it",
    "useradd": "needs systemd and root; unit/test_deploy.py checks the unit",
    "PUNNET_API_KEYS=me:a-long-random-text docker": "needs docker",
    "redis-server --bind": "needs two machines: test_machines.py",
    "export PUNNET_REDIS_URL": "needs two machines: test_machines.py",
    "version=$(.venv/bin/python -m pip show": "replaces a package of .venv, and is of use with a GPU alone",
    "python -m venv /tmp/train-venv": "trains for an hour",
    "python -m venv /tmp/exporters": "installs the exporters' libraries",
    ".venv/bin/python -m bench": "measures for an hour: the test of options",
    ".venv/bin/python -m tools.hostile": "takes half an hour: the test of options",
}
# A program that reads a file of the language, and what stands around an example in such a file.
READERS = {"yaml": (["promtool", "check", "config"], "{}"),
           "haproxy": (["haproxy", "-c", "-f"], "defaults\n mode http\n timeout connect 5s\n timeout client 5s\n"
                                                " timeout server 5s\nlisten punnet\n bind 127.0.0.1:4958\n{}")}
RUN = {"sh": ["bash", "-euo", "pipefail", "-c"], "python": [sys.executable, "-c"]}
LANGUAGES = {*RUN, *READERS, "js", "json", "toml", "text"}
BLOCK = re.compile(r"^( *)```(\w*)[^\n]*\n(.*?)^\1```$", re.MULTILINE | re.DOTALL)
ANSWER = re.compile(r"\s*```json\n(.*?)^```$", re.MULTILINE | re.DOTALL)
STATUS = re.compile(r'^\{.*?"status": ?(\d+)', re.MULTILINE)
SECRET = "whsec_" + "c2VjcmV0LW9mLXRoZS10ZXN0LXdpdGgtMzItYnl0ZXM="


@dataclass(frozen=True)
class Block:
    """`answer` is the JSON that stands right below, as what the last line answers."""

    place: str
    language: str
    code: str
    answer: str = ""

    @property
    def runs_here(self) -> bool:
        return self.language in (*RUN, "js") and not any(self.code.startswith(beginning) for beginning in NOT_HERE)

    @property
    def status(self) -> str:
        """What its lines are answered with."""
        return "202" if "mode=async" in self.code else "415" if "@README.md" in self.code else "200"

    @property
    def answers(self) -> int:
        """How many of its lines print an answer of the server."""
        return sum(line.startswith("curl ") and " -o " not in line for line in self.code.splitlines())


def blocks(document: Path) -> Iterator[Block]:
    text = document.read_text("utf-8")
    for found in BLOCK.finditer(text):
        place = f"{document.relative_to(ROOT)}:{text.count(chr(10), 0, found.start()) + 1}"
        answer = ANSWER.match(text, found.end())
        yield Block(place, found[2], textwrap.dedent(found[3]), answer[1] if answer else "")


ALL = [block for document in DOCUMENTS for block in blocks(document)]


def of(*languages: str) -> pytest.MarkDecorator:
    found = [block for block in ALL if block.language in languages]
    return pytest.mark.parametrize("block", found, ids=[block.place for block in found])


def shape(document: Any) -> Any:
    """The keys of a document."""
    if isinstance(document, dict):
        return {key: shape(value) for key, value in document.items()}
    return [shape(value) for value in document[:1]] if isinstance(document, list) else None


@pytest.fixture
def checkout(server: Server, tmp_path: Path) -> Path:
    """The project's folder with this server's state in it; what is written there is gone afterwards."""
    for path in ROOT.iterdir():
        if path.name != "var":
            (tmp_path / path.name).symlink_to(path)
    (tmp_path / "var").symlink_to(server.state_dir)
    return tmp_path


RUNNING = [block for block in ALL if block.runs_here]


@pytest.mark.skipif(shutil.which("curl") is None, reason="no curl here")
@pytest.mark.parametrize("block", RUNNING, ids=[block.place for block in RUNNING])
def test_a_block_runs_as_it_is_printed(server: Server, checkout: Path, block: Block) -> None:
    code = block.code.replace("localhost:4958", f"localhost:{server.port}")
    done = subprocess.run([*RUN[block.language], code], cwd=checkout, capture_output=True, text=True, check=False,
                          env=server.environment | {"XDG_CACHE_HOME": str(checkout / "cache")})
    assert done.returncode == 0, done.stdout + done.stderr
    statuses = STATUS.findall(done.stdout)
    assert (set(statuses) <= {block.status}, len(statuses) >= block.answers) == (True, True), done.stdout
    if block.answer:
        assert shape(json.loads(done.stdout.splitlines()[-1])) == shape(json.loads(block.answer))
    drawn = [path for path in (checkout / "leaf.png", *checkout.glob("drawings/*")) if path.exists()]
    assert bool(drawn) == ("image/png" in block.code or "--draw" in block.code)
    assert {path.read_bytes()[:4] for path in drawn} <= {b"\x89PNG"}


def test_there_are_lines_that_run() -> None:
    assert len(RUNNING) >= 8


def test_every_block_says_what_it_is_and_each_reason_is_needed() -> None:
    assert {block.place: block.language for block in ALL if block.language not in LANGUAGES} == {}
    beginnings = [block.code for block in ALL]
    assert [one for one in NOT_HERE if not any(code.startswith(one) for code in beginnings)] == []


@of("python")
def test_python_compiles(block: Block) -> None:
    compile(block.code, block.place, "exec")


@of("json")
def test_json_can_be_read(block: Block) -> None:
    json.loads(block.code)


@of("toml")
def test_toml_is_a_model_toml(block: Block, tmp_path: Path) -> None:
    (tmp_path / "model.toml").write_text(block.code, "utf-8")
    read_toml(tmp_path / "model.toml")


@of(*READERS)
def test_the_program_that_it_is_for_reads_it(block: Block, tmp_path: Path) -> None:
    command, around = READERS[block.language]
    if shutil.which(command[0]) is None:
        pytest.skip(f"no {command[0]} here")
    (tmp_path / "file").write_text(around.format(block.code), "utf-8")
    done = subprocess.run([*command, tmp_path / "file"], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def programs() -> dict[str, set[str]]:
    """Of lines that are not run: our own programs, and the options that are named beside them."""
    found: dict[str, set[str]] = {}
    for line in "\n".join(block.code for block in ALL if block.language == "sh").splitlines():
        if program := re.search(r"python -m ((?:bench|tools)[\w.]*)(?: ([a-z]+))?(.*)", line):
            options = found.setdefault(f"{program[1]} {program[2] or ''}".strip(), set())
            options |= set(re.findall(r"--[\w-]+", program[3]))
    return found


@pytest.mark.parametrize(("program", "options"), programs().items(), ids=programs().keys())
def test_a_program_that_runs_for_long_has_the_options_that_are_named(program: str, options: set[str]) -> None:
    done = subprocess.run([sys.executable, "-m", *shlex.split(program), "--help"], cwd=ROOT, capture_output=True,
                          text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert options <= set(re.findall(r"--[\w-]+", done.stdout))


def test_the_receiver_takes_what_is_signed_alone() -> None:
    [code] = [block.code for block in ALL if block.code.startswith("from standardwebhooks")]
    app, now, body = Flask("receiver"), datetime.now(UTC), '{"id": "1", "state": "succeeded", "status": 200}'
    app.testing = True
    exec(code, {"app": app, "SECRET": SECRET, "request": request})
    headers = {"webhook-id": "msg_1", "webhook-timestamp": str(int(now.timestamp())), "Punnet-Event": "completed",
               "webhook-signature": Webhook(SECRET).sign("msg_1", now, body)}
    assert app.test_client().post("/hook", data=body, headers=headers).status_code == 204
    with pytest.raises(WebhookVerificationError):
        app.test_client().post("/hook", data=body + " ", headers=headers)
