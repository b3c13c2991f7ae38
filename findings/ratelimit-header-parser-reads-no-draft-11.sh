#!/usr/bin/env bash
# ratelimit-header-parser 0.1.0 (npm), the parser of the authors of express-rate-limit.
#
# A server sends the fields of draft-ietf-httpapi-ratelimit-headers-11 (`RateLimit: "all";r=8;t=7`), and the
# old `X-RateLimit-*` beside them for clients that know no draft.
#
# The likely guess: a client that cannot read the new field reads the old ones.
#
# What happens: the parser looks for `RateLimit` first, takes it for draft 7 (`limit=9, remaining=8, reset=7`),
# finds no number, and answers `limit: null, remaining: null`. It never looks at `X-RateLimit-*`. Each of the
# older forms alone (draft 7, draft 6, `X-RateLimit-*` with a Unix time) is read.
#
# Exit 0: as described. 1: it has changed. 2: it could not be tried.
set -euo pipefail
folder="$(mktemp -d)"
trap 'rm -rf "$folder"' EXIT
cd "$folder"
npm init --yes > npm.log 2>&1 || exit 2
npm install --silent ratelimit-header-parser@0.1.0 >> npm.log 2>&1 || exit 2
cat > case.mjs << 'END'
import { parseRateLimit } from 'ratelimit-header-parser';
const x = {
    'x-ratelimit-limit': '9',
    'x-ratelimit-remaining': '8',
    'x-ratelimit-reset': String(Math.floor(Date.now() / 1000) + 7),
};
const draft11 = { 'ratelimit-policy': '"all";q=9;w=60', 'ratelimit': '"all";r=8;t=7' };
const read = (fields) => parseRateLimit(fields)?.remaining ?? null;
const told = [
    read({ 'ratelimit-policy': '9;w=60', 'ratelimit': 'limit=9, remaining=8, reset=7' }),
    read({ 'ratelimit-limit': '9', 'ratelimit-remaining': '8', 'ratelimit-reset': '7' }),
    read(x),
    read(draft11),
    read({ ...draft11, ...x }),
];
console.log(JSON.stringify(told));
process.exit(JSON.stringify(told) === '[8,8,8,null,null]' ? 0 : 1);
END
node case.mjs
