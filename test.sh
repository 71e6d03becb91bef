#!/usr/bin/env bash
# Installs what the tests need and runs them all, two at a time; arguments go to pytest, and then it is one at a time.
set -euo pipefail
cd "$(dirname "$(readlink -f "${BASH_SOURCE[0]}")")"
. ops/venv.sh
ensure_venv requirements-dev.txt
# Paths of sockets have to be short.
[ "$#" -gt 0 ] || set -- -n 2 --dist loadfile --basetemp="/tmp/punnet-$$"
exec .venv/bin/python -m pytest "$@"
