#!/usr/bin/env python3
"""Tests the admin API against its OpenAPI document: `.ci/contract.py BINARY [SCHEMATHESIS]`.

Starts a gateway with storage in a temporary folder, and creates a few plans and keys, so that
generated requests find some. For about a minute, schemathesis sends requests that the document
allows and requests that it does not. The test fails if a response is a 5xx, if the document lacks
its status, type, header or body, or if the gateway accepts an invalid request.

The check `ignored_auth` is left out: it guesses tokens, and the gateway throttles that (429).
tests/e2e/admin_auth.rs covers it.
"""

import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import threading
import urllib.request

SECONDS = "60"

# The generated requests depend only on the seed, so a failure comes from a change in the code, not
# from chance. To search for more failures, set another seed by the variable CONTRACT_SEED.
SEED = os.environ.get("CONTRACT_SEED", "251759279790187510278646933196399176785")

CONFIG = """
[[listener]]
address = "127.0.0.1:0"

[admin]
address = "127.0.0.1:0"
tokens  = [{ name = "ops", role = "write", secret = "ops" }]

[store]
path = "windlass.db"

[secret.ops]
env = "CONTRACT_TOKEN"

[[route]]
path    = "/"
respond = { body = "ok" }
"""

# Besides 2xx, these statuses are accepted for a request that the document allows: the plan may not
# exist, the name may be taken, the revision may have changed.
# JSON Schema cannot describe a file of keys: the gateway refuses other text, and names its line.
SETTINGS = """
[[operations]]
include-name = "POST /v1/keys/import"
checks.positive_data_acceptance.enabled = false

# It has no way to write lines of JSON; tests/e2e/store_moves.rs holds that part.
[[operations]]
include-name = "POST /v1/store/import"
enabled = false

[checks]
ignored_auth.enabled = false
positive_data_acceptance.expected-statuses = ["2xx", "404", "409", "412", "422"]
negative_data_rejection.expected-statuses = ["400", "401", "403", "404", "405", "408", "409", "412", "413", "415", "422"]
"""


def lines(stream, found, seen):
    """Reads the log to its end, so that the gateway never waits for a reader."""
    for line in stream:
        seen.append(line)
        where = re.search(r"admin listening.*address=(\S+)", line)
        if where:
            found.append(where.group(1))
            found.ready.set()
    found.ready.set()


class Found(list):
    """The address of the admin listener, once the log has it."""

    def __init__(self):
        super().__init__()
        self.ready = threading.Event()


def post(base, token, path, body):
    """Creates something by the admin API."""
    request = urllib.request.Request(
        base + path,
        json.dumps(body).encode(),
        {"authorization": f"Bearer {token}", "content-type": "application/json"},
    )
    with urllib.request.urlopen(request, timeout=10) as answer:
        return json.load(answer)


def main():
    """Starts the gateway, runs the test, ends the gateway."""
    binary = os.path.abspath(sys.argv[1])
    schemathesis = sys.argv[2] if len(sys.argv) > 2 else "schemathesis"
    token = os.urandom(16).hex()
    folder = tempfile.mkdtemp(prefix="windlass-contract-")
    with open(os.path.join(folder, "windlass.toml"), "w", encoding="utf-8") as file:
        file.write(CONFIG)
    with open(os.path.join(folder, "schemathesis.toml"), "w", encoding="utf-8") as file:
        file.write(SETTINGS)
    environment = dict(os.environ, CONTRACT_TOKEN=token, NO_COLOR="1")
    gateway = subprocess.Popen(
        [binary, "run"], cwd=folder, env=environment, stderr=subprocess.PIPE, text=True
    )
    found, seen = Found(), []
    reader = threading.Thread(target=lines, args=(gateway.stderr, found, seen), daemon=True)
    reader.start()
    try:
        if not found.ready.wait(30) or not found:
            sys.exit("the gateway does not start:\n" + "".join(seen))
        base = "http://" + found[0]
        for name in ["gold", "silver"]:
            quota = {"limit": 1000, "period": "month"}
            post(base, token, "/v1/plans", {"name": name, "apis": [name], "quota": quota})
            post(base, token, "/v1/keys", {"consumer": "acme", "plans": [name]})
        asked = subprocess.run(
            [
                schemathesis,
                "run",
                base + "/v1/openapi.json",
                "--header",
                f"Authorization: Bearer {token}",
                "--phases",
                "examples,coverage,fuzzing,stateful",
                "--max-time",
                SECONDS,
                "--seed",
                SEED,
                "--max-examples",
                "60",
                "--continue-on-failure",
                "--request-timeout",
                "20",
            ],
            cwd=folder,
            check=False,
            timeout=400,
        )
        failed = asked.returncode != 0
        faults = [line for line in seen if "ERROR" in line]
        if gateway.poll() is not None or faults:
            failed = True
            print("the gateway's log:\n" + "".join(faults or seen[-20:]), file=sys.stderr)
        sys.exit(1 if failed else 0)
    finally:
        gateway.terminate()
        gateway.wait(60)
        shutil.rmtree(folder, ignore_errors=True)


if __name__ == "__main__":
    main()
