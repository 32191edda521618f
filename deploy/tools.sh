#!/bin/sh
# The programs that the tests use beside Python: prints the Debian packages of those that are not
# here, in one line. With --or-fail it says what to do, and fails.
set -eu
missing=
need() { # need PACKAGE PROGRAM...: one of the programs will do
    package=$1
    shift
    for program in "$@"; do
        if command -v "$program" >/dev/null 2>&1; then
            return
        fi
    done
    missing="$missing $package"
}
need make make
need haproxy haproxy /usr/sbin/haproxy # not on everybody's PATH
need curl curl
need procps ps
need util-linux unshare # and nsenter
need mount mount
need "gcc libc6-dev" cc gcc
need zsh zsh
need fish fish
need nodejs node
need chromium chromium chromium-browser google-chrome

if [ "${1:-}" != --or-fail ]; then
    echo "$missing"
elif [ -n "$missing" ]; then
    echo "gorilla: these tests need more than is installed here" \
         "(Debian: apt-get install$missing; .ci/run does it)" >&2
    exit 1
fi
