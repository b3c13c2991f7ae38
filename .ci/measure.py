#!/usr/bin/env python3
"""Figures of the source tree's structure, of the work tree or of a commit, side by side.

    .ci/measure.py [COMMIT..]        the work tree, after each COMMIT that is named
    .ci/measure.py --circles         the files of each circle, too
    .ci/measure.py --types           the type names that are defined more than once, too
    .ci/measure.py --long            the functions over 40 lines, too
    .ci/measure.py --way BINARY      the files on a request's way, too: of a debug build, by callgrind

It counts the host's sources (`host/src`, and `host/derive/src` if it exists) without their tests. A line
of code is one that is neither blank nor a comment. Lines of an inline `mod tests`, and files that only a
test build has, are left out. A circle consists of files that import one another, directly or indirectly;
imports between a module and its own parent or child are not counted.
"""

import argparse
import collections
import http.client
import http.server
import io
import pathlib
import re
import socket
import subprocess
import sys
import tarfile
import tempfile
import threading
import time

ROOT = pathlib.Path(__file__).resolve().parent.parent
PLACES = ("host/src", "host/derive/src")
# The number of measured requests.
WAY = 10


def work_tree():
    """The sources of the work tree: path -> text."""
    found = {}
    for place in PLACES:
        for path in sorted((ROOT / place).rglob("*.rs")):
            found[str(path.relative_to(ROOT))] = path.read_text()
    return found


def commit(name):
    """The sources at a commit: path -> text."""
    archive = subprocess.run(
        ["git", "archive", name, "host"], cwd=ROOT, check=True, stdout=subprocess.PIPE
    ).stdout
    found = {}
    with tarfile.open(fileobj=io.BytesIO(archive)) as tar:
        for member in tar:
            if member.isfile() and member.name.endswith(".rs") and member.name.startswith(PLACES):
                found[member.name] = tar.extractfile(member).read().decode()
    return found


def blank(text):
    """The text with empty comments, strings and character literals; the lines keep their numbers."""
    token = re.compile(
        r"//[^\n]*|/\*.*?\*/|r(#*)\".*?\"\1|b?\"(?:\\.|[^\"\\])*\"|b?'(?:\\[^\n]+?|[^'\\\n])'", re.S
    )

    def empty(match):
        found = match[0]
        if found.startswith(("//", "/*")):
            return "\n" * found.count("\n")
        return '""' + "\n" * found.count("\n")

    return token.sub(empty, text)


def without_tests(text):
    """The code without items under `#[cfg(test)]`, and the names of modules declared there."""
    kept, tests = [], set()
    lines = text.split("\n")
    index = 0
    while index < len(lines):
        if lines[index].strip().startswith("#[cfg(test)]"):
            index += 1
            while index < len(lines) and lines[index].strip().startswith("#["):
                index += 1
            depth, begun = 0, False
            while index < len(lines):
                line = lines[index]
                declared = re.match(r"\s*(?:pub(?:\([^)]*\))? )?mod (\w+);", line)
                if declared:
                    tests.add(declared[1])
                depth += line.count("{") - line.count("}")
                begun = begun or "{" in line
                index += 1
                if (begun and depth <= 0) or (not begun and line.rstrip().endswith((";", ","))):
                    break
            continue
        kept.append(lines[index])
        index += 1
    return "\n".join(kept), tests


class Tree:
    """The sources, their modules, and the imports between them."""

    def __init__(self, sources):
        self.raw = sources
        self.code = {}
        tests = set()
        for path, text in sources.items():
            code, modules = without_tests(blank(text))
            self.code[path] = code
            folder = path[: -len(".rs")]
            if folder.endswith(("/lib", "/main", "/mod")):
                folder = folder.rsplit("/", 1)[0]
            tests |= {f"{folder}/{module}" for module in modules}
        for path in list(self.code):
            stem = path[: -len(".rs")]
            if any(stem == test or stem.startswith(test + "/") for test in tests):
                del self.code[path]
        self.host = {path: code for path, code in self.code.items() if path.startswith("host/src/")}
        self.modules = {self.module(path): path for path in self.host}

    @staticmethod
    def module(path):
        """`host/src/a/b.rs` -> (a, b)."""
        parts = path[len("host/src/") : -len(".rs")].split("/")
        return () if parts in (["lib"], ["main"]) else tuple(parts)

    def imports(self, path):
        """The paths that a file names from `crate`, as lists of segments."""
        own = self.module(path)
        code = self.code[path]
        found = set()
        for match in re.finditer(r"\buse\s+([^;]+);", code):
            for segments in flatten(match[1]):
                found.add(self.absolute(own, segments))
        rest = re.sub(r"\buse\s+[^;]+;", "", code)
        for match in re.finditer(r"\b(?:crate|super|self)(?:::\w+)+", rest):
            found.add(self.absolute(own, match[0].split("::")))
        # `mod a; a::item()`: a child module that is referred to by its own name.
        children = re.findall(r"\bmod\s+(\w+)\s*;", code)
        for child in children:
            for match in re.finditer(rf"(?<![\w:]){child}((?:::\w+)+)", rest):
                found.add(own + (child,) + tuple(match[1].split("::")[1:]))
        return {segments for segments in found if segments}

    def absolute(self, own, segments):
        first = segments[0]
        if first == "crate":
            return tuple(segments[1:])
        at = own
        if first in ("super", "self"):
            for index, segment in enumerate(segments):
                if segment == "super":
                    at = at[:-1]
                elif segment != "self":
                    return at + tuple(segments[index:])
            return at
        if own + (first,) in self.modules:
            return own + tuple(segments)
        return ()

    def reexports(self):
        """(module, name) -> the absolute path behind `use`."""
        table = {}
        for path, code in self.host.items():
            own = self.module(path)
            for match in re.finditer(r"\bpub(?:\([^)]*\))?\s+use\s+([^;]+);", code):
                for segments in flatten(match[1]):
                    target = self.absolute(own, segments)
                    if target:
                        table[(own, target[-1])] = target
        return table

    def graph(self):
        """The imports of each file: an import counts for the file that defines the item."""
        table = self.reexports()
        edges = collections.defaultdict(set)
        for path in self.host:
            for segments in self.imports(path):
                target = self.resolve(segments, table)
                if target and not related(self.module(path), self.module(target)):
                    edges[path].add(target)
        return edges

    def resolve(self, segments, table):
        for _ in range(8):
            depth = len(segments)
            while depth and segments[:depth] not in self.modules:
                depth -= 1
            if depth == 0:
                return None
            module = segments[:depth]
            if depth < len(segments) and (module, segments[depth]) in table:
                behind = table[(module, segments[depth])] + segments[depth + 1 :]
                if behind == segments:
                    return self.modules[module]
                segments = behind
                continue
            return self.modules[module]
        return None


def related(one, other):
    """Whether two modules are the same, or one contains the other."""
    depth = min(len(one), len(other))
    return one[:depth] == other[:depth]


def flatten(text):
    """`a::{b, c::{d, e as f}}` -> [[a, b], [a, c, d], [a, c, e]]."""
    text = re.sub(r"\s+as\s+\w+", "", re.sub(r"\s+", " ", text)).replace(" ", "")

    def walk(prefix, rest):
        if "{" not in rest:
            return [prefix + [part for part in rest.split("::") if part]]
        head, body = rest.split("{", 1)
        body = body[: body.rindex("}")]
        prefix = prefix + [part for part in head.split("::") if part]
        parts, depth, start = [], 0, 0
        for index, letter in enumerate(body):
            depth += (letter == "{") - (letter == "}")
            if letter == "," and depth == 0:
                parts.append(body[start:index])
                start = index + 1
        parts.append(body[start:])
        return [path for part in parts if part for path in walk(prefix, part)]

    return [
        [part for part in path if part not in ("self", "*")] if path[0] != "self" else path
        for path in walk([], text)
        if path
    ]


def circles(edges):
    """Strongly connected parts of more than one file (Tarjan)."""
    sys.setrecursionlimit(10_000)
    index, low, stack, on, found = {}, {}, [], set(), []

    def visit(node):
        index[node] = low[node] = len(index)
        stack.append(node)
        on.add(node)
        for target in sorted(edges.get(node, ())):
            if target not in index:
                visit(target)
                low[node] = min(low[node], low[target])
            elif target in on:
                low[node] = min(low[node], index[target])
        if low[node] == index[node]:
            part = []
            while True:
                last = stack.pop()
                on.remove(last)
                part.append(last)
                if last == node:
                    break
            if len(part) > 1:
                found.append(sorted(part))

    for node in sorted(edges):
        if node not in index:
            visit(node)
    return sorted(found, key=len, reverse=True)


def functions(code):
    """(name, lines) of each function with a body."""
    lines = code.split("\n")
    for number, line in enumerate(lines):
        match = re.match(r"\s*(?:pub(?:\([^)]*\))? )?(?:const |async |unsafe |extern \"\" )*fn (\w+)", line)
        if not match:
            continue
        depth, begun = 0, False
        for end in range(number, len(lines)):
            depth += lines[end].count("{") - lines[end].count("}")
            begun = begun or "{" in lines[end]
            if begun and depth <= 0:
                yield match[1], end - number + 1
                break
            if not begun and lines[end].rstrip().endswith(";"):
                break


class Endpoint(http.server.BaseHTTPRequestHandler):
    """Responds to every request with two bytes, and keeps the connection open."""

    protocol_version = "HTTP/1.1"

    def do_GET(self):
        self.send_response(200)
        self.send_header("content-length", "2")
        self.end_headers()
        self.wfile.write(b"ok")

    def log_message(self, *_arguments):
        pass


def connect(port, gateway):
    """Connect to the gateway, as soon as it listens."""
    while gateway.poll() is None:
        client = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
        try:
            client.connect()
            return client
        except ConnectionRefusedError:
            time.sleep(0.1)
    sys.exit(f"the gateway ended with {gateway.returncode}")


def way(binary):
    """The files of `host/src` that run for each request of a kept connection, without a filter."""
    endpoint = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Endpoint)
    threading.Thread(target=endpoint.serve_forever, daemon=True).start()
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    with tempfile.TemporaryDirectory() as folder:
        config = pathlib.Path(folder, "windlass.toml")
        config.write_text(
            f'[server]\nworkers = 1\n[wasm]\nmax_instances = 2\n[[listener]]\naddress = "127.0.0.1:{port}"\n'
            '[[route]]\npath = "/"\nupstream = "u"\n'
            f'[upstream.u]\nendpoints = [{{ address = "127.0.0.1:{endpoint.server_port}" }}]\n'
        )
        valgrind = ["valgrind", "--tool=callgrind", "--instr-atstart=no", "--separate-threads=no"]
        valgrind += [f"--callgrind-out-file={folder}/out", str(pathlib.Path(binary).resolve())]
        gateway = subprocess.Popen(
            [*valgrind, "run", "--config", config],
            stderr=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
        )
        client = connect(port, gateway)

        def requests(count):
            for _ in range(count):
                client.request("GET", "/")
                client.getresponse().read()

        def control(*words):
            command = ["callgrind_control", *words, str(gateway.pid)]
            quiet = subprocess.DEVNULL
            subprocess.run(command, check=True, stdout=quiet, stderr=quiet)

        requests(20)
        control("-i", "on")
        requests(WAY)
        control("-d")
        gateway.terminate()
        gateway.wait()
        dump = pathlib.Path(f"{folder}/out.1")
        report = subprocess.run(
            ["callgrind_annotate", "--threshold=100", "--auto=no", dump],
            check=True,
            stdout=subprocess.PIPE,
            text=True,
        ).stdout
    return sorted(set(re.findall(r"host/(src/\S+\.rs):", report)))


def measure(sources, wanted):
    tree = Tree(sources)
    figures = {}
    figures["files"] = len(tree.code)
    figures["lines of code"] = sum(
        1 for code in tree.code.values() for line in code.split("\n") if line.strip()
    )
    types = collections.Counter()
    places = collections.defaultdict(list)
    for path, code in tree.host.items():
        for name in re.findall(
            r"^\s*(?:pub(?:\([^)]*\))? )?(?:struct|enum|trait|union) (\w+)|^(?:pub(?:\([^)]*\))? )?type (\w+)",
            code,
            re.M,
        ):
            types["".join(name)] += 1
            places["".join(name)].append(path)
    twice = [name for name, count in types.items() if count > 1]
    figures["type names"] = len(types)
    figures["type names defined more than once"] = len(twice)
    figures["  share, %"] = round(100 * len(twice) / len(types), 1)
    found = circles(tree.graph())
    figures["circles of files"] = len(found)
    figures["  files in them"] = sum(len(part) for part in found)
    long = [
        (lines, name, path)
        for path, code in tree.code.items()
        for name, lines in functions(code)
        if lines > 40
    ]
    figures["functions over 40 lines"] = len(long)
    everything = "\n".join(tree.code.values())
    figures["`super::super`"] = everything.count("super::super")
    figures["`pub` items"] = len(
        re.findall(r"^\s*pub (?:const |async |unsafe )*(?:fn|struct|enum|trait|type|mod|static|const|use)\b", everything, re.M)
    )
    figures["`pub(crate)` items"] = len(re.findall(r"^\s*pub\(\w+\) ", everything, re.M))
    figures["config keys declared apart from their field"] = len(
        re.findall(r"\bField::new\(", everything)
    )
    figures["plain comments (`//`), lines"] = sum(
        1
        for path in tree.code
        for line in tree.raw[path].split("\n")
        if re.match(r"\s*//(?![/!])", line)
    )
    if wanted.circles:
        for part in found:
            print(len(part), " ".join(path[len("host/src/") :] for path in part), file=sys.stderr)
    if wanted.types:
        for name in sorted(twice):
            print(name, " ".join(path[len("host/src/") :] for path in places[name]), file=sys.stderr)
    if wanted.long:
        for lines, name, path in sorted(long, reverse=True):
            print(lines, name, path, file=sys.stderr)
    if wanted.way:
        files = way(wanted.way)
        figures["files on a request's way"] = len(files)
        print(" ".join(file[len("src/") :] for file in files), file=sys.stderr)
    return figures


def main():
    reader = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    reader.add_argument("commits", nargs="*")
    reader.add_argument("--circles", action="store_true")
    reader.add_argument("--types", action="store_true")
    reader.add_argument("--long", action="store_true")
    reader.add_argument("--way", metavar="BINARY")
    wanted = reader.parse_args()
    quiet = argparse.Namespace(circles=False, types=False, long=False, way=None)
    columns = [(name, measure(commit(name), quiet)) for name in wanted.commits]
    columns.append(("now", measure(work_tree(), wanted)))
    width = max(len(figure) for figure in columns[-1][1])
    print(" " * width + "".join(f"{name[:12]:>14}" for name, _ in columns))
    for figure in columns[-1][1]:
        print(f"{figure:<{width}}" + "".join(f"{figures.get(figure, '-'):>14}" for _, figures in columns))


if __name__ == "__main__":
    main()
