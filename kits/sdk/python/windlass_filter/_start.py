"""The difference between the build and a start.

componentize-py runs the plugin's modules once, at the build, and stores the memory. Each instance begins with it. So
whatever a module reads of a clock or a random number while it is imported would be the same in all instances, for ever:
`guard` refuses that at the build, and `run` begins anew at the start.
"""

from __future__ import annotations

import functools
import linecache
import random
import sys
import time
from collections.abc import Callable
from typing import Any

from . import log

try:
    # `windlass plugin build` writes this module.
    from windlass_build import STUB_WASI  # type: ignore[import-not-found]
except ModuleNotFoundError:
    # Whether the component has no `wasi:`, and so no random numbers and no clock: a call of either traps.
    STUB_WASI = False

_running = False
# Functions that are guarded until the start.
_guarded: list[tuple[Any, str, Callable[..., Any]]] = []

_CLOCKS = ("time", "time_ns", "monotonic", "monotonic_ns", "perf_counter", "perf_counter_ns")
_RANDOM = ("random", "randint", "randrange", "uniform", "choice", "choices", "sample", "shuffle", "getrandbits", "randbytes")


def guard(app: str) -> None:
    """The app is loaded. Keeps what its tracebacks need: there are no files later."""
    folder = _folder(app)
    for module in list(sys.modules.values()):
        file = getattr(module, "__file__", None)
        if isinstance(file, str) and file.startswith(folder) and "windlass_filter" not in file:
            lines = linecache.getlines(file)
            # Without a time of change, nothing looks for the file again.
            linecache.cache[file] = (sum(map(len, lines)), None, lines, file)


def run() -> None:
    """An instance starts."""
    global _running
    if not _running:
        _running = True
        sys.stdout, sys.stderr = _Lines(log.info), _Lines(log.warn)
        for module, name, function in _guarded:
            setattr(module, name, function)


def begin_again() -> None:
    """The plugin's modules are about to run anew (`windlass plugin dev`). The rules of the build hold for them, too."""
    global _running
    run()
    _running = False
    _guarded.clear()
    install()


def seed() -> None:
    """The first phase of an instance: the gateway may have copied it after `configure`."""
    if not STUB_WASI:
        random.seed()


def _folder(app: str) -> str:
    file = getattr(sys.modules.get(app), "__file__", None) or ""
    return file[: file.rfind("/") + 1]


def _refused_at_build(module: Any, name: str) -> None:
    """Replaces a function by one that the plugin's modules cannot call while they are imported."""
    function: Callable[..., Any] = getattr(module, name)

    @functools.wraps(function)
    def guarded(*arguments: Any, **named: Any) -> Any:
        if not _running:
            caller = sys._getframe(1)
            file = caller.f_code.co_filename
            if _is_of_plugin(file):
                shown = file.lstrip("/").removeprefix("0/")
                raise RuntimeError(
                    f"`{module.__name__}.{name}()` at {shown}:{caller.f_lineno} runs at the build, so each instance "
                    "would have the same value; call it in a phase"
                )
        return function(*arguments, **named)

    _guarded.append((module, name, function))
    setattr(module, name, guarded)


def _is_of_plugin(file: str) -> bool:
    """Whether the file is in the plugin's folder, and not in the standard library or a package."""
    return file.lstrip("/").startswith("0/") and "windlass_filter" not in file and "site-packages" not in file


def install() -> None:
    """At the build, before the plugin's modules run."""
    for name in _CLOCKS:
        _refused_at_build(time, name)
    for name in _RANDOM:
        _refused_at_build(random, name)


class _Lines:
    """A text stream whose lines go to the log."""

    encoding = "utf-8"
    errors = "replace"

    def __init__(self, write: Callable[[str], None]) -> None:
        self._write = write
        self._line = ""

    def write(self, text: str) -> int:
        *lines, self._line = (self._line + text).split("\n")
        for line in lines:
            self._write(line)
        # A line without an end must not grow for ever.
        if len(self._line) > 8192:
            self.flush()
        return len(text)

    def flush(self) -> None:
        if self._line:
            self._write(self._line)
            self._line = ""

    def isatty(self) -> bool:
        return False

    def writable(self) -> bool:
        return True

    def readable(self) -> bool:
        return False
