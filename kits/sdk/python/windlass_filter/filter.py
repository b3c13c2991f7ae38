"""A filter, and its export as a component."""

from __future__ import annotations

import dataclasses
import json
import sys
import types as python
import typing
from collections.abc import Callable
from typing import Any, Generic, TypeVar

from . import _bindings_of_host as host
from . import _failures, _start, options
from ._bindings_of_host import lifecycle
from .errors import Diagnostic as Diagnostic
from .errors import SettingsError as SettingsError
from .exchange import BODY, REQUEST, RESPONSE

S = TypeVar("S")
F = TypeVar("F", bound="type[Filter[Any]]")

Series = lifecycle.Series
"""A metric series; `host.metrics.add` refers to it by its index in `Setup.series`."""
SeriesKind = lifecycle.SeriesKind

# The phases: the method of a filter, and the interface of the contract.
_PHASES = {
    "on_request": "RequestPhase",
    "on_request_body": "RequestBodyPhase",
    "on_response": "ResponsePhase",
    "on_response_body": "ResponseBodyPhase",
    "on_log": "LogPhase",
}


@dataclasses.dataclass(kw_only=True)
class Setup:
    """What a configured filter declares to the gateway, once."""

    provides: list[str] = dataclasses.field(default_factory=list)
    """Attributes that it always sets when it lets a request pass."""
    sometimes: list[str] = dataclasses.field(default_factory=list)
    """Attributes that it sets only in some cases."""
    requires: list[str] = dataclasses.field(default_factory=list)
    """Attributes that it cannot work without."""
    series: list[lifecycle.Series] = dataclasses.field(default_factory=list)
    """Its metric series."""


class Filter(Generic[S]):
    """A filter with settings of the class `S`; `Filter[None]` has none.

    A subclass has the phases that it needs:

        on_request(self, request: Request) -> RequestVerdict
        on_request_body(self, request: Request, body: Body) -> BodyVerdict
        on_response(self, response: Response) -> ResponseVerdict
        on_response_body(self, response: Response, body: Body) -> BodyVerdict
        on_log(self, response: Response) -> None

    Its world (`wit/world.wit`) must export the same ones. An exception in a phase fails that phase, and the log has the
    traceback. State of one exchange belongs into `request.notes`: the next phase may run in another instance.
    """

    def __init__(self, settings: S) -> None:
        self.settings = settings

    def configure(self) -> Setup | None:
        """Runs once in each instance, before any phase. Raises `SettingsError` if the settings are wrong."""
        return None

    def contribute(self) -> str:
        """A JSON object for the description of the APIs, if the world exports `description`."""
        return "{}"


if host.IN_COMPONENT:
    _start.install()


def export(*, name: str, version: str, summary: str) -> Callable[[F], F]:
    """Makes a class the plugin's filter. It stands in the module `app`, which `windlass plugin build` makes a component of."""

    def decorate(cls: F) -> F:
        cls._windlass = _Plugin(name, version, summary, cls)  # type: ignore[attr-defined]
        if host.IN_COMPONENT:
            _start.guard(cls.__module__)
            _add_exports(cls, sys.modules[cls.__module__])
        return cls

    return decorate


class _Plugin:
    """The facts of a plugin, and how a filter is made of settings."""

    def __init__(self, name: str, version: str, summary: str, cls: type[Filter[Any]]) -> None:
        self.name, self.version, self.summary, self.cls = name, version, summary, cls
        self.settings = _settings_class(cls)

    def info(self) -> lifecycle.PluginInfo:
        schema = options.schema(self.settings or _NoSettings)
        return lifecycle.PluginInfo(self.name, self.version, json.dumps(schema), self.summary)

    def make(self, settings: str) -> tuple[Filter[Any], Setup]:
        """Raises `SettingsError`."""
        read = options.read(self.settings or _NoSettings, json.loads(settings))
        made = self.cls(read if self.settings else None)
        return made, made.configure() or Setup()


@options.settings
class _NoSettings:
    pass


def _settings_class(cls: type[Filter[Any]]) -> type[Any] | None:
    for base in getattr(cls, "__orig_bases__", ()):
        if typing.get_origin(base) is Filter:
            (given,) = typing.get_args(base)
            if given is None or given is python.NoneType:
                return None
            if not dataclasses.is_dataclass(given):
                raise TypeError(f"mark `{given.__name__}` with `@settings`, so that it can be read")
            return typing.cast("type[Any]", given)
    raise TypeError(f"`{cls.__name__}` does not name its settings; write `Filter[Settings]`, or `Filter[None]`")


def _add_exports(cls: type[Filter[Any]], app: python.ModuleType) -> None:
    """Adds the classes that componentize-py looks for in the app's module."""
    import wit_world.exports as exported  # type: ignore[import-not-found]

    _check_phases(cls, exported)
    plugin: _Plugin = cls._windlass  # type: ignore[attr-defined]
    phases = _Phases(plugin)
    app.Lifecycle = lambda: phases  # type: ignore[attr-defined]
    for interface in ("Description", *_PHASES.values()):
        if hasattr(exported, interface):
            setattr(app, interface, lambda: phases)


def _check_phases(cls: type[Filter[Any]], exported: object) -> None:
    for method, interface in _PHASES.items():
        name = f"windlass:filter/{method.removeprefix('on_').replace('_', '-')}-phase@0.1.0"
        if hasattr(cls, method) and not hasattr(exported, interface):
            raise TypeError(
                f"`{cls.__name__}.{method}` would never be called; add `export {name};` to wit/world.wit"
            )
        if hasattr(exported, interface) and not hasattr(cls, method):
            raise TypeError(
                f"the world exports `{name}`, but `{cls.__name__}` has no `{method}`; "
                "add the method, or remove the export from wit/world.wit"
            )


class _Phases:
    """What the gateway calls. `configure` puts the filter's own methods in place, so that a call looks up little."""

    _on_request: Callable[..., Any]
    _on_request_body: Callable[..., Any]
    _on_response: Callable[..., Any]
    _on_response_body: Callable[..., Any]
    _on_log: Callable[..., Any]

    def __init__(self, plugin: _Plugin) -> None:
        self._plugin = plugin

    def describe(self) -> lifecycle.PluginInfo:
        _start.run()
        return self._plugin.info()

    def contribute(self) -> str:
        return self._filter.contribute()

    def configure(self, settings: str) -> lifecycle.Setup:
        _start.run()
        try:
            self._filter, setup = self._plugin.make(settings)
        except SettingsError as error:
            raise host.Err([lifecycle.Diagnostic(at, message) for at, message in error.diagnostics]) from None
        except Exception:
            summary = _failures.report("configure")
            raise host.Err([lifecycle.Diagnostic("", f"`configure` failed: {summary}")]) from None
        for method in _PHASES:
            if hasattr(self._filter, method):
                setattr(self, f"_{method}", self._first(method))
        return lifecycle.Setup(setup.provides, setup.sometimes, setup.requires, setup.series)

    def _first(self, method: str) -> Callable[..., Any]:
        """The first call of a phase in this instance."""

        def first(*arguments: object) -> Any:
            _start.seed()
            for own in _PHASES:
                if hasattr(self._filter, own):
                    setattr(self, f"_{own}", getattr(self._filter, own))
            return getattr(self._filter, method)(*arguments)

        return first

    def on_request(self) -> Any:
        try:
            return self._on_request(REQUEST).request
        except Exception:
            return _failures.verdict("on_request").request

    def on_request_body(self, length: int, last: bool) -> Any:
        BODY.length, BODY.last = length, last
        try:
            return self._on_request_body(REQUEST, BODY).chunk
        except Exception:
            return _failures.verdict("on_request_body").chunk

    def on_response(self) -> Any:
        try:
            return self._on_response(RESPONSE).response
        except Exception:
            return _failures.verdict("on_response").response

    def on_response_body(self, length: int, last: bool) -> Any:
        BODY.length, BODY.last = length, last
        try:
            return self._on_response_body(RESPONSE, BODY).chunk
        except Exception:
            return _failures.verdict("on_response_body").chunk

    def on_log(self) -> None:
        try:
            self._on_log(RESPONSE)
        except Exception:
            _failures.report("on_log")
            # The gateway counts only traps of this phase.
            raise
