#!/usr/bin/env bash
# Package: componentize-py 0.25.1 (PyPI), `componentize --stub-wasi`.
#
# Likely guess: a component that needs no WASI is the simpler one: it drops the imports of `wasi:`, so it should
# hold fewer core instances than the same component with WASI, and load wherever the other loads.
#
# Seen: it holds more than twice as many. The stubs are core instances of their own inside the component. An engine
# that bounds the core instances of a component (an option of wasmtime's pooling allocator) with the usual form in mind
# refuses the one without WASI.
#
# Output seen: `with WASI: 14 core instances` and `without WASI: 38 core instances`.
# Exits 1 if the component without WASI does not hold more any longer.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv env
env/bin/pip install --quiet componentize-py==0.25.1
mkdir wit
cat > wit/world.wit <<'WIT'
package example:hello;
world hello {
  export greet: func(name: string) -> string;
}
WIT
cat > app.py <<'PY'
class WitWorld:
    def greet(self, name: str) -> str:
        return "hello " + name
PY
env/bin/componentize-py -d wit -w hello componentize app -o with.wasm > /dev/null
env/bin/componentize-py -d wit -w hello componentize app --stub-wasi -o without.wasm > /dev/null
cat > count.py <<'PY'
"""Counts the core instances of a component (Component Model, Binary.md): section 2, nested components too."""
import sys


def number(data, at):
    value = shift = 0
    while True:
        byte = data[at]
        at += 1
        value |= (byte & 0x7F) << shift
        shift += 7
        if byte < 0x80:
            return value, at


def count(data):
    at, found = 8, 0
    while at < len(data):
        kind = data[at]
        size, at = number(data, at + 1)
        body = data[at:at + size]
        at += size
        if kind == 4:
            found += count(body)
        if kind == 2:
            entries, place = number(body, 0)
            for _ in range(entries):
                form = body[place]
                place += 1
                if form == 0:  # instantiate a module with arguments
                    found += 1
                    _, place = number(body, place)
                arguments, place = number(body, place)
                for _ in range(arguments):
                    length, place = number(body, place)
                    place += length + 1  # a name and a sort
                    _, place = number(body, place)
    return found


print(count(open(sys.argv[1], "rb").read()))
PY
with=$(python3 count.py with.wasm)
without=$(python3 count.py without.wasm)
echo "with WASI: $with core instances"
echo "without WASI: $without core instances"
[ "$without" -gt "$with" ]
