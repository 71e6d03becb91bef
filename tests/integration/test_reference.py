"""The reference against a running server: whoever takes it at its word is answered as it says."""

import subprocess
import sys
from pathlib import Path

from settings import ROOT
from tests.integration.server import Server

EXAMPLES = "4"  # of each kind of case
CANCELED = "use_after_free"  # DELETE cancels a job, which can still be read
SCHEMATHESIS = Path(sys.executable).with_name("schemathesis")


def test_schemathesis_finds_no_failure(server: Server) -> None:
    done = subprocess.run(
        [SCHEMATHESIS, "--config-file", str(ROOT / "tests" / "integration" / "schemathesis.toml"), "run",
         f"http://127.0.0.1:{server.port}/openapi.json", "--checks", "all", "--exclude-checks", CANCELED,
         "--max-examples", EXAMPLES, "--no-color"],
        cwd=ROOT, env=server.environment | {"PYTHONPATH": str(ROOT)}, capture_output=True, text=True, check=False,
        timeout=200)
    assert done.returncode == 0, done.stdout[-10_000:] + done.stderr
