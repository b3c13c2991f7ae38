"""Settings: a class with typed fields, which reads the operator's table and describes it as JSON Schema."""

from __future__ import annotations

import dataclasses
import types
import typing
from typing import Any, TypeVar, dataclass_transform

from .errors import Diagnostic, SettingsError

T = TypeVar("T")


def setting(
    description: str,
    *,
    default: Any = dataclasses.MISSING,
    default_factory: Any = dataclasses.MISSING,
    min_items: int = 0,
    minimum: float | None = None,
    maximum: float | None = None,
) -> Any:
    """A setting: what it means, its default (without one it must be given), and its bounds."""
    bounds = {"minItems": min_items or None, "minimum": minimum, "maximum": maximum}
    metadata = {"description": description, "bounds": {name: bound for name, bound in bounds.items() if bound is not None}}
    if default is not dataclasses.MISSING:
        return dataclasses.field(default=default, metadata=metadata)
    if default_factory is not dataclasses.MISSING:
        return dataclasses.field(default_factory=default_factory, metadata=metadata)
    return dataclasses.field(metadata=metadata)


@dataclass_transform(kw_only_default=True, frozen_default=True, field_specifiers=(setting,))
def settings(cls: type[T]) -> type[T]:
    """Marks a class of settings. Its fields have the types `str`, `int`, `float`, `bool`, `list[..]`, `dict[str, ..]`,
    `Literal[..]`, `.. | None`, or another class of settings."""
    return dataclasses.dataclass(frozen=True, kw_only=True)(cls)


def read(cls: type[T], value: object) -> T:
    """The settings of this value. Raises `SettingsError` with every error in it."""
    errors: list[Diagnostic] = []
    made = _table(cls, value, "", errors)
    if errors:
        raise SettingsError(*errors)
    return typing.cast(T, made)


def schema(cls: type[Any]) -> dict[str, Any]:
    """The JSON Schema of a class of settings."""
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **_table_schema(cls)}


def _table(cls: type[Any], value: object, at: str, errors: list[Diagnostic]) -> object:
    if not isinstance(value, dict):
        errors.append(Diagnostic(at, f"this is {_kind(value)}; give a table"))
        return None
    hints = typing.get_type_hints(cls)
    fields = {field.name: field for field in dataclasses.fields(cls)}
    for key in value.keys() - fields.keys():
        known = ", ".join(f"`{name}`" for name in fields) or "none"
        errors.append(Diagnostic(f"{at}/{_escaped(key)}", f"`{key}` is not a setting; the settings are {known}"))
    read: dict[str, object] = {}
    for name, field in fields.items():
        if name in value:
            before = len(errors)
            read[name] = _value(hints[name], value[name], f"{at}/{name}", errors)
            if len(errors) == before:
                _check_bounds(field, value[name], f"{at}/{name}", errors)
        elif field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING:
            what = field.metadata.get("description", "")
            errors.append(Diagnostic(at, f"`{name}` is missing" + (f": {_lower(what)}" if what else "")))
    return None if errors else cls(**read)


def _value(hint: Any, value: object, at: str, errors: list[Diagnostic]) -> object:
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if dataclasses.is_dataclass(hint):
        return _table(typing.cast(type, hint), value, at, errors)
    if origin in (typing.Union, types.UnionType):
        # TOML has no null, so an option is simply there or not.
        inner = [argument for argument in arguments if argument is not types.NoneType]
        return _value(inner[0], value, at, errors)
    if origin is typing.Literal:
        if value in arguments:
            return value
        errors.append(Diagnostic(at, f"give one of {', '.join(f'`{one}`' for one in arguments)}"))
    elif origin is list:
        if isinstance(value, list):
            return [_value(arguments[0], item, f"{at}/{index}", errors) for index, item in enumerate(value)]
        errors.append(Diagnostic(at, f"this is {_kind(value)}; give a list"))
    elif origin is dict:
        if isinstance(value, dict):
            return {key: _value(arguments[1], item, f"{at}/{_escaped(key)}", errors) for key, item in value.items()}
        errors.append(Diagnostic(at, f"this is {_kind(value)}; give a table"))
    elif hint is float and type(value) in (int, float):
        return float(typing.cast(float, value))
    elif hint is Any or type(value) is hint:
        return value
    else:
        errors.append(Diagnostic(at, f"this is {_kind(value)}; give {_KINDS.get(hint, str(hint))}"))
    return None


def _check_bounds(field: dataclasses.Field[Any], value: Any, at: str, errors: list[Diagnostic]) -> None:
    bounds = field.metadata.get("bounds", {})
    least, minimum, maximum = (bounds.get(name) for name in ("minItems", "minimum", "maximum"))
    if least is not None and len(value) < least:
        errors.append(Diagnostic(at, f"`{field.name}` has {len(value)} entries; give at least {least}"))
    if minimum is not None and value < minimum:
        errors.append(Diagnostic(at, f"{value} is too small; give at least {minimum}"))
    if maximum is not None and value > maximum:
        errors.append(Diagnostic(at, f"{value} is too large; give at most {maximum}"))


_KINDS: dict[Any, str] = {
    str: "text",
    int: "a whole number",
    float: "a number",
    bool: "true or false",
    list: "a list",
    dict: "a table",
    types.NoneType: "nothing",
}


def _kind(value: object) -> str:
    return _KINDS.get(type(value), "something else")


def _lower(text: str) -> str:
    return (text[:1].lower() + text[1:]).rstrip(".")


def _escaped(key: str) -> str:
    """A key in a JSON pointer (RFC 6901, section 3)."""
    return key.replace("~", "~0").replace("/", "~1")


def _table_schema(cls: type[Any]) -> dict[str, Any]:
    hints = typing.get_type_hints(cls)
    properties, required = {}, []
    for field in dataclasses.fields(cls):
        described: dict[str, Any] = {}
        if field.metadata.get("description"):
            described["description"] = field.metadata["description"]
        described |= _schema(hints[field.name]) | field.metadata.get("bounds", {})
        if field.default is not dataclasses.MISSING and field.default is not None:
            described["default"] = field.default
        elif field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING:
            required.append(field.name)
        properties[field.name] = described
    return {"type": "object", "properties": properties, "required": required, "additionalProperties": False}


def _schema(hint: Any) -> dict[str, Any]:
    origin, arguments = typing.get_origin(hint), typing.get_args(hint)
    if dataclasses.is_dataclass(hint):
        return _table_schema(typing.cast(type, hint))
    if origin in (typing.Union, types.UnionType):
        return _schema(next(argument for argument in arguments if argument is not types.NoneType))
    if origin is typing.Literal:
        return {"enum": list(arguments)}
    if origin is list:
        return {"type": "array", "items": _schema(arguments[0])}
    if origin is dict:
        return {"type": "object", "additionalProperties": _schema(arguments[1])}
    names: dict[Any, str] = {str: "string", int: "integer", float: "number", bool: "boolean"}
    if hint in names:
        return {"type": names[hint]}
    if hint is Any:
        return {}
    raise TypeError(f"a setting cannot have the type `{hint}`")
