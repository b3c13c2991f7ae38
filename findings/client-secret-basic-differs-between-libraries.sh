#!/usr/bin/env bash
# oauth4webapi 3.8.8 (npm) and Authlib 1.9.10 (PyPI): a client's secret in `Authorization: Basic`.
#
# Likely guess: `client_secret_basic` is one format, so that two libraries write the same field for one client.
#
# Seen: oauth4webapi percent-encodes id and secret before base64, as RFC 6749, section 2.3.1, asks; it encodes even `-` and
# `_`. Authlib writes them as they are. A secret such as `a+b/c_d` authenticates by one of them, unless the server takes
# both; and a server that decodes reads `+` of the other as a blank.
#
# Output:
#   oauth4webapi: my%2Dapp:a%2Bb%2Fc%5Fd
#   Authlib:      my-app:a+b/c_d
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
npm install --silent --no-fund --no-audit oauth4webapi@3.8.8 > npm.log 2>&1
python3 -m venv venv
venv/bin/pip install --quiet --disable-pip-version-check Authlib==1.9.10 > pip.log 2>&1
cat > written.mjs << 'JS'
import { ClientSecretBasic } from 'oauth4webapi'

const headers = new Headers()
await ClientSecretBasic('a+b/c_d')({}, { client_id: 'my-app' }, new URLSearchParams(), headers)
console.log(atob(headers.get('authorization').split(' ')[1]))
JS
cat > written.py << 'PY'
import base64

from authlib.oauth2.auth import ClientAuth

auth = ClientAuth("my-app", "a+b/c_d", "client_secret_basic")
_, headers, _ = auth.prepare("POST", "https://as.example/token", {}, "")
print(base64.b64decode(headers["Authorization"].split()[1]).decode())
PY
seen="oauth4webapi: $(node written.mjs)
Authlib:      $(venv/bin/python written.py)"
echo "$seen"
[ "$seen" = 'oauth4webapi: my%2Dapp:a%2Bb%2Fc%5Fd
Authlib:      my-app:a+b/c_d' ]
