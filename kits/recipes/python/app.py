"""A recipe for each host interface. The request field `x-recipe` chooses one."""

from windlass_filter import NEXT, Body, BodyVerdict, Diagnostic, Err, Filter, Request, RequestVerdict
from windlass_filter import Series, SeriesKind, SettingsError, Setup, export, next_whole, refuse
from windlass_filter.host import cache, calls, crypto, documents, keys, limits, metrics, problem_members
from windlass_filter.host import rates, raw_params, response_edits, tokens

MINUTE_MS = 60_000

# Made once: a phase that returns it allocates nothing.
WHOLE = next_whole(64 * 1024)


@export(name="recipes", version="0.1.0", summary="calls each host interface")
class Recipes(Filter[None]):
    def configure(self) -> Setup:
        blocked = documents.read("blocked", 0, 1024 * 1024)
        if blocked is None:
            raise SettingsError(Diagnostic("", 'add `documents = { blocked = "FILE" }`'))
        self.blocked = set(blocked.decode().splitlines())
        rates.define(
            [
                rates.Bound(
                    name="address",
                    by=rates.Source_Header("x-address"),
                    missing=rates.Missing.SKIP,
                    algorithm=rates.Algorithm.TOKEN_BUCKET,
                    limit=1,
                    window_ms=MINUTE_MS,
                    burst=1,
                    shadow=False,
                )
            ]
        )
        self.bearer = tokens.define(
            tokens.Check(
                verifiers=["issuer"],
                scopes=[],
                any_scope=False,
                claims=[tokens.Mapping("sub", "user.id", True)],
                token_field=tokens.TokenField("authorization", "Bearer", True),
            )
        )
        response_edits.edit([response_edits.ResponseEdit_Set(("x-served-by", b"recipes"))])
        return Setup(
            sometimes=["user.id", "consumer.id", "api-key.id", "auth.method", "plan.id"],
            series=[Series(SeriesKind.COUNTER, "recipe_requests_total", ["method"])],
        )

    def on_request(self, request: Request) -> RequestVerdict:
        match request.header("x-recipe"):
            case "count":
                metrics.add(0, [request.method], 1.0)
                return NEXT
            case "cache":
                return remember(request)
            case "key":
                return key()
            case "plan":
                return plan()
            case "rate":
                allowed = rates.take(1).outcome is rates.Outcome.ALLOWED
                return NEXT if allowed else refuse(429, "too_many_requests")
            case "signature":
                # The head waits until `on_request_body` has seen the whole body.
                return WHOLE
            case "token":
                return self.token()
            case "ask":
                return ask(request)
            case "list":
                blocked = (request.header("user-agent") or "") in self.blocked
                return refuse(403, "agent_blocked") if blocked else NEXT
            case "edit":
                return edit(request)
            case "path":
                return path(request)
            case _:
                return refuse(400, "recipe_unknown")

    def on_request_body(self, request: Request, body: Body) -> BodyVerdict:
        """Only `signature` asks for the body: all of it at once."""
        try:
            tag = bytes.fromhex(request.header("x-signature") or "")
        except ValueError:
            return refuse(401, "signature_wrong")
        good = crypto.hmac_verify(crypto.Hash.SHA256, "webhook", body.read(), tag)
        return NEXT if good else refuse(401, "signature_wrong")

    def token(self) -> RequestVerdict:
        """The gateway finds the token and hides it from the endpoint. The filter never sees it."""
        try:
            tokens.verify_field(self.bearer)
        except Err as error:
            if error.value == tokens.FieldError_Token(tokens.VerifyError_NotYet()):
                # The gateway fetches keys, and runs this phase again.
                return NEXT
            return refuse(401, "token_rejected")
        return NEXT


def remember(request: Request) -> RequestVerdict:
    """A value that all instances and workers share, for a minute."""
    if cache.get("first-path") is None:
        cache.put("first-path", request.path.encode(), MINUTE_MS)
    count = cache.increment("requests", 1, MINUTE_MS)
    request.set_headers({"x-first-path": cache.get("first-path") or b"", "x-count": str(count)})
    return NEXT


def key() -> RequestVerdict:
    """Sets `consumer.id` and the other attributes of the key, and removes the field."""
    try:
        keys.identify_field("x-api-key", True)
    except Err:
        # The client must not learn which keys there are.
        return refuse(401, "key_rejected")
    return NEXT


def plan() -> RequestVerdict:
    """Takes from the plan of the key."""
    refused = key()
    if refused is not NEXT:
        return refused
    try:
        decision = limits.charge(None, 1)
    except Err:
        return refuse(403, "no_plan")
    if decision.allowed:
        return NEXT
    return refuse(429, "throttled", {"retry-after": str(-(-decision.retry_after_ms // 1000))})


def ask(request: Request) -> RequestVerdict:
    """The phase runs again when the answer is there, and the same call returns it then. Until then it raises `Err` with
    `CallError_NotYet`, which the kit handles: so do not catch every `Err`."""
    user = (request.header("x-user") or "").encode()
    answer = calls.call(
        "authorizer", calls.Request("GET", "/allowed", [("x-user", user)], b"", None, calls.Sharing_Alone())
    )
    return NEXT if answer.status == 200 else refuse(403, "not_allowed")


def edit(request: Request) -> RequestVerdict:
    """Edits of the response need no response phase; members of an error's body need no body."""
    if request.header("x-refuse") is not None:
        problem_members.set('{"detail": "ask somebody else"}')
        return refuse(403, "refused")
    response_edits.edit([response_edits.ResponseEdit_AddMember(("vary", b"x-recipe"))])
    return NEXT


def path(request: Request) -> RequestVerdict:
    """`a%2Fb` stays one segment: the parameter is put in as the client spelled it."""
    order = raw_params.path_param("id")
    if order is None:
        return NEXT
    try:
        request.path = f"/v2/orders/{order}"
    except Err:
        # The value is the client's.
        return refuse(400, "path_refused")
    return NEXT
