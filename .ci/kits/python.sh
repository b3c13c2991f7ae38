#!/usr/bin/env bash
# The tools for plugins in Python: `.ci/kits/python.sh FOLDER`. It installs them there, once, and prints the folder to
# put first in PATH. Python 3.11 or newer must be there.
set -euo pipefail
folder=$1
if ! python3 -c 'import sys, venv; sys.exit(sys.version_info < (3, 11))'; then
    echo "missing: Python 3.11 or newer, with venv" >&2
    exit 1
fi
mkdir -p "$folder"
wanted="componentize-py==0.25.1 mypy==2.4.1"
if [ "$(cat "$folder/wanted" 2> /dev/null)" != "$wanted" ]; then
    python3 -m venv --clear "$folder/venv" >&2
    # shellcheck disable=SC2086 # two words
    "$folder/venv/bin/pip" install --quiet --disable-pip-version-check $wanted >&2
    # Last: if one of them fails, the next run tries again.
    echo "$wanted" > "$folder/wanted"
fi
echo "$(cd "$folder" && pwd)/venv/bin"
