"""Runs the phases of a filter without a gateway.

    filter = configure(Teams, {"allow": ["blue"]})
    done = filter.run(method="POST", headers={"x-team": "blue"}, body=[b"hel", b"lo"])
    assert done.refusal is None
    assert done.request.header("x-checked-by") == "teams"

`world` has what the gateway has beside the exchange: secrets, keys, documents, answers of callouts; and what the filter did
there: log lines, metrics, the cache. The host interfaces are fakes with the contract's functions. `windlass plugin test` runs
the component in the real gateway.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping, Sequence
from typing import Any

from . import _bindings_of_host as host
from . import _fakes
from ._fakes import World
from .exchange import BODY, REQUEST, RESPONSE, AttributeValue, _attribute
from .filter import Filter, Setup, _Plugin
from .verdicts import BodyVerdict, Done, More, Respond, as_bytes

__all__ = ["Answer", "Configured", "Message", "Outcome", "World", "configure"]

_Fields = Mapping[str, "str | bytes"]


class Message:
    """A head and its body, after the filter."""

    def __init__(self, made: _fakes.Message) -> None:
        self.headers = made.headers
        self.body = b"".join(made.body)
        self.trailers = made.trailers

    def header(self, name: str) -> str | None:
        """The first value of a field."""
        return next((value.decode() for field, value in self.headers if field == name.lower()), None)


@dataclasses.dataclass
class Answer:
    """What the endpoint answers."""

    status: int = 200
    headers: _Fields = dataclasses.field(default_factory=dict)
    body: Sequence[bytes] | bytes = b""


@dataclasses.dataclass
class Outcome:
    """What became of an exchange."""

    status: int
    """The status that the client gets."""
    request: Message
    """The request as the endpoint would get it."""
    response: Message
    """The response as the client gets it."""
    refusal: str | None
    """The reason of the filter's own response, if it gave one."""
    method: str
    path: str
    attributes: dict[str, AttributeValue]
    notes: dict[str, bytes]
    problem_members: dict[str, Any]


class Configured:
    """A filter with settings, and the world around it."""

    def __init__(self, filter: Filter[Any], setup: Setup, world: World) -> None:
        self.filter, self.setup, self.world = filter, setup, world

    def run(
        self,
        *,
        method: str = "GET",
        path: str = "/",
        headers: _Fields | None = None,
        body: Sequence[bytes] | bytes = b"",
        path_params: Mapping[str, str] | None = None,
        attributes: Mapping[str, AttributeValue] | None = None,
        answer: Answer | None = None,
    ) -> Outcome:
        """Runs every phase that the filter has for one exchange. An exception of a phase reaches the caller."""
        state = _fakes.State(method=method, path=path, original_path=path, path_params=dict(path_params or {}))
        state.request = _fakes.Message(_fields(headers or {}), _pieces(body))
        state.attributes = {name: _attribute(value) for name, value in (attributes or {}).items()}
        _use(self.world, state)
        answer = answer or Answer()
        refusal = self._request(state)
        if refusal is None:
            state.response = _fakes.Message(_fields(answer.headers), _pieces(answer.body))
            state.status = answer.status
            refusal = self._response(state)
        if refusal is not None:
            state.status = refusal.answer.status
            state.response = _fakes.Message(list(refusal.answer.headers), [refusal.answer.body])
        if hasattr(self.filter, "on_log"):
            state.phase = "on_log"
            self.filter.on_log(RESPONSE)
        assert state.response is not None and state.status is not None
        return Outcome(
            status=state.status,
            request=Message(state.request),
            response=Message(state.response),
            refusal=None if refusal is None else refusal.answer.reason,
            method=state.method,
            path=state.path,
            attributes={name: value.value for name, value in state.attributes.items()},
            notes=state.notes,
            problem_members=state.problem_members,
        )

    def _request(self, state: _fakes.State) -> Respond | None:
        if not hasattr(self.filter, "on_request"):
            return None
        state.phase = "on_request"
        verdict = self.filter.on_request(REQUEST)
        if isinstance(verdict, Respond):
            return verdict
        return self._body(state, state.request, "on_request_body", verdict.request)

    def _response(self, state: _fakes.State) -> Respond | None:
        if not hasattr(self.filter, "on_response") or self.world.skips_on_response:
            return None
        state.phase = "on_response"
        verdict = self.filter.on_response(RESPONSE)
        if isinstance(verdict, Respond):
            return verdict
        assert state.response is not None
        return self._body(state, state.response, "on_response_body", verdict.response)

    def _body(self, state: _fakes.State, message: _fakes.Message, phase: str, verdict: Any) -> Respond | None:
        mode = verdict.value[1] if isinstance(verdict.value, tuple) else verdict.value
        if isinstance(mode, host.types.BodyMode_Skip):
            return None
        if isinstance(mode, host.types.BodyMode_Whole):
            whole = b"".join(message.body)
            if len(whole) > mode.value:
                return Respond(host.types.LocalResponse(413, [], b"", "body_too_large"))
            message.body = [whole]
        pieces, message.body, kept = message.body or [b""], [], b""
        for index, piece in enumerate(pieces):
            state.phase, state.last = phase, index == len(pieces) - 1
            given = self._chunk(state, phase, kept + piece)
            kept = b""
            if isinstance(given, Respond):
                return given
            if isinstance(given, More) and not state.last:
                kept = state.chunk
                continue
            message.body.append(state.chunk)
            if isinstance(given, Done):
                message.body += pieces[index + 1 :]
                break
        return None

    def _chunk(self, state: _fakes.State, phase: str, chunk: bytes) -> BodyVerdict:
        state.chunk = chunk
        BODY.length, BODY.last = len(chunk), state.last
        of = REQUEST if phase == "on_request_body" else RESPONSE
        given: BodyVerdict = getattr(self.filter, phase)(of, BODY)
        return given


def configure(cls: type[Filter[Any]], settings: Mapping[str, Any] | None = None, world: World | None = None) -> Configured:
    """The filter with these settings. Raises `SettingsError` if they are wrong."""
    world = world or World()
    _use(world, _fakes.State())
    plugin: _Plugin = cls._windlass  # type: ignore[attr-defined]
    filter, setup = plugin.make(json.dumps(settings or {}))
    return Configured(filter, setup, world)


def _use(world: World, state: _fakes.State) -> None:
    _fakes.world, _fakes.state = world, state


def _fields(fields: _Fields) -> list[tuple[str, bytes]]:
    return [(name.lower(), as_bytes(value)) for name, value in fields.items()]


def _pieces(body: Sequence[bytes] | bytes) -> list[bytes]:
    if isinstance(body, bytes):
        return [body] if body else []
    return list(body)
