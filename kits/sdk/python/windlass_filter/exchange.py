"""The exchange: a request and its response.

The objects here hold nothing. Each method is one call of the gateway, so read what you need, once.
An edit that the gateway refuses raises `Err` with an `EditError` in `value`. If a phase does not catch it, the phase fails.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Union

from ._bindings_of_host import exchange as _exchange
from ._bindings_of_host import types as _types
from .verdicts import as_bytes

AttributeValue = Union[str, int, bool, bytes]

# Looked up once: each of them is on a request's way.
_REQUEST = _types.Message.REQUEST
_RESPONSE = _types.Message.RESPONSE
_TRAILERS = _types.Message.TRAILERS
_header = _exchange.header
_header_text = _exchange.header_text
_set_header = _exchange.set_header


class Fields:
    """The fields of a head, or the trailers."""

    __slots__ = ("_of",)

    def __init__(self, of: _types.Message) -> None:
        self._of = of

    def header(self, name: str) -> str | None:
        """The first value of a field. None if it is absent or not UTF-8."""
        return _header_text(self._of, name)

    def header_bytes(self, name: str) -> bytes | None:
        """The first value of a field as bytes, or None."""
        return _header(self._of, name)

    def header_all(self, name: str) -> list[bytes]:
        """Every value of a field, in order."""
        return _exchange.header_all(self._of, name)

    def header_many(self, names: list[str]) -> list[bytes | None]:
        """The first value of each of several fields, in one call."""
        return _exchange.header_many(self._of, names)

    def headers(self) -> list[tuple[str, bytes]]:
        """All names and values. This copies the whole head, so prefer the calls above."""
        packed = _exchange.headers_packed(self._of)
        fields, at = [], 0
        while at < len(packed):
            name = at + 6 + int.from_bytes(packed[at : at + 2], "little")
            value = name + int.from_bytes(packed[at + 2 : at + 6], "little")
            fields.append((packed[at + 6 : name].decode(), packed[name:value]))
            at = value
        return fields

    def set_header(self, name: str, value: str | bytes) -> None:
        """Replaces all values of a field by this one."""
        _set_header(self._of, name, as_bytes(value))

    def set_headers(self, fields: Mapping[str, str | bytes]) -> None:
        """Sets several fields in one call: all of them, or none."""
        _exchange.set_headers(self._of, [(name, as_bytes(value)) for name, value in fields.items()])

    def append_header(self, name: str, value: str | bytes) -> None:
        """Adds a value after the existing ones."""
        _exchange.append_header(self._of, name, as_bytes(value))

    def remove_header(self, name: str) -> int:
        """Removes all values of a field. Returns how many there were."""
        return _exchange.remove_header(self._of, name)


class Attributes:
    """Typed values of the exchange, for later filters and the access log."""

    __slots__ = ()

    def get(self, name: str) -> AttributeValue | None:
        """The value of an attribute, or None."""
        found = _exchange.attribute(name)
        return None if found is None else found.value

    def __getitem__(self, name: str) -> AttributeValue:
        found = _exchange.attribute(name)
        if found is None:
            raise KeyError(name)
        return found.value

    def __setitem__(self, name: str, value: AttributeValue) -> None:
        _exchange.set_attribute(name, _attribute(value))

    def update(self, facts: Mapping[str, AttributeValue] | Iterable[tuple[str, AttributeValue]]) -> None:
        """Sets several attributes in one call: all of them, or none."""
        pairs = facts.items() if isinstance(facts, Mapping) else facts
        _exchange.set_attributes([(name, _attribute(value)) for name, value in pairs])


def _attribute(value: AttributeValue) -> _types.AttributeValue:
    # `True` is an `int`, so it comes first.
    if isinstance(value, bool):
        return _types.AttributeValue_Flag(value)
    if isinstance(value, int):
        return _types.AttributeValue_Number(value)
    if isinstance(value, str):
        return _types.AttributeValue_Text(value)
    return _types.AttributeValue_Bytes(value)


class Notes:
    """Values of this filter and this exchange, which later phases read. Those may run in another instance."""

    __slots__ = ()

    def get(self, key: str) -> bytes | None:
        """A note, or None."""
        return _exchange.note(key)

    def __getitem__(self, key: str) -> bytes:
        found = _exchange.note(key)
        if found is None:
            raise KeyError(key)
        return found

    def __setitem__(self, key: str, value: str | bytes) -> None:
        _exchange.set_note(key, as_bytes(value))


class _Shared(Fields):
    """What the request and the response have in common."""

    __slots__ = ()
    attributes = Attributes()
    notes = Notes()


class Request(_Shared):
    """The request, as it will reach the endpoint."""

    __slots__ = ()

    @property
    def method(self) -> str:
        """Its method. It can be set in the request phases."""
        return _exchange.method()

    @method.setter
    def method(self, method: str) -> None:
        _exchange.set_method(method)

    @property
    def scheme(self) -> str:
        """`http` or `https`, as the client used it."""
        return _exchange.scheme()

    @property
    def authority(self) -> str:
        """Host and port as the client sent them. They can be set in the request phases."""
        return _exchange.authority()

    @authority.setter
    def authority(self, authority: str) -> None:
        _exchange.set_authority(authority)

    @property
    def path(self) -> str:
        """Path with query, as it will be forwarded. It can be set in the request phases."""
        return _exchange.path()

    @path.setter
    def path(self, path: str) -> None:
        _exchange.set_path(path)

    @property
    def original_path(self) -> str:
        """Path with query as the client sent it."""
        return _exchange.original_path()

    def path_param(self, name: str) -> str | None:
        """The value that the route's pattern bound to this name, decoded. Never build a path from it."""
        return _exchange.path_param(name)

    def query_param(self, name: str) -> str | None:
        """The first value of a query parameter, decoded."""
        return _exchange.query_param(name)


class Response(_Shared):
    """The response, as it will reach the client."""

    __slots__ = ()
    request: Request

    @property
    def status(self) -> int:
        """Its status. It can be set in the response phase."""
        return _exchange.status() or 0

    @status.setter
    def status(self, status: int) -> None:
        _exchange.set_status(status)


class Body:
    """A chunk of the body, or the whole of it. The host has the bytes."""

    __slots__ = ("length", "last")
    trailers = Fields(_TRAILERS)

    def __init__(self) -> None:
        self.length = 0
        """How many bytes the host has."""
        self.last = False
        """Whether this is the last call for this body."""

    def read(self, offset: int = 0, length: int | None = None) -> bytes:
        """A copy of a part: up to `length` bytes from `offset`; without a length, all that follow."""
        return _exchange.read_piece(offset, max(self.length - offset, 0) if length is None else length)

    def replace(self, data: bytes) -> None:
        """Replaces the bytes. Empty ones drop the chunk."""
        _exchange.replace_piece(data)

    def prepend(self, data: bytes) -> None:
        """Adds bytes before the chunk, without copying it."""
        _exchange.prepend_piece(data)

    def append(self, data: bytes) -> None:
        """Adds bytes after the chunk, without copying it."""
        _exchange.append_piece(data)


# An instance runs one phase of one exchange at a time, so one object of each is enough.
REQUEST = Request(_REQUEST)
RESPONSE = Response(_RESPONSE)
Response.request = REQUEST
BODY = Body()
