#!/usr/bin/env bash
# Package: QuickJS-NG as componentize-qjs 0.4.5 (npm) has it.
#
# Likely guess: `Error.prepareStackTrace` is V8's: a plain property. `delete Error.prepareStackTrace` gives stacks their
# ordinary text again, and so does the assignment of `undefined`.
#
# Seen: it is an accessor. `delete` removes the accessor, so `typeof Error.prepareStackTrace` is `undefined`, and the
# engine goes on calling the function for each new error; nothing can set it anew. The assignment of `undefined` works.
#
# Output seen: `after delete: mapped, after undefined: plain`. Exits 1 if that has changed.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
npm install --silent --no-audit --no-fund componentize-qjs@0.4.5
cat > world.wit <<'WIT'
package example:stack;
world stack {
  export unused: func();
}
WIT
# The build evaluates the module, and prints what it throws.
seen() {
    cat > stack.js <<JS
export function unused() {}
Error.prepareStackTrace = () => "mapped";
$1;
throw new Error("stack is " + (new Error("x").stack === "mapped" ? "mapped" : "plain"));
JS
    { node_modules/.bin/componentize-qjs --sync --wit world.wit --js stack.js --output stack.wasm 2>&1 || true; } |
        sed -n 's/.*stack is \([a-z]*\).*/\1/p' | head -1
}
deleted=$(seen 'delete Error.prepareStackTrace')
unset=$(seen 'Error.prepareStackTrace = undefined')
echo "after delete: $deleted, after undefined: $unset"
[ "$deleted" = mapped ] && [ "$unset" = plain ]
