//! A recipe for each host interface. The request field `x-recipe` chooses one.

use std::time::Duration;

use windlass_plugin_sdk::host::callout::{self, CallError, Request as Call};
use windlass_plugin_sdk::host::crypto::Hash;
use windlass_plugin_sdk::host::jwt::{Check, Mapping, TokenField, Wanted};
use windlass_plugin_sdk::host::metrics::Counter;
use windlass_plugin_sdk::host::rates::{Algorithm, Bound, Missing, Outcome, Source};
use windlass_plugin_sdk::host::{cache, crypto, documents, keys, limits, problem_members, rates};
use windlass_plugin_sdk::prelude::*;
use windlass_plugin_sdk::{PathAndQuery, ResponseEdit};

struct Recipes {
    requests: Counter,
    bearer: Check,
    blocked: Vec<String>,
}

impl Filter for Recipes {
    type Settings = NoSettings;

    fn configure(_: NoSettings) -> Result<(Self, Setup), Vec<Diagnostic>> {
        let mut setup = Setup::new();
        let requests = setup.counter("recipe_requests_total", &["method"]);
        rates::define(&[Bound {
            name: "address",
            by: Source::Header("x-address"),
            missing: Missing::Skip,
            algorithm: Algorithm::TokenBucket,
            limit: 1,
            window_ms: 60_000,
            burst: 1,
            shadow: false,
        }]);
        let bearer = Check::define(
            Wanted {
                verifiers: &["issuer"],
                claims: &[Mapping {
                    claim: "sub",
                    attribute: "user.id",
                    required: true,
                }],
                ..Wanted::default()
            },
            Some(TokenField {
                name: "authorization",
                scheme: Some("Bearer"),
                hide: true,
            }),
        );
        let blocked = documents::text("blocked")?;
        let filter = Self {
            requests,
            bearer,
            blocked: blocked.lines().map(str::to_owned).collect(),
        };
        let setup = setup
            .edit_response(ResponseEdit::set("x-served-by", "recipes"))
            .sometimes([
                "user.id",
                "consumer.id",
                "api-key.id",
                "auth.method",
                "plan.id",
            ]);
        Ok((filter, setup))
    }
}

impl OnRequest for Recipes {
    fn on_request(&self, request: &mut Request) -> Result<RequestVerdict, Failure> {
        match request.header_text("x-recipe").as_deref() {
            Some("count") => Ok(self.count(request)),
            Some("cache") => remember(request),
            Some("key") => Ok(key()),
            Some("plan") => Ok(plan()),
            Some("rate") => Ok(rate()),
            // The head waits until `on_request_body` has seen the whole body.
            Some("signature") => Ok(RequestVerdict::Next(BodyMode::Whole(64 * 1024))),
            Some("token") => Ok(self.token()),
            Some("ask") => ask(request),
            Some("list") => Ok(self.list(request)),
            Some("edit") => edit(request),
            Some("path") => path(request),
            _ => Ok(LocalResponse::new(400, "recipe_unknown").into()),
        }
    }
}

impl Recipes {
    fn count(&self, request: &Request) -> RequestVerdict {
        self.requests.increment(&[&request.method()]);
        RequestVerdict::NEXT
    }

    /// The gateway finds the token and hides it from the endpoint. The filter never sees it.
    fn token(&self) -> RequestVerdict {
        match self.bearer.verify_field() {
            // While keys are being fetched, the verdict does not matter: the phase runs again.
            Ok(()) => RequestVerdict::NEXT,
            Err(_) => LocalResponse::new(401, "token_rejected").into(),
        }
    }

    fn list(&self, request: &Request) -> RequestVerdict {
        let agent = request.header_text("user-agent").unwrap_or_default();
        match self.blocked.contains(&agent) {
            true => LocalResponse::new(403, "agent_blocked").into(),
            false => RequestVerdict::NEXT,
        }
    }
}

/// A value that all instances and workers share, for a minute.
fn remember(request: &mut Request) -> Result<RequestVerdict, Failure> {
    if cache::get("first-path").is_none() {
        // False only if the value is too large.
        let _ = cache::put("first-path", request.path(), Duration::from_mins(1));
    }
    let first = cache::get("first-path").unwrap_or_default();
    let count = cache::increment("requests", 1, Duration::from_mins(1));
    request.set_header("x-first-path", first)?;
    request.set_header("x-count", count.to_string())?;
    Ok(RequestVerdict::NEXT)
}

/// Sets `consumer.id` and the other attributes of the key, and removes the field.
fn key() -> RequestVerdict {
    match keys::identify_field("x-api-key", true) {
        Ok(()) => RequestVerdict::NEXT,
        // The client must not learn which keys there are.
        Err(_) => LocalResponse::new(401, "key_rejected").into(),
    }
}

/// Takes from the plan of the key that a filter before this one found, or this one.
fn plan() -> RequestVerdict {
    if keys::identify_field("x-api-key", true).is_err() {
        return LocalResponse::new(401, "key_rejected").into();
    }
    match limits::charge(None, 1) {
        Ok(decision) if decision.allowed => RequestVerdict::NEXT,
        Ok(decision) => {
            let seconds = decision.retry_after_ms.div_ceil(1000).to_string();
            LocalResponse::new(429, "throttled")
                .header("retry-after", seconds)
                .into()
        }
        Err(_) => LocalResponse::new(403, "no_plan").into(),
    }
}

fn rate() -> RequestVerdict {
    match rates::take(1).outcome {
        Outcome::Allowed => RequestVerdict::NEXT,
        _ => LocalResponse::new(429, "too_many_requests").into(),
    }
}

/// The phase runs again when the answer is there, and the same call gives it then.
fn ask(request: &mut Request) -> Result<RequestVerdict, Failure> {
    let user = request.header_text("x-user").unwrap_or_default();
    let call = Call::new("GET", "/allowed").header("x-user", &user);
    match callout::call("authorizer", &call) {
        Ok(answer) if answer.status == 200 => Ok(RequestVerdict::NEXT),
        Ok(_) => Ok(LocalResponse::new(403, "not_allowed").into()),
        Err(CallError::NotYet) => Ok(RequestVerdict::NEXT),
        Err(error) => Err(Failure::new("authorizer_failed", format!("{error:?}"))),
    }
}

/// Edits of the response need no response phase; members of an error's body need no body.
fn edit(request: &mut Request) -> Result<RequestVerdict, Failure> {
    if request.header("x-refuse").is_some() {
        problem_members::set(r#"{ "detail": "ask somebody else" }"#);
        return Ok(LocalResponse::new(403, "refused").into());
    }
    request.edit_response(&[ResponseEdit::add_member("vary", "x-recipe")])?;
    Ok(RequestVerdict::NEXT)
}

/// `a%2Fb` stays one segment: the parameter is put in as the client spelled it.
fn path(request: &mut Request) -> Result<RequestVerdict, Failure> {
    let Some(id) = request.raw_path_param("id") else {
        return Ok(RequestVerdict::NEXT);
    };
    let mut path = PathAndQuery::parse("/v2/orders");
    let pushed = path.push_segment(&id).is_ok();
    if pushed && request.set_path(path.to_string()).is_ok() {
        return Ok(RequestVerdict::NEXT);
    }
    // The value is the client's.
    Ok(LocalResponse::new(400, "path_refused").into())
}

impl OnRequestBody for Recipes {
    /// Only `signature` asks for the body: all of it at once.
    fn on_request_body(
        &self,
        request: &mut Request,
        piece: &mut Piece,
    ) -> Result<ChunkVerdict, Failure> {
        let tag = request
            .header_text("x-signature")
            .and_then(|tag| unhex(&tag));
        let tag = tag.unwrap_or_default();
        match crypto::hmac_verify(Hash::Sha256, "webhook", &piece.read_all(), &tag) {
            true => Ok(ChunkVerdict::Next),
            false => Ok(LocalResponse::new(401, "signature_wrong").into()),
        }
    }
}

fn unhex(digits: &str) -> Option<Vec<u8>> {
    let digit = |digit: &u8| char::from(*digit).to_digit(16);
    let pairs = digits.as_bytes().chunks(2);
    let byte = |pair: &[u8]| match pair {
        [high, low] => u8::try_from(16 * digit(high)? + digit(low)?).ok(),
        _ => None,
    };
    pairs.map(byte).collect()
}

export!(Recipes: request, request_body);
