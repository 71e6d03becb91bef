#!/usr/bin/env bash
# Starts Punnet: makes .venv if needed, then queue server, predictors, gunicorn and RQ workers under supervisor.
# Options: --foreground (for systemd and containers), --reload (for development).
set -euo pipefail
cd "$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")"
. ops/limits.sh
. ops/venv.sh
check_limits 1048576
ensure_venv requirements.txt
exec .venv/bin/python -m ops.start "$@"
