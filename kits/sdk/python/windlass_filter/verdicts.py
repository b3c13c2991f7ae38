"""Verdicts: how a phase says what becomes of the message."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, Union

from ._bindings_of_host import types

# Each verdict has the contract's value for the phases that it fits. They are made once: a phase that returns one of the
# constants allocates nothing.


class Next:
    """Go on, without the body."""

    __slots__ = ()
    request: Final = types.RequestVerdict_Next(types.BodyMode_Skip())
    response: Final = types.ResponseVerdict_Next(types.BodyMode_Skip())
    chunk: Final = types.ChunkVerdict_Next()


class NextBody:
    """Go on, and pass the body to the filter."""

    __slots__ = ("request", "response")

    def __init__(self, mode: types.BodyMode) -> None:
        self.request = types.RequestVerdict_Next(mode)
        self.response = types.ResponseVerdict_Next(mode)


class More:
    """Keep the chunk, and pass it again with the next one."""

    __slots__ = ()
    chunk: Final = types.ChunkVerdict_More()


class Done:
    """Forward the chunk, and the rest of the body without further calls."""

    __slots__ = ()
    chunk: Final = types.ChunkVerdict_Done()


class Respond:
    """Send this response instead."""

    __slots__ = ("answer",)

    def __init__(self, answer: types.LocalResponse) -> None:
        self.answer = answer

    @property
    def request(self) -> types.RequestVerdict:
        return types.RequestVerdict_Respond(self.answer)

    @property
    def response(self) -> types.ResponseVerdict:
        return types.ResponseVerdict_Replace(self.answer)

    @property
    def chunk(self) -> types.ChunkVerdict:
        return types.ChunkVerdict_Respond(self.answer)


class Route:
    """Go on, with a hint to the balancer."""

    __slots__ = ("request",)

    def __init__(self, hint: types.RouteHint, mode: types.BodyMode) -> None:
        self.request = types.RequestVerdict_Route((hint, mode))


RequestVerdict = Union[Next, NextBody, Respond, Route]
ResponseVerdict = Union[Next, NextBody, Respond]
BodyVerdict = Union[Next, More, Done, Respond]

NEXT: Final = Next()
"""Go on. In a body phase: forward the chunk in its current form."""
NEXT_CHUNKS: Final = NextBody(types.BodyMode_Chunks())
"""Go on, and call the body phase for each chunk as it arrives."""
MORE: Final = More()
"""In a body phase: keep the chunk in the host, and pass it again joined with the next one."""
DONE: Final = Done()
"""In a body phase: forward the chunk and the rest of the body without further calls."""


def next_whole(max_bytes: int) -> NextBody:
    """Go on, and call the body phase once with the whole body. A larger one is refused. Make it once, in `configure`."""
    return NextBody(types.BodyMode_Whole(max_bytes))


def respond(
    status: int,
    body: str | bytes = b"",
    headers: Mapping[str, str | bytes] | None = None,
    reason: str = "",
) -> Respond:
    """Send this response instead of the endpoint's."""
    fields = [(name, as_bytes(value)) for name, value in headers.items()] if headers else []
    return Respond(types.LocalResponse(status, fields, as_bytes(body), reason))


def refuse(status: int, reason: str, headers: Mapping[str, str | bytes] | None = None) -> Respond:
    """Refuse the request. `reason` is a stable word in snake case. The gateway writes the body, in the API's error style."""
    return respond(status, b"", headers, reason)


def route(
    upstream: str | None = None,
    *,
    labels: Mapping[str, str] | None = None,
    affinity: bytes | None = None,
    timeout_ms: int | None = None,
    body: NextBody | None = None,
) -> Route:
    """Go on, with a hint to the balancer. `body` is `NEXT_CHUNKS` or `next_whole(..)`, if the filter wants the body."""
    pairs = list(labels.items()) if labels else []
    mode = body.request.value if body else types.BodyMode_Skip()
    return Route(types.RouteHint(upstream, pairs, affinity, timeout_ms), mode)


def as_bytes(value: str | bytes) -> bytes:
    return value.encode() if isinstance(value, str) else value
