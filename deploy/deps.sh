#!/bin/sh
# Make the environment in .venv: a Python that is new enough, the packages of a lock file with
# their hashes, then the project itself. `make deps` calls it when the lock file has changed.
#
#     deploy/deps.sh .venv deploy/lock/dev.txt
set -eu
venv=$1
lock=$2

new_enough() {
    "$1" -c 'import sys; sys.exit(sys.version_info < (3, 11))' >/dev/null 2>&1
}

find_python() {
    for candidate in ${PYTHON:-} python3 python3.13 python3.12 python3.11; do
        if new_enough "$candidate"; then
            echo "$candidate"
            return
        fi
    done
    echo "gorilla: Python 3.11 or later is needed, and none was found on the PATH." >&2
    echo "gorilla: install one (Debian: apt-get install python3 python3-venv), or name it:" \
         "make PYTHON=/path/to/python3.12" >&2
    exit 1
}

if ! new_enough "$venv/bin/python" || ! "$venv/bin/python" -m pip --version >/dev/null 2>&1; then
    python=$(find_python)
    if ! "$python" -c 'import ensurepip, venv' >/dev/null 2>&1; then
        echo "gorilla: $python has no venv module (Debian: apt-get install python3-venv)." >&2
        exit 1
    fi
    echo "gorilla: making $venv with $("$python" -V)"
    "$python" -m venv --clear "$venv"
fi

echo "gorilla: installing the packages of $lock"
if ! "$venv/bin/python" -m pip install --quiet --disable-pip-version-check --require-hashes -r "$lock"
then
    echo "gorilla: the packages could not be installed; pip says why above" \
         "(is the package index reachable?)." >&2
    exit 1
fi
"$venv/bin/python" -m pip install --quiet --disable-pip-version-check --no-deps \
    --no-build-isolation --editable .
