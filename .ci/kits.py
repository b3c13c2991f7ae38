"""Does what an author does on the first day, in each language: new, build, test, run, an edit, a reload.

Usage: kits.py WINDLASS TOOLS [LANGUAGE...]. `.ci/kits/LANGUAGE.sh TOOLS/LANGUAGE` installs the pinned tools of a
language there, once, and prints the folders to put first in PATH, separated by colons. Where that fails, the language
is left out, and it says so: a line `LEFT OUT: ...` at the end. The script ends with 1 if anything else is wrong.

The author's four commands are `windlass plugin new`, `plugin build`, `plugin test` and `run`; the configuration is
that of the new folder's README. Beyond that: the unit tests of the new folder; `windlass plugin dev` reloads after a
save; 25,000 requests without a failed one; no path of this machine in the component; the same bytes from two folders,
where the language can; and the recipes of `kits/recipes/LANGUAGE`.
"""

import argparse
import dataclasses
import http.client
import http.server
import os
import pathlib
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time

REPOSITORY = pathlib.Path(__file__).resolve().parent.parent
LANGUAGES = ["rust", "c", "go", "js", "ts", "python"]
# The names of folders and scripts, where they are not the word on the command line.
FOLDERS = {"js": "javascript", "ts": "typescript"}
# Languages whose component is a snapshot of a started interpreter: two builds differ.
SNAPSHOTS = {"js", "ts", "python"}
# Seconds for the four commands. Rust: from nothing, with the dependencies. Printed, and said where one is above it.
AT_MOST = {"rust": 120}
AT_MOST_OTHERS = 60
REQUESTS = 25_000
DEADLINE = 120

LEFT_OUT = []


class Wrong(Exception):
    """Something is not as it should be."""


def leave_out(text):
    LEFT_OUT.append(text)
    print(f"!!! LEFT OUT: {text}", flush=True)


@dataclasses.dataclass
class Author:
    """Runs commands in an environment, and measures them."""

    windlass: str
    environment: dict
    times: list = dataclasses.field(default_factory=list)

    def run(self, name, command, folder):
        start = time.monotonic()
        done = subprocess.run(command, cwd=folder, env=self.environment, text=True, capture_output=True)
        took = time.monotonic() - start
        if name:
            self.times.append((name, took))
        if done.returncode != 0:
            raise Wrong(f"`{' '.join(map(str, command))}` ended with {done.returncode}:\n{done.stdout}{done.stderr}")
        return done.stdout

    def plugin(self, name, *arguments, folder):
        return self.run(name, [self.windlass, "plugin", *arguments], folder)


def free_port():
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        return listening.getsockname()[1]


def until(promise, what):
    """Waits until the promise holds."""
    end = time.monotonic() + DEADLINE
    while time.monotonic() < end:
        if promise():
            return
        time.sleep(0.05)
    raise Wrong(f"not within {DEADLINE} s: {what}")


class Endpoint(http.server.BaseHTTPRequestHandler):
    """Answers with the field that the filter set."""

    protocol_version = "HTTP/1.1"

    def answer(self):
        if self.headers.get("transfer-encoding") == "chunked":
            while size := int(self.rfile.readline(), 16):
                self.rfile.read(size + 2)
            self.rfile.readline()
        else:
            self.rfile.read(int(self.headers.get("content-length") or 0))
        body = (self.headers.get("x-checked-by") or "nobody").encode()
        self.send_response(200)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    do_GET = do_POST = answer

    def log_message(self, *_):
        pass


class Gateway:
    """`windlass run` with the new filter: one route to the endpoint, and one with a fixed response."""

    def __init__(self, author, config, port):
        self.port = port
        self.log = config.with_suffix(".log")
        with self.log.open("w") as log:
            command = [author.windlass, "run", "--config", config.name]
            self.process = subprocess.Popen(command, cwd=config.parent, env=author.environment, stdout=log, stderr=log)
        try:
            until(self.accepts, f"the gateway listens; its log:\n{self.log.read_text()}")
        except Wrong:
            self.stop()
            raise

    def accepts(self):
        if self.process.poll() is not None:
            raise Wrong(f"the gateway ended with {self.process.returncode}:\n{self.log.read_text()}")
        try:
            socket.create_connection(("127.0.0.1", self.port), 1).close()
        except OSError:
            return False
        return True

    def ask(self, team, body=None):
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)
        headers = {"x-team": team} if team else {}
        connection.request("POST" if body else "GET", "/orders", body=body, headers=headers)
        response = connection.getresponse()
        text = response.read().decode()
        connection.close()
        return response.status, text, response.headers

    def resident(self):
        """The memory of the process in MiB."""
        status = pathlib.Path(f"/proc/{self.process.pid}/status").read_text()
        return int(re.search(r"VmRSS:\s+(\d+)", status)[1]) // 1024

    def stop(self):
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            self.process.wait(30)


def expect(seen, wanted, what):
    if seen != wanted:
        raise Wrong(f"{what}: {seen!r}, and not {wanted!r}")


def tools_of(language, tools):
    """The environment with the language's tools. None if they cannot be had."""
    script = REPOSITORY / ".ci/kits" / f"{FOLDERS.get(language, language)}.sh"
    if not script.is_file():
        leave_out(f"{language}: `.ci/kits/{script.name}` is missing")
        return None
    place = tools / FOLDERS.get(language, language)
    place.mkdir(parents=True, exist_ok=True)
    start = time.monotonic()
    done = subprocess.run(["bash", script, place], text=True, stdout=subprocess.PIPE)
    if done.returncode != 0:
        leave_out(f"{language}: its tools cannot be installed; nothing of it was tried")
        return None
    print(f"{language}: tools in {time.monotonic() - start:.1f} s", flush=True)
    environment = dict(os.environ)
    # The folders of the author stay out of the way of this repository's own.
    for name in ("CARGO_TARGET_DIR", "CARGO_INCREMENTAL", "RUSTFLAGS"):
        environment.pop(name, None)
    first = done.stdout.strip()
    if first:
        environment["PATH"] = f"{first}:{environment['PATH']}"
    return environment


def configuration(folder, name, port, endpoint):
    """The configuration that the README of the new folder shows, beside the folder."""
    readme = (folder / "README.md").read_text()
    shown = re.search(r"```toml\n(.*?)```", readme, re.S)
    if not shown:
        raise Wrong("the README shows no configuration")
    text = shown[1].replace("127.0.0.1:9000", f"127.0.0.1:{endpoint}")
    expect(text.count(f"127.0.0.1:{endpoint}"), 1, "the address of the endpoint in the README")
    fixed = f'[[route]]\npath = "/load"\nfilters = ["{name}"]\nrespond = {{ body = "done" }}\n'
    config = folder.parent / "windlass.toml"
    config.write_text(f'[[listener]]\naddress = "127.0.0.1:{port}"\n\n{text}\n{fixed}')
    return config


def edit(folder, old="team_unknown", new="team_not_listed"):
    """Changes the reason of the refusal, in the one source file that has it."""
    files = [file for file in folder.rglob("*") if file.is_file() and file.suffix in (".rs", ".c", ".go", ".js", ".ts", ".py")]
    skipped = ("build", "target", "sdk", "node_modules", ".venv")
    files = [file for file in files if not set(file.relative_to(folder).parts) & set(skipped)]
    files = [file for file in files if old in file.read_text(errors="replace")]
    files = [file for file in files if "test" not in file.name]
    expect(len(files), 1, f"source files with `{old}` ({[file.name for file in files]})")
    files[0].write_text(files[0].read_text().replace(old, new))


def load(gateway, folder):
    """25,000 requests over connections that stay: nine of ten pass with a body, one is refused."""
    script = folder / "load.lua"
    script.write_text(
        "local n = 0\n"
        "function request()\n"
        "  n = n + 1\n"
        '  if n % 10 == 0 then return wrk.format("GET", "/load", { ["x-team"] = "red" }) end\n'
        '  return wrk.format("POST", "/load", { ["x-team"] = "blue" }, "hello")\n'
        "end\n"
        "local wrong = 0\n"
        "function response(status)\n"
        "  if status ~= 200 and status ~= 403 then wrong = wrong + 1 end\n"
        '  if wrong == 1 then print("WRONG STATUS " .. status) end\n'
        "end\n"
    )
    before, done, start = gateway.resident(), 0, time.monotonic()
    # What the start says (of root, of the cache) is none of the filter.
    said = len(gateway.log.read_text().splitlines())
    while done < REQUESTS:
        if time.monotonic() - start > 300:
            raise Wrong(f"only {done} requests in 300 s")
        command = ["wrk", "-t1", "-c4", "-d5s", "-s", str(script), f"http://127.0.0.1:{gateway.port}"]
        output = subprocess.run(command, check=True, text=True, capture_output=True).stdout
        if "WRONG STATUS" in output or "Socket errors" in output:
            raise Wrong(f"under load:\n{output}\n{tail(gateway.log)}")
        done += int(re.search(r"(\d+) requests in", output)[1])
    took = time.monotonic() - start
    lines = gateway.log.read_text().splitlines()[said:]
    failures = [line for line in lines if " WARN " in line or "ERROR" in line]
    if failures:
        raise Wrong(f"failures in the log under load: {failures[0]}")
    print(f"  load       {done} requests in {took:.0f} s, none failed; {before} MiB before, {gateway.resident()} after")


def tail(log):
    return "\n".join(log.read_text().splitlines()[-20:])


def no_paths(folder, name, forbidden):
    for file in (f"{name}.wasm", f"{name}.debug.wasm"):
        component = folder / "build" / file
        if not component.exists():
            continue
        content = component.read_bytes()
        for path in forbidden:
            if str(path).encode() in content:
                raise Wrong(f"`{file}` has the path `{path}` in it")
    size = (folder / "build" / f"{name}.wasm").stat().st_size
    print(f"  component  {size / 1024:.0f} KiB, no path of this machine")


def same_elsewhere(author, language, name, folder, elsewhere):
    elsewhere.mkdir()
    author.plugin(None, "new", "--lang", language, name, folder=elsewhere)
    author.plugin(None, "build", folder=elsewhere / name)
    expect((elsewhere / name / "build" / f"{name}.wasm").read_bytes() == (folder / "build" / f"{name}.wasm").read_bytes(), True, "two folders make the same component")
    print("  again      the same bytes from another folder")


def recipes(author, language, work):
    """A new plugin with the files of the recipes over it: each host interface, with its cases."""
    shared = REPOSITORY / "kits/recipes"
    files = shared / FOLDERS.get(language, language)
    if not files.is_dir():
        leave_out(f"{language}: no recipes in `kits/recipes/`")
        return
    author.plugin(None, "new", "--lang", language, "recipes", folder=work)
    # Cases and documents are the same in all languages, but for a language that has its own.
    for file in ("cases.toml", "blocked.txt"):
        shutil.copy(shared / file, work / "recipes")
    shutil.copytree(files, work / "recipes", dirs_exist_ok=True)
    author.plugin(None, "build", folder=work / "recipes")
    author.plugin(None, "test", folder=work / "recipes")
    print("  recipes    built, and their cases passed")


def extra(author, language, folder):
    """The unit tests that the README of the starter names, and the tools of the language that find faults."""
    commands = {
        "rust": [["cargo", "fmt", "--check"], ["cargo", "test", "--quiet"]],
        "go": [["go", "vet", "."], ["go", "test", ".", "windlass/..."]],
        "python": [[REPOSITORY / ".ci/kits/python-check.sh", author.windlass]],
    }
    for command in commands.get(language, []):
        author.run(None, command, folder)
        print(f"  passed     {' '.join(map(str, command)).replace(f'{REPOSITORY}/', '').replace(author.windlass, 'windlass')}")


def feedback(author, folder):
    """From a save to the reloaded filter with `windlass plugin dev`, as it says itself: of the first save and the second."""
    log = folder.parent / "dev.log"
    with log.open("w") as output:
        command = [author.windlass, "plugin", "dev", "--port", "0"]
        process = subprocess.Popen(command, cwd=folder, env=author.environment, stdout=output, stderr=output)
    try:
        until(lambda: "watching for changes" in log.read_text(), f"`plugin dev` runs; it printed:\n{tail(log)}")
        said = r"reloaded ([\d.]+ s) after the save"
        for count, (old, new) in enumerate([("team_not_listed", "team_strange"), ("team_strange", "team_not_listed")], 1):
            edit(folder, old, new)
            until(lambda: len(re.findall(said, log.read_text())) == count, f"a reload; it printed:\n{tail(log)}")
        print(f"  feedback   {', then '.join(re.findall(said, log.read_text()))} after a save with `plugin dev`")
    finally:
        process.send_signal(signal.SIGINT)
        process.wait(30)


def try_language(windlass, language, environment, work):
    name = f"team-{language}"
    author = Author(windlass, environment)
    author.plugin("new", "new", "--lang", language, name, folder=work)
    folder = work / name
    author.plugin("build", "build", folder=folder)
    author.plugin("test", "test", folder=folder)
    extra(author, language, folder)
    # Python's run time was built by others, in a home of the same name as that of a container's root.
    no_paths(folder, name, [work] if language == "python" else [work, pathlib.Path.home()])
    if language not in SNAPSHOTS:
        same_elsewhere(author, language, name, folder, work / "elsewhere")
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Endpoint) as endpoint:
        threading.Thread(target=endpoint.serve_forever, daemon=True).start()
        port = free_port()
        config = configuration(folder, name, port, endpoint.server_port)
        start = time.monotonic()
        gateway = Gateway(author, config, port)
        try:
            expect(gateway.ask("red")[0], 403, "the status of a refused request")
            author.times.append(("run", time.monotonic() - start))
            expect("team_unknown" in gateway.ask("red")[1], True, "the reason of the refusal")
            expect(gateway.ask(None)[0], 401, "the status without a team")
            status, text, fields = gateway.ask("blue", b"hello")
            expect((status, text, fields["x-request-bytes"]), (200, name, "5"), "a request that passes")
            load(gateway, work)
            start = time.monotonic()
            edit(folder)
            author.plugin(None, "build", folder=folder)
            gateway.process.send_signal(signal.SIGHUP)
            until(lambda: "team_not_listed" in gateway.ask("red")[1], f"the reload; the log:\n{tail(gateway.log)}")
            edited = time.monotonic() - start
        finally:
            gateway.stop()
            endpoint.shutdown()
    report(language, author.times, edited)
    feedback(author, folder)
    recipes(author, language, work)


def report(language, times, edited):
    total = sum(took for _, took in times)
    most = AT_MOST.get(language, AT_MOST_OTHERS)
    parts = ", ".join(f"{name} {took:.1f}" for name, took in times)
    print(f"  commands   {len(times)} in {total:.1f} s ({parts})")
    print(f"  edit       {edited:.1f} s to the reloaded filter")
    if len(times) > 4:
        raise Wrong(f"{len(times)} commands")
    if total > most:
        leave_out(f"{language}: {total:.0f} s to the first refused request, above {most}: is this machine busy?")


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("windlass", type=pathlib.Path)
    parser.add_argument("tools", type=pathlib.Path)
    parser.add_argument("languages", nargs="*", help=f"any of {', '.join(LANGUAGES)}; all of them if none is named")
    chosen = parser.parse_args()
    # `choices` does not allow for an empty list in every version of Python.
    for language in chosen.languages:
        if language not in LANGUAGES:
            parser.error(f"there is no kit for `{language}`; there are: {', '.join(LANGUAGES)}")
    if not shutil.which("wrk"):
        parser.error("`wrk` is missing; on Debian: apt-get install wrk")
    wrong = False
    for language in chosen.languages or LANGUAGES:
        environment = tools_of(language, chosen.tools.resolve())
        if environment is None:
            continue
        print(f"{language}:", flush=True)
        with tempfile.TemporaryDirectory(prefix="windlass-kits-") as work:
            environment["XDG_CACHE_HOME"] = str(pathlib.Path(work) / "cache")
            try:
                try_language(str(chosen.windlass.resolve()), language, environment, pathlib.Path(work))
            except Wrong as error:
                wrong = True
                print(f"  WRONG      {error}", flush=True)
    for text in LEFT_OUT:
        print(f"LEFT OUT: {text}")
    sys.exit(1 if wrong else 0)


if __name__ == "__main__":
    main()
