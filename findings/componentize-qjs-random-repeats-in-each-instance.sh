#!/usr/bin/env bash
# Package: componentize-qjs 0.4.5 (npm), also `jco componentize --backend qjs` 1.35.0; the same with and without `--sync`.
#
# Likely guess: the component is a snapshot of a started engine, so what the top level of a module computes is the same
# in each instance. `Math.random()` inside of an exported function is called at run time, so it differs: it does in
# components of componentize-py, whose `random` takes a new seed from WASI.
#
# Seen: each instance gives the same numbers in the same order. QuickJS draws its seed when the context is made, which
# is before the snapshot. So two instances that make ids, nonces or samples make the same ones, in every process.
#
# Output seen: `3 instances gave 1 number`. Exits 1 if instances differ.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
npm install --silent --no-audit --no-fund componentize-qjs@0.4.5
python3 -m venv env
env/bin/pip install --quiet wasmtime==50.0.1
cat > world.wit <<'WIT'
package example:random;
world random {
  export draw: func() -> f64;
}
WIT
echo 'export function draw() { return Math.random(); }' > draw.js
node_modules/.bin/componentize-qjs --sync --wit world.wit --js draw.js --output draw.wasm > /dev/null
cat > draw.py <<'PY'
import wasmtime
from wasmtime import component

engine = wasmtime.Engine()
code = component.Component(engine, open("draw.wasm", "rb").read())
linker = component.Linker(engine)
linker.add_wasip2()
drawn = set()
for _ in range(3):
    store = wasmtime.Store(engine)
    store.set_wasi(wasmtime.WasiConfig())
    drawn.add(linker.instantiate(store, code).get_func(store, "draw")(store))
print(f"3 instances gave {len(drawn)} number{'s' if len(drawn) > 1 else ''}")
raise SystemExit(len(drawn) != 1)
PY
env/bin/python draw.py
