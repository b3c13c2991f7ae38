"""The plugin's modules from a document, for `windlass plugin dev`: a save needs no new component.

The component begins with the modules as they were when it was built, so that everything that they import is in its
memory. When an instance is configured, it runs the modules of the document. A component to ship has nothing of this.
"""

from __future__ import annotations

import importlib.util
import json
import linecache
import sys
from collections.abc import Sequence
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import Any

from . import _failures, _start
from ._bindings_of_host import Err, host_module, lifecycle

# As the build has it.
_DOCUMENT = "plugin-sources"

# componentize-py puts the number of the source folder before each file.
_FOLDER = "/0/"


class _Sources:
    """Finds and runs the plugin's modules."""

    def __init__(self) -> None:
        self.files: dict[str, str] = {}

    def find_spec(
        self, name: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        base = name.replace(".", "/")
        for file in (f"{base}/__init__.py", f"{base}.py"):
            if file in self.files:
                is_package = file.endswith("/__init__.py")
                return importlib.util.spec_from_loader(name, self, origin=_FOLDER + file, is_package=is_package)  # type: ignore[arg-type]
        return None

    def create_module(self, spec: ModuleSpec) -> ModuleType | None:
        return None

    def exec_module(self, module: ModuleType) -> None:
        assert module.__spec__ is not None and module.__spec__.origin is not None
        file = module.__spec__.origin
        text = self.files[file.removeprefix(_FOLDER)]
        module.__file__ = file
        linecache.cache[file] = (len(text), None, text.splitlines(keepends=True), file)
        exec(compile(text, file, "exec"), module.__dict__)


class _Phases:
    """What the gateway calls: the phases of the modules that run now."""

    def __init__(self, phases: Any) -> None:
        self._phases = phases
        self._sources = _Sources()
        # Imported at the build: an instance has no files.
        self._documents = host_module("documents")
        sys.meta_path.insert(0, self._sources)

    def configure(self, settings: str) -> Any:
        _start.begin_again()
        try:
            self._load()
        except Exception:
            summary = _failures.report("the module")
            raise Err([lifecycle.Diagnostic("", summary)]) from None
        return self._phases.configure(settings)

    def _load(self) -> None:
        text: bytes = self._documents.read(_DOCUMENT, 0, self._documents.size(_DOCUMENT))
        files: dict[str, str] = json.loads(text)
        for file in {*files, *self._sources.files}:
            name = file.removesuffix(".py").removesuffix("/__init__").replace("/", ".")
            sys.modules.pop(name, None)
        self._sources.files = files
        # Not `import_module`, whose own file would be in tracebacks.
        self._phases = __import__("app").Lifecycle()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._phases, name)


def begin(module: str) -> None:
    """Makes a module the one that the component is made of."""
    app: Any = __import__("app")
    phases = _Phases(app.Lifecycle())
    for interface in list(vars(app)):
        if _is_export(interface):
            setattr(sys.modules[module], interface, lambda: phases)


def _is_export(interface: str) -> bool:
    import wit_world.exports as exported  # type: ignore[import-not-found]

    return interface in ("Lifecycle", "Description") or (interface.endswith("Phase") and hasattr(exported, interface))
