"""Generates clients from the document that `builtin:sdk-metadata` serves, by the usual generators, and tests them.

Usage: clients.py WINDLASS TOOLS. TOOLS is a folder into which pinned packages of PyPI and npm are installed. The
gateway is `windlass demo`, with its endpoints and its token issuer. The script validates the document, and generates a
client by openapi-python-client, openapi-typescript (with openapi-fetch) and openapi-generator. Each client makes the
same three calls: with a token and a valid key, without either, and with a path parameter that must be escaped.
"""

import json
import os
import pathlib
import shutil
import subprocess
import sys
import tempfile
import time
import urllib.request

PYTHON = [
    "openapi-spec-validator==0.9.0",
    "openapi-python-client==0.29.1",
    "openapi-generator-cli==7.26.0",
    "httpx==0.28.1",
    "urllib3==2.5.0",
    "python-dateutil==2.9.0.post0",
    "pydantic==2.12.5",
    "typing-extensions==4.15.0",
]
NPM = ["openapi-typescript@7.13.0", "openapi-fetch@0.17.0", "typescript@5.9.3"]
DEADLINE = 60

URL = "http://127.0.0.1:8080"
ISSUER = "http://127.0.0.1:9104"

# The expected result of each client: the status of a call with token and key, the status of a call without them, and
# the target that the endpoint gets for `a b/ü`.
WANTED = {"good": 200, "without": 401, "escaped": "/orders/a%20b%2F%C3%BC"}

CALL_PYTHON_CLIENT = """
import json, sys
from shop_client import AuthenticatedClient, Client
from shop_client.api.default import get_shop_orders_id as get
url, token = sys.argv[1:]
client = AuthenticatedClient(base_url=url, token=token, headers={"x-api-key": "demo-key-alice"})
good = get.sync_detailed(id="7", client=client)
without = get.sync_detailed(id="7", client=Client(base_url=url))
escaped = get.sync_detailed(id="a b/\\u00fc", client=client)
print(json.dumps({"good": good.status_code, "without": without.status_code, "escaped": escaped.content.decode()}))
"""

CALL_GENERATOR = """
import json, sys
import openapi_client
from openapi_client.rest import ApiException
url, token = sys.argv[1:]
def api(known):
    configuration = openapi_client.Configuration(host=url)
    if known:
        configuration.api_key["api-key-x-api-key"] = "demo-key-alice"
        configuration.access_token = token
    return openapi_client.DefaultApi(openapi_client.ApiClient(configuration))
good = api(True).get_shop_orders_id_with_http_info(id="7")
try:
    without = api(False).get_shop_orders_id_with_http_info(id="7").status_code
except ApiException as error:
    without = error.status
escaped = api(True).get_shop_orders_id_without_preload_content(id="a b/\\u00fc")
print(json.dumps({"good": good.status_code, "without": without, "escaped": escaped.data.decode()}))
"""

CALL_TYPESCRIPT = """
import createClient from "openapi-fetch";
import type { paths } from "./api.d.ts";

const [baseUrl, token] = process.argv.slice(2) as [string, string];
async function get(id: string, headers: Record<string, string>) {
    const client = createClient<paths>({ baseUrl, headers });
    const { response } = await client.GET("/shop/orders/{id}", { params: { path: { id } }, parseAs: "stream" });
    return response;
}
const known = { "x-api-key": "demo-key-alice", authorization: `Bearer ${token}` };
const good = await get("7", known);
const without = await get("7", {});
const escaped = await get("a b/\\u00fc", known);
console.log(JSON.stringify({ good: good.status, without: without.status, escaped: await escaped.text() }));
"""


def run(*command, **options):
    """Run a command, and print its output if it fails."""
    done = subprocess.run(command, capture_output=True, text=True, timeout=600, **options)
    if done.returncode:
        sys.exit(f"{' '.join(map(str, command))}\n{done.stdout}\n{done.stderr}")
    return done.stdout


def fetch(url):
    """Fetch the document, once the gateway listens."""
    end = time.monotonic() + DEADLINE
    while True:
        try:
            with urllib.request.urlopen(url, timeout=5) as answer:
                return answer.read()
        except OSError:
            if time.monotonic() > end:
                raise
            time.sleep(0.1)


def check(name, told):
    got = json.loads(told.strip().splitlines()[-1])
    # `endpoint A (weight 3) got GET /orders/7, user dana, ..`
    got["escaped"] = got["escaped"].partition("got GET ")[2].partition(",")[0]
    if got != WANTED:
        sys.exit(f"{name}: got {got}, wanted {WANTED}")
    print(f"{name}: {got}")


def python_client(python, folder, token):
    generator = python.parent / "openapi-python-client"
    # Without ruff it would warn that it cannot format.
    out = folder / "python-client"
    run(generator, "generate", "--path", folder / "openapi.json", "--output-path", out, "--meta", "none")
    out.rename(folder / "shop_client")
    (folder / "call_python.py").write_text(CALL_PYTHON_CLIENT)
    check("openapi-python-client", run(python, folder / "call_python.py", URL, token, cwd=folder))


def generator_client(python, folder, token):
    out = folder / "generated"
    run(python.parent / "openapi-generator-cli", "generate", "-i", folder / "openapi.json", "-g", "python", "-o", out)
    call = folder / "call_generator.py"
    call.write_text(CALL_GENERATOR)
    check("openapi-generator", run(python, call, URL, token, env={**os.environ, "PYTHONPATH": str(out)}))


def typescript_client(modules, folder, token):
    here = folder / "typescript"
    here.mkdir()
    (here / "node_modules").symlink_to(modules)
    (here / "package.json").write_text('{ "type": "module" }')
    tools = modules / ".bin"
    run(tools / "openapi-typescript", folder / "openapi.json", "-o", here / "api.d.ts")
    (here / "call.ts").write_text(CALL_TYPESCRIPT)
    (here / "globals.d.ts").write_text("declare const process: { argv: string[] };\n")
    options = {"strict": True, "module": "nodenext", "target": "es2022", "skipLibCheck": True, "types": []}
    (here / "tsconfig.json").write_text(json.dumps({"compilerOptions": options}))
    run(tools / "tsc", cwd=here)
    check("openapi-typescript", run("node", "call.js", URL, token, cwd=here))


def main():
    windlass, tools = pathlib.Path(sys.argv[1]).resolve(), pathlib.Path(sys.argv[2]).resolve()
    python = tools / "bin" / "python"
    if not python.exists():
        run(sys.executable, "-m", "venv", tools)
    run(python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", *PYTHON)
    npm, java = shutil.which("npm"), shutil.which("java")
    if npm:
        run(npm, "install", "--silent", "--no-audit", "--no-fund", "--prefix", tools, *NPM)
    else:
        print("left out: openapi-typescript (npm is not installed)")
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        with open(folder / "log", "w") as log:
            gateway = subprocess.Popen([windlass, "demo"], stdout=log, stderr=log)
        try:
            with urllib.request.urlopen(url, timeout=5) as answer:
                return answer.read()
        except OSError:
            if time.monotonic() > end:
                raise
            time.sleep(0.1)


def check(name, told):
    got = json.loads(told.strip().splitlines()[-1])
    # `endpoint A (weight 3) got GET /orders/7, user dana, ..`
    got["escaped"] = got["escaped"].partition("got GET ")[2].partition(",")[0]
    if got != WANTED:
        sys.exit(f"{name}: got {got}, wanted {WANTED}")
    print(f"{name}: {got}")


def python_client(python, folder, token):
    generator = python.parent / "openapi-python-client"
    # Without ruff it would warn that it cannot format.
    out = folder / "python-client"
    run(generator, "generate", "--path", folder / "openapi.json", "--output-path", out, "--meta", "none")
    out.rename(folder / "shop_client")
    (folder / "call_python.py").write_text(CALL_PYTHON_CLIENT)
    check("openapi-python-client", run(python, folder / "call_python.py", URL, token, cwd=folder))


def generator_client(python, folder, token):
    out = folder / "generated"
    run(python.parent / "openapi-generator-cli", "generate", "-i", folder / "openapi.json", "-g", "python", "-o", out)
    call = folder / "call_generator.py"
    call.write_text(CALL_GENERATOR)
    check("openapi-generator", run(python, call, URL, token, env={**os.environ, "PYTHONPATH": str(out)}))


def typescript_client(modules, folder, token):
    here = folder / "typescript"
    here.mkdir()
    (here / "node_modules").symlink_to(modules)
    (here / "package.json").write_text('{ "type": "module" }')
    tools = modules / ".bin"
    run(tools / "openapi-typescript", folder / "openapi.json", "-o", here / "api.d.ts")
    (here / "call.ts").write_text(CALL_TYPESCRIPT)
    (here / "globals.d.ts").write_text("declare const process: { argv: string[] };\n")
    options = {"strict": True, "module": "nodenext", "target": "es2022", "skipLibCheck": True, "types": []}
    (here / "tsconfig.json").write_text(json.dumps({"compilerOptions": options}))
    run(tools / "tsc", cwd=here)
    check("openapi-typescript", run("node", "call.js", URL, token, cwd=here))


def main():
    windlass, tools = pathlib.Path(sys.argv[1]).resolve(), pathlib.Path(sys.argv[2]).resolve()
    python = tools / "bin" / "python"
    if not python.exists():
        run(sys.executable, "-m", "venv", tools)
    run(python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", *PYTHON)
    npm, java = shutil.which("npm"), shutil.which("java")
    if npm:
        run(npm, "install", "--silent", "--no-audit", "--no-fund", "--prefix", tools, *NPM)
    else:
        print("left out: openapi-typescript (npm is not installed)")
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        with open(folder / "log", "w") as log:
            gateway = subprocess.Popen([windlass, "demo"], stdout=log, stderr=log)
        try:
            (folder / "openapi.json").write_bytes(fetch(f"{URL}/shop/openapi.json"))
            print(run(python.parent / "openapi-spec-validator", folder / "openapi.json").strip())
            token = fetch(f"{ISSUER}/token").decode()
            python_client(python, folder, token)
            if java:
                generator_client(python, folder, token)
            else:
                print("left out: openapi-generator (java is not installed)")
            if npm:
                typescript_client(tools / "node_modules", folder, token)
        finally:
            gateway.terminate()
            gateway.wait()


main()
