#!/usr/bin/env bash
# Installs what the tests need and runs them all; arguments go to pytest.
set -euo pipefail
cd "$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")"
. ops/venv.sh
ensure_venv requirements-dev.txt
exec .venv/bin/python -m pytest "$@"
