"""Lets only the listed teams pass, and counts the bytes of their request bodies."""

from windlass_filter import NEXT, NEXT_CHUNKS, Body, BodyVerdict, Filter, Request, RequestVerdict
from windlass_filter import Response, ResponseVerdict, export, log, refuse, setting, settings


@settings
class Settings:
    allow: list[str] = setting("The teams that may pass.", min_items=1)
    header: str = setting("The request field that names the team.", default="x-team")


@export(name="{{name}}", version="0.1.0", summary="lets only listed teams pass")
class {{pascal}}(Filter[Settings]):
    def on_request(self, request: Request) -> RequestVerdict:
        team = request.header(self.settings.header)
        if team is None:
            return refuse(401, "team_missing")
        if team not in self.settings.allow:
            log.info("the team is not in `allow`", team=team)
            return refuse(403, "team_unknown")
        request.set_header("x-checked-by", "{{name}}")
        return NEXT_CHUNKS

    def on_request_body(self, request: Request, body: Body) -> BodyVerdict:
        before = int(request.notes.get("bytes") or b"0")
        request.notes["bytes"] = str(before + body.length)
        return NEXT

    def on_response(self, response: Response) -> ResponseVerdict:
        counted = response.notes.get("bytes")
        if counted is not None:
            response.set_header("x-request-bytes", counted)
        return NEXT
