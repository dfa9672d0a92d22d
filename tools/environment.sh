#!/bin/sh
# Makes or mends .venv, the virtual environment that `make` works in. Says nothing and takes no
# time when there is nothing to do.
#
#   PYTHON=/path/to/python3.12   the interpreter to use; otherwise the first that fits
#   CONSTRAINTS=                 (empty) the newest packages instead of those in constraints.txt
#
# .venv/made_from holds what the environment was made from. .venv/unfinished stands there while
# something is being made or installed: a call that finds it starts afresh.
set -eu
cd "$(dirname "$0")/.."

venv=.venv
stamp=$venv/made_from
unfinished=$venv/unfinished
constraints=${CONSTRAINTS-constraints.txt}
unset PYTHONHOME PYTHONPATH
export PIP_USER=0 PIP_NO_INPUT=1 PIP_DISABLE_PIP_VERSION_CHECK=1

trap 'exit 130' INT # some shells would go on, as if pip had given up by itself
say() { printf 'environment: %s\n' "$*"; }
stop() { say "$*" >&2; exit 1; }

# Prints why the interpreter $1 cannot be used; prints nothing if it can; fails if it does not run.
fault() {
    "$1" -c '
import sys
version = "%d.%d" % sys.version_info[:2]
if not (3, 11) <= sys.version_info[:2] <= (3, 13):
    print("is Python %s, and 3.11 to 3.13 is needed" % version)
else:
    try:
        import ensurepip, venv
    except ImportError:
        print("lacks venv (Debian and Ubuntu: apt install python%s-venv)" % version)
' 2>/dev/null
}

# Sets `python` to the first candidate that can be used. Inside a virtual environment that is the
# interpreter which the environment was made with: ours may be thrown away.
find_python() {
    faults=
    if [ -n "${PYTHON-}" ]; then
        set -- "$PYTHON"
    else
        set -- python3 python3.13 python3.12 python3.11
    fi
    for candidate in "$@"; do
        reason=$(fault "$candidate") || continue
        if [ -z "$reason" ]; then
            python=$("$candidate" -c 'import sys; print(sys._base_executable or sys.executable)')
            return
        fi
        faults="$faults$candidate $reason; "
    done
    stop "no usable Python: ${faults:-none of these runs: $*; }install Python 3.11 to 3.13," \
        "or name one, as in: make book PYTHON=/path/to/python3.12"
}

# What the environment is made from, as one line.
state() {
    { cat requirements.txt ${constraints:+"$constraints"} pyproject.toml
      pwd
      "$venv/bin/python" -V; } | cksum
}

# Is there an environment that can be built upon?
sound() {
    [ ! -e "$unfinished" ] && reason=$(fault "$venv/bin/python") && [ -z "$reason" ] || return 1
    "$venv/bin/python" -m pip --version >/dev/null 2>&1 || return 1
    [ -z "${PYTHON-}" ] || [ "$("$PYTHON" -V 2>&1)" = "$("$venv/bin/python" -V)" ]
}

up_to_date() {
    [ -f "$stamp" ] && [ ! -e "$unfinished" ] && [ -x "$venv/bin/python" ] || return 1
    [ "$(state 2>&1)" = "$(cat "$stamp")" ] || return 1
    [ -z "${PYTHON-}" ] || [ "$("$PYTHON" -V 2>&1)" = "$("$venv/bin/python" -V)" ]
}

make_venv() {
    find_python
    say "making $venv with $("$python" -V) ($python)"
    rm -rf "$venv"
    mkdir "$venv"
    : >"$unfinished"
    "$python" -m venv "$venv" || stop "$python could not make a virtual environment in $venv"
    rm "$unfinished"
}

# setuptools is what building rope_lib needs from the index in any case.
reach_index() {
    say "asking the package index"
    "$venv/bin/python" -m pip download --no-deps --dest "$venv/index" \
        --retries 1 --timeout "${PIP_DEFAULT_TIMEOUT:-20}" setuptools >"$venv/index.log" 2>&1 ||
        stop "the package index cannot be reached; check the network and pip's settings, then run" \
            "the same command again (what pip said is in $venv/index.log)"
    rm -rf "$venv/index" "$venv/index.log"
}

install() {
    say "installing requirements.txt (the first time: some minutes, torch is large)"
    : >"$unfinished"
    rm -f "$stamp"
    "$venv/bin/python" -m pip install -r requirements.txt ${constraints:+-c "$constraints"} || {
        rm "$unfinished" # pip itself gave up, so what is there is whole
        stop "pip could not install everything (its words are above); run the same command again"
    }
    state >"$stamp"
    rm "$unfinished"
    say "$venv is ready"
}

if up_to_date; then exit 0; fi
sound || make_venv
reach_index
install
