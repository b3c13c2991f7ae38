#!/usr/bin/env bash
# Writes kits/sdk/python/windlass_filter/_bindings anew from wit/: `python-bindings.sh COMPONENTIZE_PY`. With `--check` as
# the second argument it changes nothing, and fails if they are stale.
#
# The kit needs them for types and for tests without a gateway. In a component, componentize-py makes its own.
set -euo pipefail
tool=$1
root=$(cd "$(dirname "$0")/../.." && pwd)
target=$root/kits/sdk/python/windlass_filter/_bindings
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
"$tool" --quiet -d "$root/wit" -w everything bindings "$folder/all"
mkdir "$folder/new"
cp -r "$folder/all/wit_world/." "$folder/all/componentize_py_types.py" "$folder/new"
# They are a part of the kit, not modules of their own.
sed -i 's/^from componentize_py_types import/from ..componentize_py_types import/' "$folder"/new/*/*.py
sed -i 's/^from componentize_py_types import/from .componentize_py_types import/' "$folder"/new/*.py
# Spaces at the ends of lines come from the contract's comments.
find "$folder/new" -name '*.py' -exec sed -i 's/[ \t]*$//' {} +
if [ "${2:-}" = --check ]; then
  diff -r --exclude __pycache__ "$target" "$folder/new" || {
    echo "kits/sdk/python/windlass_filter/_bindings is stale; run .ci/kits/python-bindings.sh" >&2
    exit 1
  }
  exit 0
fi
rm -rf "$target"
cp -r "$folder/new" "$target"
