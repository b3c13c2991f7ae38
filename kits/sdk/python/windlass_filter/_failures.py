"""Exceptions of a phase: their traceback in the log, and the verdict that fails the phase."""

from __future__ import annotations

import linecache
import os
import sys
import traceback
from collections.abc import Iterator
from typing import NamedTuple, Union

from . import log
from ._bindings_of_host import Err
from .verdicts import NEXT, Next, Respond, respond

_HERE = os.path.dirname(__file__)


def verdict(phase: str) -> Union[Next, Respond]:
    """The verdict of a phase that raised an exception."""
    error = sys.exc_info()[1]
    if isinstance(error, Err) and _is_not_yet(error.value):
        # The gateway ignores the verdict, and runs the phase again.
        return NEXT
    # Not a trap: the instance stays in use, and the gateway's line has the request's id.
    return respond(500, report(phase), reason="filter_failed")


def report(phase: str) -> str:
    """Writes the traceback into the log. Returns it in one line."""
    error = sys.exc_info()[1]
    assert error is not None
    # The kit's own frames say nothing to the author, nor do those of an import.
    frames = [frame for frame in _frames(error) if not frame.file.startswith((_HERE, "<frozen "))]
    what = f"{type(error).__name__}: {error}".removesuffix(": ")
    if isinstance(error, Err):
        what = f"the gateway refused a call: {_shown(error.value)}"
    for frame in frames:
        log.error(f"{shown_file(frame.file)}:{frame.line} in {frame.function}" + (f": {frame.text}" if frame.text else ""))
    log.error(what)
    place = f" at {shown_file(frames[-1].file)}:{frames[-1].line}" if frames else ""
    return f"{what}{place} in {phase}"


class _Frame(NamedTuple):
    file: str
    line: int
    function: str
    text: str


def _frames(error: BaseException) -> Iterator[_Frame]:
    # Not `traceback.extract_tb`: it looks for files, and a component without `wasi:` traps there.
    for frame, line in traceback.walk_tb(error.__traceback__):
        code = frame.f_code
        cached = linecache.cache.get(code.co_filename)
        lines = cached[2] if cached is not None and len(cached) == 4 else []
        text = lines[line - 1].strip() if 0 < line <= len(lines) else ""
        yield _Frame(code.co_filename, line, code.co_name, text)


def _is_not_yet(value: object) -> bool:
    # A token's field wraps the reason: `FieldError_Token(VerifyError_NotYet())`.
    return type(value).__name__.endswith("_NotYet") or (
        type(value).__name__ == "FieldError_Token" and _is_not_yet(getattr(value, "value", None))
    )


def _shown(value: object) -> str:
    """An error of the contract in its own words: `EditError.TOO_LATE` is `too-late`."""
    name = getattr(value, "name", None)
    if isinstance(name, str):
        return name.lower().replace("_", "-")
    within = getattr(value, "value", None)
    word = type(value).__name__.rsplit("_", 1)[-1]
    return f"{word}({_shown(within)})" if within is not None else str(value) if isinstance(value, str) else word


def shown_file(file: str) -> str:
    """A file's name as the author knows it. componentize-py puts the number of the source folder before it."""
    first, _, rest = file.lstrip("/").partition("/")
    return rest if first.isdigit() and rest else file
