"""Errors in settings."""

from __future__ import annotations

from typing import NamedTuple


class Diagnostic(NamedTuple):
    """An error in the settings."""

    at: str
    """Its place as a JSON pointer, for example `/keep/0`; `documents/NAME` for a document; empty for the whole table."""
    message: str
    """What is wrong and how to fix it: lower case, no period."""


class SettingsError(Exception):
    """The settings have errors. `configure` raises it: `raise SettingsError(Diagnostic("/allow", "name a team"))`."""

    def __init__(self, *diagnostics: Diagnostic) -> None:
        super().__init__("; ".join(f"{at or 'settings'}: {message}" for at, message in diagnostics))
        self.diagnostics = diagnostics
