"""The host interfaces, as the contract defines them: `from windlass_filter.host import cache`.

The plugin's world must import the interface, and all but `documents`, `advice`, `preflights`, `raw_params`,
`problem_members` and `response_edits` need a grant of the operator. A function of the contract that gives a result
returns the value of success, and raises `Err` with the error in `value`.
"""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .._bindings.imports import advice as advice
    from .._bindings.imports import api_description as api_description
    from .._bindings.imports import cache as cache
    from .._bindings.imports import calls as calls
    from .._bindings.imports import crypto as crypto
    from .._bindings.imports import documents as documents
    from .._bindings.imports import exchange as exchange
    from .._bindings.imports import keys as keys
    from .._bindings.imports import limits as limits
    from .._bindings.imports import metrics as metrics
    from .._bindings.imports import preflights as preflights
    from .._bindings.imports import problem_members as problem_members
    from .._bindings.imports import rates as rates
    from .._bindings.imports import raw_params as raw_params
    from .._bindings.imports import response_edits as response_edits
    from .._bindings.imports import tokens as tokens
    from .._bindings.imports import types as types
else:

    def __getattr__(name):
        from .._bindings_of_host import host_module

        if name.startswith("_"):
            raise AttributeError(name)
        return host_module(name)
