"""Reference pages that the book generates from other files while it is built.

`wit()` returns the contract in wit/ as Markdown. `limits()` returns the rows of docs/reference/config.md whose
value is a time, a size or a count.
"""

import pathlib
import re

ROOT = pathlib.Path(__file__).resolve().parent.parent
WIT = [
    "wit/filter.wit",
    "wit/worlds.wit",
    "wit/deps/windlass-host/exchange.wit",
    "wit/deps/windlass-host/types.wit",
    "wit/deps/windlass-host/services.wit",
    "wit/deps/windlass-jwt/jwt.wit",
    "wit/deps/windlass-callout/callout.wit",
]
BLOCK = re.compile(r"(interface|world) ([a-z0-9-]+) \{$")
ITEM = re.compile(r"(?:(?:record|enum|variant|flags|resource|type) )?%?([a-z0-9-]+)\b")


def comment(lines):
    return "\n".join(line.strip().removeprefix("///").removeprefix(" ") for line in lines)


def items(lines):
    """The items of an interface: each with the lines of its comment and of its definition."""
    comments, body, depth = [], [], 0
    for line in lines:
        text = line.strip()
        if depth == 0 and not body and (text.startswith("///") or text.startswith("@")):
            if text.startswith("///"):
                comments.append(line)
            continue
        if not body and (not text or text.startswith("//")):
            continue
        body.append(line.removeprefix("  "))
        depth += text.count("{") - text.count("}") if not text.startswith("///") else 0
        if depth == 0 and text.endswith((";", "}")):
            yield comments, body
            comments, body = [], []


def interface(kind, name, comments, lines):
    out = [f"### {kind} `{name}`", comment(comments)]
    if kind == "world":
        return [*out, "```wit\n" + "\n".join(line.removeprefix("  ") for line in lines) + "\n```"]
    for notes, body in items(lines):
        if not body[0].startswith("use "):
            out.append(f"#### `{ITEM.match(body[0])[1]}`")
        out += [comment(notes), "```wit\n" + "\n".join(body) + "\n```"]
    return out


def wit():
    out = []
    for name in WIT:
        comments, block, lines = [], None, []
        for line in (ROOT / name).read_text().splitlines():
            if block and line == "}":
                out += interface(*block, lines)
                comments, block, lines = [], None, []
            elif block:
                lines.append(line)
            elif match := BLOCK.match(line):
                block = (match[1], match[2], comments)
            elif match := re.match(r"package (.*);", line):
                out += [f"## Package `{match[1]}`", comment(comments)]
                comments = []
            elif line.startswith("///"):
                comments.append(line)
    return "\n\n".join(part for part in out if part) + "\n"


def limits():
    out, section, rows = [], "", []
    bounds = ("a duration", "a size", "a whole number", "a number")

    def finish():
        if rows:
            out.append(f"### {section}\n\n| key | what it bounds | default |\n| --- | --- | --- |\n" + "\n".join(rows))

    for line in (ROOT / "docs/reference/config.md").read_text().splitlines():
        if line.startswith("#"):
            finish()
            level, _, title = line.partition(" ")
            section, rows = (title if level != "###" else f"{parent}, {title}"), []
            parent = title if level == "##" else parent if level == "###" else ""
        cells = re.split(r"(?<!\\)\|", line)
        if len(cells) == 6 and cells[3].strip().startswith(bounds) and "must be there" not in cells[4]:
            rows.append(f"|{cells[1]}|{cells[2]}|{cells[4]}|")
    finish()
    return "\n\n".join(out) + "\n"


MADE = {"<!-- the contract -->": wit, "<!-- the keys that bound something -->": limits}


def fill(text):
    for mark, make in MADE.items():
        if mark in text:
            text = text.replace(mark, make())
    return text
