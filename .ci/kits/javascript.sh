#!/usr/bin/env bash
# The tools for plugins in JavaScript: `.ci/kits/javascript.sh FOLDER`. It installs those that a new plugin's
# package.json names, once, and prints the folder to put first in PATH. Node.js and npm must be there.
set -euo pipefail
folder=$1
template=$(dirname "$0")/../../kits/templates/${2:-javascript}/package.json
if ! command -v npm > /dev/null || ! node -e 'process.exit(Number(process.versions.node.split(".")[0]) < 20 ? 1 : 0)'; then
    echo "missing: Node.js 20 or newer, and npm" >&2
    exit 1
fi
mkdir -p "$folder"
sed 's/{{name}}/tools/' "$template" > "$folder/wanted.json"
if ! cmp -s "$folder/wanted.json" "$folder/package.json"; then
    rm -rf "$folder/node_modules"
    cp "$folder/wanted.json" "$folder/package.json"
    if ! (cd "$folder" && npm install --no-fund --no-audit >&2); then
        # The next run tries again.
        rm "$folder/package.json"
        exit 1
    fi
fi
echo "$(cd "$folder" && pwd)/node_modules/.bin"
