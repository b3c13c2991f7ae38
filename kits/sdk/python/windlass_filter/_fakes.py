"""Fakes of the host interfaces, for tests without a gateway. They act on the exchange that `testing` runs."""

from __future__ import annotations

import dataclasses
import hashlib
import hmac
import importlib
import json
from collections.abc import Callable
from typing import Any, NoReturn

from ._bindings.componentize_py_types import Err
from ._bindings.imports import calls, crypto, keys, limits, log, rates, tokens, types

# Fields that belong to the gateway.
_RESERVED = {
    "connection",
    "content-length",
    "host",
    "keep-alive",
    "proxy-connection",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
}
_HOST_ATTRIBUTES = ("client.", "route.", "request.", "api.", "upstream.", "outcome.")


@dataclasses.dataclass
class Message:
    """A head with its body."""

    headers: list[tuple[str, bytes]] = dataclasses.field(default_factory=list)
    body: list[bytes] = dataclasses.field(default_factory=list)
    trailers: list[tuple[str, bytes]] = dataclasses.field(default_factory=list)


@dataclasses.dataclass
class World:
    """What the gateway has beside an exchange. A test fills it."""

    secrets: dict[str, bytes] = dataclasses.field(default_factory=dict)
    documents: dict[str, bytes] = dataclasses.field(default_factory=dict)
    api_keys: dict[bytes, keys.ApiKey] = dataclasses.field(default_factory=dict)
    accepted_tokens: dict[str, dict[str, Any]] = dataclasses.field(default_factory=dict)
    """The claims of each token that a verifier accepts."""
    callouts: dict[str, Callable[[calls.Request], calls.Response]] = dataclasses.field(default_factory=dict)
    """The answer of each target."""
    take: Callable[[str, int], bool] = lambda _key, _cost: True
    """Whether a limit has so much left for a key."""
    api_description: str = "{}"
    cache: dict[str, bytes] = dataclasses.field(default_factory=dict)
    metrics: list[tuple[int, list[str], float]] = dataclasses.field(default_factory=list)
    log: list[tuple[str, str, dict[str, str]]] = dataclasses.field(default_factory=list)
    """Lines: level, message, fields."""
    advice: list[tuple[str, str]] = dataclasses.field(default_factory=list)
    response_edits: list[Any] = dataclasses.field(default_factory=list)
    answers_preflights: bool = False
    skips_on_response: bool = False
    bounds: list[rates.Bound] = dataclasses.field(default_factory=list)
    checks: list[tokens.Check] = dataclasses.field(default_factory=list)


@dataclasses.dataclass
class State:
    """An exchange while a phase runs."""

    phase: str = ""
    method: str = "GET"
    scheme: str = "http"
    authority: str = "gateway.example"
    path: str = "/"
    original_path: str = "/"
    path_params: dict[str, str] = dataclasses.field(default_factory=dict)
    status: int | None = None
    request: Message = dataclasses.field(default_factory=Message)
    response: Message | None = None
    chunk: bytes = b""
    last: bool = False
    attributes: dict[str, types.AttributeValue] = dataclasses.field(default_factory=dict)
    notes: dict[str, bytes] = dataclasses.field(default_factory=dict)
    problem_members: dict[str, Any] = dataclasses.field(default_factory=dict)
    claims: dict[str, Any] = dataclasses.field(default_factory=dict)


world = World()
state = State()


def module(name: str) -> Any:
    """The fake of an interface: its generated bindings with functions that work."""
    generated = importlib.import_module(f"windlass_filter._bindings.imports.{name}")
    if not hasattr(generated, "_faked"):
        for function, fake in _FAKES.get(name, {}).items():
            setattr(generated, function, fake)
        generated._faked = True  # type: ignore[attr-defined]
    return generated


def _refused(error: types.EditError) -> NoReturn:
    raise Err(error)


# --- windlass:host/exchange ---


def _head(of: types.Message) -> list[tuple[str, bytes]]:
    if of is types.Message.REQUEST:
        return state.request.headers
    if of is types.Message.RESPONSE:
        return state.response.headers if state.response else []
    if not state.last:
        return []
    message = state.request if state.phase == "on_request_body" else state.response
    return message.trailers if message else []


def _editable(of: types.Message, name: str, value: bytes) -> list[tuple[str, bytes]]:
    phases = {
        types.Message.REQUEST: ("on_request", "on_request_body"),
        types.Message.RESPONSE: ("on_response", "on_response_body"),
        types.Message.TRAILERS: ("on_request_body", "on_response_body"),
    }
    if state.phase not in phases[of]:
        _refused(types.EditError.TOO_LATE)
    token = name and all(letter.isalnum() or letter in "!#$%&'*+-.^_`|~" for letter in name) and name.isascii()
    if not token or any(byte in b"\r\n\0" for byte in value):
        _refused(types.EditError.SYNTAX)
    if name.lower() in _RESERVED:
        _refused(types.EditError.FORBIDDEN)
    return _head(of)


def _all(of: types.Message, name: str) -> list[bytes]:
    return [value for field, value in _head(of) if field == name.lower()]


def _header(of: types.Message, name: str) -> bytes | None:
    return next(iter(_all(of, name)), None)


def _header_text(of: types.Message, name: str) -> str | None:
    value = _header(of, name)
    try:
        return None if value is None else value.decode()
    except UnicodeDecodeError:
        return None


def _packed(of: types.Message) -> bytes:
    def field(name: bytes, value: bytes) -> bytes:
        return len(name).to_bytes(2, "little") + len(value).to_bytes(4, "little") + name + value

    return b"".join(field(name.encode(), value) for name, value in _head(of))


def _set_headers(of: types.Message, fields: list[tuple[str, bytes]]) -> None:
    for name, value in fields:
        _editable(of, name, value)
    for name, value in fields:
        _remove(of, name)
        _head(of).append((name.lower(), value))


def _append_header(of: types.Message, name: str, value: bytes) -> None:
    _editable(of, name, value).append((name.lower(), value))


def _remove(of: types.Message, name: str) -> int:
    head = _editable(of, name, b"")
    count = len(_all(of, name))
    head[:] = [(field, value) for field, value in head if field != name.lower()]
    return count


def _in_request(edit: Callable[[str], None]) -> Callable[[str], None]:
    def checked(value: str) -> None:
        if state.phase not in ("on_request", "on_request_body"):
            _refused(types.EditError.TOO_LATE)
        edit(value)

    return checked


def _set_path(path: str) -> None:
    if not path.startswith("/"):
        _refused(types.EditError.SYNTAX)
    state.path = path


def _set_status(status: int) -> None:
    if state.phase != "on_response":
        _refused(types.EditError.TOO_LATE)
    if not 200 <= status <= 599:
        _refused(types.EditError.SYNTAX)
    state.status = status


def _query_param(name: str, decoded: bool = True) -> str | None:
    from urllib.parse import unquote, unquote_plus

    for pair in state.path.partition("?")[2].split("&"):
        key, _, value = pair.partition("=")
        if unquote_plus(key) == name:
            return unquote_plus(value) if decoded else value
    return None


def _path_param(name: str) -> str | None:
    from urllib.parse import unquote

    value = state.path_params.get(name)
    return None if value is None else unquote(value)


def _edit_piece(edit: Callable[[bytes], bytes]) -> Callable[[bytes], None]:
    def checked(data: bytes) -> None:
        if state.phase not in ("on_request_body", "on_response_body"):
            _refused(types.EditError.TOO_LATE)
        state.chunk = edit(data)

    return checked


def _set_attributes(facts: list[tuple[str, types.AttributeValue]]) -> None:
    if any(name.startswith(_HOST_ATTRIBUTES) for name, _ in facts):
        _refused(types.EditError.FORBIDDEN)
    state.attributes.update(facts)


def _set_note(key: str, value: bytes) -> None:
    if sum(len(name) + len(note) for name, note in {**state.notes, key: value}.items()) > 4096:
        _refused(types.EditError.TOO_LARGE)
    state.notes[key] = value


_EXCHANGE: dict[str, Any] = {
    "method": lambda: state.method,
    "scheme": lambda: state.scheme,
    "authority": lambda: state.authority,
    "path": lambda: state.path,
    "original_path": lambda: state.original_path,
    "path_param": _path_param,
    "query_param": _query_param,
    "set_method": _in_request(lambda method: setattr(state, "method", method)),
    "set_path": _in_request(_set_path),
    "set_authority": _in_request(lambda authority: setattr(state, "authority", authority)),
    "status": lambda: state.status,
    "set_status": _set_status,
    "header": _header,
    "header_text": _header_text,
    "header_all": _all,
    "header_many": lambda of, names: [_header(of, name) for name in names],
    "headers": lambda of: list(_head(of)),
    "headers_packed": _packed,
    "set_header": lambda of, name, value: _set_headers(of, [(name, value)]),
    "set_headers": _set_headers,
    "append_header": _append_header,
    "remove_header": _remove,
    "read_piece": lambda offset, length: state.chunk[offset : offset + length],
    "replace_piece": _edit_piece(lambda data: data),
    "prepend_piece": _edit_piece(lambda data: data + state.chunk),
    "append_piece": _edit_piece(lambda data: state.chunk + data),
    "attribute": lambda name: state.attributes.get(name),
    "set_attribute": lambda name, value: _set_attributes([(name, value)]),
    "set_attributes": _set_attributes,
    "note": lambda key: state.notes.get(key),
    "set_note": _set_note,
}

# --- the other interfaces ---


def _write(level: log.Level, message: str, fields: list[tuple[str, str]]) -> None:
    world.log.append((level.name.lower(), message, dict(fields)))


def _increment(key: str, delta: int, _ttl_ms: int) -> int:
    stored = world.cache.get(key, b"")
    number = int.from_bytes(stored, "little", signed=True) if len(stored) == 8 else 0
    world.cache[key] = (number + delta).to_bytes(8, "little", signed=True)
    return number + delta


def _put(key: str, value: bytes, _ttl_ms: int) -> bool:
    if len(key) + len(value) > 64 * 1024:
        return False
    world.cache[key] = value
    return True


def _sign(hash: crypto.Hash, secret: str, data: bytes) -> bytes:
    if secret not in world.secrets:
        raise Err(f"there is no secret `{secret}`; a test adds it to `world.secrets`")
    return hmac.digest(world.secrets[secret], data, hash.name.lower())


def _verify_tag(hash: crypto.Hash, secret: str, data: bytes, tag: bytes) -> bool:
    return secret in world.secrets and hmac.compare_digest(_sign(hash, secret, data), tag)


def _find(presented: bytes) -> keys.ApiKey:
    if presented not in world.api_keys:
        raise Err(keys.KeyReject.UNKNOWN)
    return world.api_keys[presented]


def _identify(presented: bytes) -> None:
    try:
        key = _find(presented)
    except Err as error:
        raise Err(keys.IdentifyError_Rejected(error.value)) from None
    text = types.AttributeValue_Text
    facts: dict[str, types.AttributeValue] = {f"api-key.{name}": text(value) for name, value in key.attributes}
    facts |= {"consumer.id": text(key.consumer), "api-key.id": text(key.id), "auth.method": text("api-key")}
    if key.plan is not None:
        facts["plan.id"] = text(key.plan)
    state.attributes.update(facts)


def _identify_field(name: str, hide: bool) -> None:
    presented = _header(types.Message.REQUEST, name)
    if not presented:
        raise Err(keys.FieldError_Missing())
    try:
        _identify(presented)
    except Err as error:
        raise Err(keys.FieldError_Rejected(error.value.value)) from None
    if hide:
        _remove(types.Message.REQUEST, name)


def _decision(key: str, cost: int) -> limits.Decision:
    if world.take(key, cost):
        return limits.Decision(True, None, 0, None, None, 1)
    return limits.Decision(False, limits.Bound.PLAN, 1000, None, None, 0)


def _charge(plan: str | None, cost: int) -> limits.Decision:
    key = state.attributes.get("api-key.id")
    if not isinstance(key, types.AttributeValue_Text):
        raise Err(limits.Uncharged.NO_KEY)
    if plan is None and "plan.id" not in state.attributes:
        raise Err(limits.Uncharged.NO_PLAN)
    return _decision(key.value, cost)


def _take_rates(cost: int) -> rates.Decision:
    allowed = cost == 0 or world.take("", cost)
    outcome = rates.Outcome.ALLOWED if allowed else rates.Outcome.REFUSED
    return rates.Decision(outcome, 0 if allowed else 1, 0, 0 if allowed else 1000)


def _verify(token: str, check: int, _proof: object = None) -> None:
    if token not in world.accepted_tokens:
        raise Err(tokens.VerifyError_Rejected("signature"))
    state.claims = world.accepted_tokens[token]
    for mapping in world.checks[check].claims:
        if mapping.claim in state.claims:
            text = str(state.claims[mapping.claim])
            state.attributes[mapping.attribute] = types.AttributeValue_Text(text)
        elif mapping.required:
            raise Err(tokens.VerifyError_Rejected("claim_missing"))


def _verify_field(check: int) -> None:
    field = world.checks[check].token_field
    if field is None:
        raise Err(tokens.FieldError_Missing())
    value = _header_text(types.Message.REQUEST, field.name) or ""
    scheme, _, token = value.rpartition(" ")
    if not token or scheme.strip().lower() != (field.scheme or "").lower():
        raise Err(tokens.FieldError_Missing())
    if field.hide:
        _remove(types.Message.REQUEST, field.name)
    try:
        _verify(token, check)
    except Err as error:
        raise Err(tokens.FieldError_Token(error.value)) from None


def _claim(name: str) -> tokens.ClaimValue | None:
    value = state.claims.get(name)
    if isinstance(value, bool):
        return tokens.ClaimValue_Flag(value)
    if isinstance(value, (int, float)):
        return tokens.ClaimValue_Number(float(value))
    if isinstance(value, str):
        return tokens.ClaimValue_Text(value)
    return None if value is None else tokens.ClaimValue_Json(json.dumps(value))


def _define_check(check: tokens.Check) -> int:
    world.checks.append(check)
    return len(world.checks) - 1


def _call(target: str, request: calls.Request) -> calls.Response:
    if target not in world.callouts:
        raise Err(calls.CallError_Unreachable())
    return world.callouts[target](request)


def _set_members(members: str) -> bool:
    try:
        read = json.loads(members)
    except ValueError:
        return False
    if not isinstance(read, dict) or len(members) > 4096:
        return False
    state.problem_members = read
    return True


def _read_document(name: str, offset: int, length: int) -> bytes | None:
    document = world.documents.get(name)
    return None if document is None else document[offset : offset + length]


_FAKES: dict[str, dict[str, Any]] = {
    "exchange": _EXCHANGE,
    "raw_params": {
        "path_param": lambda name: state.path_params.get(name),
        "query_param": lambda name: _query_param(name, decoded=False),
    },
    "log": {"enabled": lambda _level: True, "write": _write},
    "advice": {
        "warn": lambda at, message: world.advice.append((at, message)),
        "vouch": lambda field: world.advice.append(("vouch", field)),
        "clear": lambda field: world.advice.append(("clear", field)),
        "read": lambda field: world.advice.append(("read", field)),
    },
    "preflights": {"answer": lambda: setattr(world, "answers_preflights", True)},
    "documents": {
        "names": lambda: sorted(world.documents),
        "size": lambda name: len(world.documents[name]) if name in world.documents else None,
        "read": _read_document,
        "digest": lambda name: hashlib.sha256(world.documents[name]).digest() if name in world.documents else None,
    },
    "api_description": {
        "read": lambda: world.api_description,
        "digest": lambda: hashlib.sha256(world.api_description.encode()).digest(),
    },
    "metrics": {"add": lambda series, labels, value: world.metrics.append((series, labels, value))},
    "limits": {
        "charge": _charge,
        "take": lambda _plan, key, cost: _decision(key, cost),
        "take_inline": lambda key, cost, _capacity, _refill: _decision(key, cost),
        "give_back": lambda _ticket: None,
        "standing": lambda: None,
    },
    "rates": {
        "define": lambda bounds: world.bounds.extend(bounds),
        "take": _take_rates,
        "standing": lambda: [],
    },
    "response_edits": {
        "edit": lambda edits: world.response_edits.extend(edits),
        "skip_on_response": lambda: setattr(world, "skips_on_response", True),
    },
    "problem_members": {"set": _set_members},
    "keys": {"find": _find, "identify": _identify, "identify_field": _identify_field},
    "cache": {
        "get": lambda key: world.cache.get(key),
        "put": _put,
        "delete": lambda key: world.cache.pop(key, None),
        "increment": _increment,
    },
    "crypto": {
        "digest": lambda hash, data: hashlib.new(hash.name.lower(), data).digest(),
        "hmac_verify": _verify_tag,
        "hmac_sign": _sign,
    },
    "tokens": {
        "define": _define_check,
        "verify": _verify,
        "verify_field": _verify_field,
        "check_proof": lambda _proof, _token, _thumbprint: None,
        "claim": _claim,
    },
    "calls": {"call": _call},
}

__all__ = ["Message", "State", "World", "module", "state", "world"]
