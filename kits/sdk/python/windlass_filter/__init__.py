"""Filters for the Windlass API gateway.

A filter is a class with the phases that it has (`on_request`, `on_request_body`, `on_response`, `on_response_body`,
`on_log`), marked with `export` in the module `app`. `windlass_filter.host` has the host interfaces, and
`windlass_filter.testing` runs a filter without a gateway.
"""

from . import log as log
from ._bindings_of_host import Err as Err
from .exchange import Attributes as Attributes
from .exchange import Body as Body
from .exchange import Fields as Fields
from .exchange import Notes as Notes
from .exchange import Request as Request
from .exchange import Response as Response
from .filter import Diagnostic as Diagnostic
from .filter import Filter as Filter
from .filter import Series as Series
from .filter import SeriesKind as SeriesKind
from .filter import SettingsError as SettingsError
from .filter import Setup as Setup
from .filter import export as export
from .options import setting as setting
from .options import settings as settings
from .verdicts import DONE as DONE
from .verdicts import MORE as MORE
from .verdicts import NEXT as NEXT
from .verdicts import NEXT_CHUNKS as NEXT_CHUNKS
from .verdicts import BodyVerdict as BodyVerdict
from .verdicts import RequestVerdict as RequestVerdict
from .verdicts import ResponseVerdict as ResponseVerdict
from .verdicts import next_whole as next_whole
from .verdicts import refuse as refuse
from .verdicts import respond as respond
from .verdicts import route as route
