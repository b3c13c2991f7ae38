#!/usr/bin/env bash
# What `.ci/kits.py` does not know of Python: `python-check.sh WINDLASS`, with the folder of `python.sh` first in PATH.
# The committed bindings are those of wit/; types and unit tests of a new plugin and of the recipes are good; and a
# component without `wasi:` loads.
set -euo pipefail
windlass=$(realpath "$1")
root=$(cd "$(dirname "$0")/../.." && pwd)
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
"$root/.ci/kits/python-bindings.sh" componentize-py --check
cd "$folder"
"$windlass" plugin new --lang python recipes > /dev/null
cd recipes
mypy .
python3 -m unittest
cp -r "$root/kits/recipes/python/." .
mypy .
python3 -m unittest
# A clock at the build would be the same in all instances: the build names the line.
cp app.py good.py
printf 'import time\nSTART = time.time()\n' >> app.py
if "$windlass" plugin build > build.log 2>&1; then
    echo "a clock that is read at the build was not refused" >&2
    exit 1
fi
grep -q '`time.time()` at app.py:[0-9]* runs at the build' build.log || { cat build.log >&2; exit 1; }
mv good.py app.py
sed -i 's/^stub-wasi = false/stub-wasi = true/' pyproject.toml
"$windlass" plugin build
cat > windlass.toml <<'T'
[[listener]]
address = "127.0.0.1:0"
[filter.recipes]
plugin = "build/recipes.wasm"
documents = { blocked = "app.py" }
allow = { interfaces = ["metrics", "cache", "keys", "limits", "rates", "crypto", "jwt", "callout"], attributes = ["consumer.*", "api-key.*", "auth.*", "plan.*", "user.*"] }
[verifier.issuer]
secret = "issuer"
issuers = ["https://issuer.example"]
audiences = ["orders"]
[secret.issuer]
file = "secret"
[[route]]
path = "/{rest+}"
filters = ["recipes"]
respond = {}
T
echo 'a secret of thirty-two bytes or more' > secret
"$windlass" check | tee check.log
! grep -q 'wasi:' check.log
