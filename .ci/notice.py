#!/usr/bin/env python3
"""Writes NOTICE: every package that the binary is made of, with its licence.

    python3 .ci/notice.py                  writes NOTICE
    python3 .ci/notice.py --check          fails if NOTICE is not what it would write
    python3 .ci/notice.py --texts <file>   writes the licences themselves, which go with a binary

Cargo lists the packages: those of the gateway on the platforms of deny.toml, and those of the embedded plugins.
Macros, build scripts and tests are not in the binary.
"""

import argparse
import json
import os
import pathlib
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parent.parent
PLATFORMS = ["x86_64-unknown-linux-gnu", "aarch64-unknown-linux-gnu"]
PLUGINS = "wasm32-wasip2"

# The names of licence files. Code of other projects within a crate has its own licence files, in subfolders.
LICENCES = ("LICENSE", "LICENCE", "COPYING", "NOTICE", "UNLICENSE", "COPYRIGHT")
NOT_LOOKED_INTO = {"target", "tests", "test", "testing", "fuzz", "benches", "examples", "util", "docs", "doc"}

HEAD = """\
Windlass
Copyright the Windlass contributors

Windlass is under the Apache License, version 2.0: see LICENSE.

The binary `windlass` and the plugins in it are made of the packages below, each under its own licence. Beside them it
holds parts of the Rust standard library (MIT OR Apache-2.0), and in the plugins parts of wasi-libc. SQLite, which
libsqlite3-sys brings, is in the public domain. `just dist` puts the texts of these licences beside the binary, as
LICENSES.txt.

`python3 .ci/notice.py` writes this file.
"""


def cargo(*arguments):
    """Run Cargo, and return its output."""
    return subprocess.run(
        ["cargo", *arguments], cwd=ROOT, check=True, stdout=subprocess.PIPE, text=True
    ).stdout


def metadata():
    """The packages of the dependency tree, by name and version."""
    filters = [word for platform in [*PLATFORMS, PLUGINS] for word in ("--filter-platform", platform)]
    packages = json.loads(cargo("metadata", "--locked", "--format-version", "1", *filters))
    members = set(packages["workspace_members"])
    known = {(package["name"], package["version"]): package for package in packages["packages"]}
    plugins = [
        package["name"]
        for package in packages["packages"]
        if package["id"] in members and package["name"].startswith("windlass-plugin-")
    ]
    return known, plugins


def tree(platform, *packages):
    """The names and versions of all packages that are linked into these packages."""
    arguments = ["tree", "--locked", "--edges", "normal,no-proc-macro", "--target", platform]
    for package in packages:
        arguments += ["--package", package]
    lines = cargo(*arguments, "--prefix", "none", "--format", "{p}").splitlines()
    words = [line.split() for line in lines if line.strip()]
    return {(name, version.removeprefix("v")) for name, version, *_ in words}


def linked():
    """The third-party packages in the binary, sorted."""
    known, plugins = metadata()
    found = tree(PLUGINS, *plugins)
    for platform in PLATFORMS:
        found |= tree(platform, "windlass")
    packages = [known[key] for key in found]
    strangers = [package for package in packages if package["source"]]
    return sorted(strangers, key=lambda package: (package["name"], package["version"]))


def files_of(package):
    """The licence files of a package: paths and texts."""
    folder = pathlib.Path(package["manifest_path"]).parent
    for place, folders, files in os.walk(folder):
        depth = len(pathlib.Path(place).relative_to(folder).parts)
        folders[:] = sorted(name for name in folders if depth < 4 and name.lower() not in NOT_LOOKED_INTO)
        for name in sorted(files):
            if name.upper().startswith(LICENCES) and not name.endswith((".rs", ".py", ".toml", ".json")):
                path = pathlib.Path(place, name)
                yield path.relative_to(folder), path.read_text(encoding="utf-8", errors="replace").strip()


def licence(package):
    """A package's licence as an SPDX expression. Older packages write `/` instead of `OR`."""
    return package["license"].replace(" / ", " OR ").replace("/", " OR ")


def notice(packages):
    """The text of NOTICE."""
    rows = sorted({(package["name"], licence(package)) for package in packages})
    width = max(len(name) for name, _ in rows)
    text = HEAD + "\n" + "".join(f"{name:{width}}  {terms}\n" for name, terms in rows)
    for package in packages:
        for path, content in files_of(package):
            if path.name.upper().startswith("NOTICE"):
                text += f"\n--- {package['name']}: {path}\n\n{content}\n"
    return text


def texts(packages):
    """All licences: each text once, with the packages that it covers."""
    covered, silent = {}, []
    for package in packages:
        found = list(files_of(package))
        if not found:
            silent.append(f"{package['name']} {package['version']}: {licence(package)}")
        for path, content in found:
            covered.setdefault(content, []).append(f"{package['name']} {package['version']}: {path}")
    parts = ["\n".join(names) + "\n\n" + content + "\n" for content, names in covered.items()]
    if silent:
        parts.append("These packages come without the text of their licence:\n\n" + "\n".join(silent) + "\n")
    return ("\n" + "=" * 80 + "\n\n").join(parts)


def main():
    parser = argparse.ArgumentParser(description="writes NOTICE: what the binary is made of")
    parser.add_argument("--check", action="store_true", help="only say whether NOTICE is right")
    parser.add_argument("--texts", metavar="FILE", help="write the texts of all licences to this file")
    options = parser.parse_args()
    packages = linked()
    if options.texts:
        pathlib.Path(options.texts).write_text(texts(packages), encoding="utf-8")
        return
    file, text = ROOT / "NOTICE", notice(packages)
    if not options.check:
        file.write_text(text, encoding="utf-8")
    elif not file.exists() or file.read_text(encoding="utf-8") != text:
        sys.exit("error: `NOTICE` does not name what the binary is made of; run `python3 .ci/notice.py`")
    else:
        print(f"NOTICE names {len(packages)} packages")


if __name__ == "__main__":
    main()
