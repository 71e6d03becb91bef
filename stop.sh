#!/usr/bin/env bash
# Stops what ./start.sh started: first no new work, then running work finishes, the queue server last.
set -euo pipefail
cd "$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")"
. ops/limits.sh
check_limits 65536
if [ ! -x .venv/bin/python ]; then
    echo "Punnet is not running (it was never started here)."
    exit 0
fi
exec .venv/bin/python -m ops.stop "$@"
