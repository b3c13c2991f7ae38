"""The bindings of the contract: the component's own in a component, and fakes of them elsewhere."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

# Whether this runs in a component (also while it is built).
IN_COMPONENT: bool

if TYPE_CHECKING:
    from ._bindings.componentize_py_types import Err as Err
    from ._bindings.imports import exchange as exchange
    from ._bindings.imports import log as log
    from ._bindings.imports import types as types
    from ._bindings.exports import lifecycle as lifecycle
else:
    try:
        import wit_world

        IN_COMPONENT = True
        from componentize_py_types import Err
        from wit_world.exports import lifecycle
    except ModuleNotFoundError:
        IN_COMPONENT = False
        from ._bindings.componentize_py_types import Err
        from ._bindings.exports import lifecycle

# Where each interface is in the contract.
PACKAGES = {"tokens": "windlass:jwt", "calls": "windlass:callout"}


def host_module(name: str) -> Any:
    """The bindings of a host interface."""
    if not IN_COMPONENT:
        from . import _fakes

        return _fakes.module(name)
    try:
        return importlib.import_module(f"wit_world.imports.{name}")
    except ModuleNotFoundError:
        package = PACKAGES.get(name, "windlass:host")
        interface = f"{package}/{name.replace('_', '-')}@0.1.0"
        raise ImportError(
            f"the plugin's world does not import `{name}`; add `import {interface};` to wit/world.wit"
        ) from None


if not TYPE_CHECKING:
    exchange = host_module("exchange")
    log = host_module("log")
    types = host_module("types")
