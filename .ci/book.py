#!/usr/bin/env python3
"""The book in docs/: what mdBook cannot do by itself.

    python3 .ci/book.py check <mdbook> <folder>    build the book into the folder, and check it
    python3 .ci/book.py supports html              what mdBook calls: the preprocessor of book.toml
    python3 .ci/book.py

A page whose only text is one link to a Markdown file outside of docs/ becomes that file, so that a README
is written once. Links that lead out of docs/ lead to its page if it is one, else to a copy of the file.

`check` fails on a link or an anchor that leads nowhere (also in a README that links into docs/), on a page
that SUMMARY.md does not list, and on a command, a metric or an error code that the reference does not list.
"""

import html.parser
import json
import os
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile
import urllib.parse

sys.dont_write_bytecode = True
import book_reference  # noqa: E402

ROOT = pathlib.Path(__file__).resolve().parent.parent
DOCS = ROOT / "docs"
# The folder of the built book for copies of files outside of docs/.
COPIES = "source"
LINK = re.compile(r"(?<=\]\()[^)\s]+(?=\))")
FENCE = re.compile(r"^(```|~~~)", re.MULTILINE)
STUB = re.compile(r"\s*\[[^\]]*\]\(([^)\s]+)\)\s*")


def is_local(link):
    return not urllib.parse.urlsplit(link).scheme and not link.startswith("#")


def outside_fences(text, edit):
    """Apply `edit` to the text outside of code blocks."""
    parts, inside = [], False
    for line in text.splitlines(keepends=True):
        if FENCE.match(line.lstrip()):
            inside = not inside
            parts.append(line)
        else:
            parts.append(line if inside else edit(line))
    return "".join(parts)


def links(text):
    found = []

    def note(line):
        found.extend(LINK.findall(line))
        return line

    outside_fences(text, note)
    return [link for link in found if is_local(link)]


def stub_target(page, text):
    """The file outside of docs/ that this page stands for, or None."""
    match = STUB.fullmatch(text)
    if not match or not is_local(match[1]):
        return None
    target = (page.parent / match[1]).resolve()
    return None if target.is_relative_to(DOCS) else target


def stubs():
    """The files outside of docs/ that have a page, each with its page."""
    found = {}
    for page in DOCS.rglob("*.md"):
        target = stub_target(page, page.read_text())
        if target:
            found[target] = page
    return found


def copy_name(target):
    """The path of a file's copy. Browsers show text, and mdBook treats any link that contains `.md` as a page."""
    return f"{COPIES}/{target.relative_to(ROOT)}.txt".replace(".md", "")


# --- the preprocessor ----------------------------------------------------------------------------


def chapters(items):
    for item in items:
        chapter = item.get("Chapter") if isinstance(item, dict) else None
        if chapter:
            yield chapter
            yield from chapters(chapter["sub_items"])


def preprocess():
    _, book = json.load(sys.stdin)
    pages = stubs()
    for chapter in chapters(book.get("items") or book.get("sections")):
        if not chapter.get("source_path"):
            continue
        page = DOCS / chapter["source_path"]
        base = page
        target = stub_target(page, chapter["content"])
        if target:
            base, chapter["content"] = target, target.read_text()

        def point(match):
            link = match[0]
            if not is_local(link):
                return link
            path, mark, anchor = link.partition("#")
            goal = (base.parent / path).resolve()
            if goal in pages:
                goal = pages[goal]
            elif not goal.is_relative_to(DOCS):
                goal = DOCS / copy_name(goal)
            if goal == DOCS / "README.md":
                goal = DOCS / "index.md"
            return os.path.relpath(goal, page.parent) + mark + anchor

        filled = book_reference.fill(chapter["content"])
        chapter["content"] = outside_fences(filled, lambda line: LINK.sub(point, line))
    json.dump(book, sys.stdout)


# --- the check -----------------------------------------------------------------------------------


class Page(html.parser.HTMLParser):
    def __init__(self, text):
        super().__init__()
        self.ids, self.links = set(), []
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        for name, value in attributes:
            if name == "id" and value:
                self.ids.add(value)
            elif name in ("href", "src") and value and tag in ("a", "img", "script", "link"):
                self.links.append(value)


def unlisted():
    listed = {(DOCS / link).resolve() for link in links((DOCS / "SUMMARY.md").read_text())}
    for page in sorted(DOCS.rglob("*.md")):
        if page.name != "SUMMARY.md" and page not in listed:
            yield f"{page.relative_to(ROOT)}: SUMMARY.md does not list this page"


def copy_files(folder):
    """Copy the files outside of docs/ that pages link to, and report those that do not exist."""
    pages = stubs()
    sources = [(page, page) for page in DOCS.rglob("*.md")] + list(pages.items())
    for source, _ in sources:
        for link in links(source.read_text()):
            goal = (source.parent / link.partition("#")[0]).resolve()
            if goal.is_relative_to(DOCS) or goal in pages:
                continue
            if not goal.is_file():
                yield f"{source.relative_to(ROOT)}: `{link}` is not a file; link to one"
                continue
            copy = folder / copy_name(goal)
            copy.parent.mkdir(parents=True, exist_ok=True)
            copy.write_bytes(goal.read_bytes())


def broken_in_book(folder, pages):
    for path, page in pages.items():
        for link in page.links:
            parts = urllib.parse.urlsplit(link)
            if parts.scheme or parts.netloc:
                continue
            goal = (path.parent / urllib.parse.unquote(parts.path)).resolve() if parts.path else path
            if goal.is_dir():
                goal /= "index.html"
            name = path.relative_to(folder)
            if not goal.is_file():
                yield f"{name}: `{link}` leads nowhere"
            elif parts.fragment and goal in pages:
                anchor = urllib.parse.unquote(parts.fragment)
                if anchor not in pages[goal].ids:
                    yield f"{name}: `{link}` names an anchor that is not there"


def built(page, folder):
    name = page.relative_to(DOCS).with_suffix(".html")
    return folder / (name.parent / "index.html" if page.name == "README.md" else name)


def broken_anchors_elsewhere(folder, pages):
    """Broken links into the book from Markdown files outside of it."""
    files = subprocess.run(["git", "ls-files", "*.md"], cwd=ROOT, text=True, capture_output=True, check=True)
    targets = stubs()
    for name in files.stdout.splitlines():
        file = ROOT / name
        if file.is_relative_to(DOCS) or not file.exists():
            continue
        for link in links(file.read_text()):
            path, _, anchor = link.partition("#")
            goal = (file.parent / path).resolve()
            goal = targets.get(goal, goal)
            if not goal.exists():
                yield f"{name}: `{link}` leads nowhere"
            elif anchor and goal.is_relative_to(DOCS) and goal.suffix == ".md":
                page = pages.get(built(goal, folder))
                if page is None or anchor not in page.ids:
                    yield f"{name}: `{link}` names an anchor that is not there"


def unknown_commands():
    """Commands in the book whose name or options are not on the page of the command line."""
    page = (DOCS / "reference/cli.md").read_text()
    known = dict(re.findall(r"^##+ `windlass ([a-z ]+)`$(.*?)^```$", page, re.MULTILINE | re.DOTALL))
    for file in [ROOT / "README.md", *sorted(DOCS.rglob("*.md"))]:
        for block in re.findall(r"^```(?:sh)?\n(.*?)^```$", file.read_text(), re.MULTILINE | re.DOTALL):
            for words in re.findall(r"^(?:sudo (?:-u windlass )?)?windlass ([^|>#\n]*)", block, re.MULTILINE):
                plain = re.match(r"[a-z]+(?: [a-z]+)*", words)
                names = plain[0].split() if plain else []
                while names and " ".join(names) not in known:
                    names.pop()
                text = known.get(" ".join(names), "--version")
                for option in re.findall(r"(?<= )--[a-z-]+", f" {words}"):
                    if not re.search(rf"{option}\b(?!-)", text):
                        yield f"{file.relative_to(ROOT)}: `windlass {words.strip()}`: there is no {option}"
                if not names and "--version" not in words:
                    yield f"{file.relative_to(ROOT)}: `windlass {words.strip()}`: there is no such command"


def unknown_words():
    """Metrics and error codes in the book that no page of the reference lists."""
    readmes = sorted((ROOT / "plugins").glob("*/README.md"))
    pages = [ROOT / "README.md", *readmes, *sorted(DOCS.rglob("*.md"))]
    metrics = (DOCS / "reference/metrics.md").read_text()
    listed = "".join((DOCS / name).read_text() for name in ("reference/errors.md", "reference/admin-api.md"))
    refusals = "".join(readme.read_text() for readme in readmes)
    codes = set(re.findall(r"`([a-z_]+)`", listed) + re.findall(r"^\| [45].*?\| `([a-z_]+)` \|", refusals, re.MULTILINE))
    for file in pages:
        text = file.read_text()
        for metric in set(re.findall(r"\bwindlass_[a-z_]+[a-z]\b(?![*.<(:/]|_<)", text)):
            own = metric.startswith("windlass_filter_throttled") or metric in ("windlass_filter", "windlass_plugin_sdk", "windlass_store")
            # A histogram is written as three series.
            histogram = re.sub("_(bucket|count|sum)$", "", metric)
            if f"`{metric}`" not in metrics and f"| `{histogram}` | histogram |" not in metrics and not own:
                yield f"{file.relative_to(ROOT)}: there is no metric `{metric}`"
        for code in set(re.findall(r"\b[45]\d\d `([a-z]+_[a-z_]+)`", text)) - codes:
            # If a page has a filter of its own, the refusals of that filter are not in the reference.
            if f'"{code}"' not in text:
                yield f"{file.relative_to(ROOT)}: there is no error or refusal `{code}`"


def refused_by_tools():
    """Files for other programs in the book that these programs refuse, if they are installed."""
    shown = [
        ("how-to/systemd.md", "ini", "windlass.service", ["systemd-analyze", "verify"]),
        ("how-to/monitor.md", "yaml", "windlass.rules.yml", ["promtool", "check", "rules"]),
    ]
    for page, language, name, command in shown:
        blocks = re.findall(rf"^```{language}\n(.*?)^```$", (DOCS / page).read_text(), re.MULTILINE | re.DOTALL)
        text = next(block for block in blocks if language == "ini" or name in block.partition("\n")[0])
        if not shutil.which(command[0]):
            continue
        with tempfile.TemporaryDirectory() as folder:
            file = pathlib.Path(folder, name)
            file.write_text(text.replace("/usr/local/bin/windlass", "/bin/true"))
            answer = subprocess.run([*command, str(file)], text=True, capture_output=True)
        if answer.returncode or name in answer.stderr:
            yield f"docs/{page}: {command[0]} refuses {name}: {answer.stderr.strip()}"


def check(mdbook, folder):
    folder = pathlib.Path(folder).resolve()
    subprocess.run([mdbook, "build", "--dest-dir", str(folder), str(ROOT)], check=True)
    problems = [*unlisted(), *unknown_commands(), *unknown_words(), *refused_by_tools(), *copy_files(folder)]
    pages = {path: Page(path.read_text()) for path in folder.rglob("*.html") if path.name != "404.html"}
    problems += [*broken_in_book(folder, pages), *broken_anchors_elsewhere(folder, pages)]
    for problem in problems:
        print(problem, file=sys.stderr)
    if problems:
        sys.exit(1)
    print(f"{len(pages)} pages, {sum(len(page.links) for page in pages.values())} links")


if __name__ == "__main__":
    match sys.argv[1:]:
        case []:
            preprocess()
        case ["supports", _]:
            pass
        case ["check", mdbook, folder]:
            check(mdbook, folder)
        case _:
            sys.exit(__doc__)
