"""Lines in the gateway's log, with the filter's name and the request's id.

`print` writes there too, as `info`. Never write a secret.
"""

from ._bindings_of_host import log as _log

_Level = _log.Level


def _fields(fields: dict[str, object]) -> list[tuple[str, str]]:
    return [(name, str(value)) for name, value in fields.items()]


def trace(message: str, **fields: object) -> None:
    """Writes a line of the level `trace`, if the operator sees that level."""
    if _log.enabled(_Level.TRACE):
        _log.write(_Level.TRACE, message, _fields(fields))


def debug(message: str, **fields: object) -> None:
    """Writes a line of the level `debug`, if the operator sees that level."""
    if _log.enabled(_Level.DEBUG):
        _log.write(_Level.DEBUG, message, _fields(fields))


def info(message: str, **fields: object) -> None:
    """Writes a line of the level `info`."""
    _log.write(_Level.INFO, message, _fields(fields))


def warn(message: str, **fields: object) -> None:
    """Writes a line of the level `warn`."""
    _log.write(_Level.WARN, message, _fields(fields))


def error(message: str, **fields: object) -> None:
    """Writes a line of the level `error`."""
    _log.write(_Level.ERROR, message, _fields(fields))
