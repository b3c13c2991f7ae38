#!/usr/bin/env bash
# The tools for plugins in TypeScript: `.ci/kits/typescript.sh FOLDER`. Those of JavaScript, and the compiler.
set -euo pipefail
exec "$(dirname "$0")/javascript.sh" "$1" typescript
