//! `windlass:callout/calls`, with the answers of the test.

pub use crate::bindings::callout::windlass::callout::calls::{
    CallError, Credential, Request, Response, Sharing,
};

use crate::is_reserved_field;
use crate::testing::data::Callout;
use crate::testing::exchange::CallKey;
use crate::testing::state::{Phase, State, serve_granted};

/// The most different calls of one phase.
const MAX_CALLS: usize = 8;

/// Calls a server. As in the gateway, a new call gives [`CallError::NotYet`], and the phase runs again.
pub fn call(target: &str, request: Request<'_>) -> Result<Response, CallError> {
    serve_granted("callout", "call", |state| call_in(state, target, &request))
}

fn call_in(state: &mut State, name: &str, request: &Request<'_>) -> Result<Response, CallError> {
    let target = state.gateway.targets.get(name).cloned();
    let Some(target) = target else {
        panic!(
            "asked callout `{name}`, which the configuration does not have: add it by `Gateway::callout`"
        );
    };
    assert!(
        state.gateway.grants.callout(name),
        "asked callout `{name}`, which it is not granted: add `callouts = [\"{name}\"]` to its `allow`"
    );
    let secret = secret_of(request).map(str::to_owned);
    if let Some(secret) = &secret {
        assert!(
            state.gateway.grants.secret(secret),
            "named secret `{secret}`, which it is not granted: add it to `secrets` in its `allow`"
        );
    }
    if state.phase != Phase::Request {
        return Err(CallError::NotHere);
    }
    if let Sharing::Keyed(key) = &request.share
        && !(1..=1024).contains(&key.len())
    {
        let why = "the key of `keyed` must have 1 to 1024 bytes";
        return Err(CallError::Invalid(why.to_owned()));
    }
    let key = key_of(name, request);
    let Some(exchange) = &mut state.exchange else {
        return Err(CallError::NotHere);
    };
    if let Some((_, answer)) = exchange.answers.iter().find(|(other, _)| *other == key) {
        return answer.clone();
    }
    if exchange.answers.len() >= MAX_CALLS {
        return Err(CallError::NotHere);
    }
    check(request)?;
    let headers = request.headers.iter();
    let answer = (target.0)(&Callout {
        method: request.method.to_owned(),
        path: request.path.to_owned(),
        headers: headers
            .map(|(name, value)| ((*name).to_owned(), value.to_vec()))
            .collect(),
        body: request.body.to_vec(),
        secret,
    });
    exchange.answers.push((key, answer));
    state.awaits = true;
    Err(CallError::NotYet)
}

fn secret_of<'a>(request: &Request<'a>) -> Option<&'a str> {
    match request.credential {
        None => None,
        Some(
            Credential::Bearer(secret)
            | Credential::Basic((_, secret))
            | Credential::FormField((_, secret)),
        ) => Some(secret),
    }
}

/// Tells the call from others: by its key, or by the whole request.
fn key_of(target: &str, request: &Request<'_>) -> CallKey {
    match &request.share {
        Sharing::Keyed(key) => format!("{target} {:?} {key:?}", request.credential).into_bytes(),
        Sharing::Alone | Sharing::Identical => {
            let Request {
                method,
                path,
                headers,
                body,
                credential,
                share: _,
            } = request;
            format!("{target} {method:?} {path:?} {headers:?} {body:?} {credential:?}").into_bytes()
        }
    }
}

/// The parts of a request that the gateway refuses to send.
fn check(request: &Request<'_>) -> Result<(), CallError> {
    let invalid = |why: &str| Err(CallError::Invalid(why.to_owned()));
    let is_method = http::Method::from_bytes(request.method.as_bytes()).is_ok();
    if !is_method || matches!(request.method, "CONNECT" | "TRACE") {
        return invalid("its method cannot be sent");
    }
    let is_path = request.path.is_empty() || request.path.starts_with(['/', '?']);
    let path = request.path.split('?').next().unwrap_or_default();
    let climbs = path.split('/').any(|part| matches!(part, "." | ".."));
    if !is_path || climbs || request.path.parse::<http::Uri>().is_err() && !request.path.is_empty()
    {
        return invalid("its path cannot be sent");
    }
    let is_own = |name: &str| is_reserved_field(name) || name.eq_ignore_ascii_case("host");
    let mut headers = request.headers.iter();
    let is_bad = headers.any(|(name, value)| {
        is_own(name) || !crate::is_field_name(name) || !crate::is_field_value(value)
    });
    if is_bad {
        return invalid("one of its fields cannot be sent");
    }
    Ok(())
}
