//! `windlass:callout/calls`: requests of a filter to the servers of its configuration.
//!
//! A guest never waits. Its first call begins the request and ends the phase; when the answer is there the phase runs
//! again, and the same call finds the answer with the exchange ([`CalloutAnswers`](crate::exchange::CalloutAnswers)).

use std::sync::Arc;

use http::HeaderName;
use wasmtime::{Result, bail};

use super::HostFunctions;
use super::functions::{HostError, HostResult, answer};

use crate::callout::{
    self, CalloutAnswer, CalloutError, CalloutRequest, CalloutTarget, RequestDigest,
};
use crate::filter_store::secrets::{SecretValue, Secrets};
use crate::wasm::bindings::calls::{CallError, Credential, Request, Response, Sharing};
use crate::wasm::failure::CallFailure;
use crate::wasm::reserved_fields::is_reserved;
use crate::wasm::state::{InstanceState, Phase};

/// The most different requests of one phase.
pub(crate) const MAX_CALLS: usize = 8;

/// The largest key of calls that share an answer. Bytes.
const MAX_SHARE_KEY: usize = 1024;

pub(super) fn link(mut functions: HostFunctions<'_>) -> Result<()> {
    functions.add_in_phase("call", |state, (target, request): (String, Request)| {
        answer(state.call_server(&target, request))
    })
}

impl InstanceState {
    fn call_server(&mut self, target: &str, request: Request) -> HostResult<Response, CallError> {
        let target = self.callout(target)?;
        let secrets = self.named_secrets(request.credential.as_ref())?;
        if self.phase != Phase::Request {
            return Err(HostError::Refused(CallError::NotHere));
        }
        if let Sharing::Keyed(key) = &request.share
            && !(1..=MAX_SHARE_KEY).contains(&key.len())
        {
            let why = format!("the key of `keyed` must have 1 to {MAX_SHARE_KEY} bytes");
            return Err(HostError::Refused(CallError::Invalid(why)));
        }
        let digest = digest(&target, &self.name, &request);
        let Some(exchange) = &mut self.exchange else {
            return Err(HostError::Refused(CallError::NotHere));
        };
        let answers = exchange.callouts.get_or_insert_default();
        let pending = match answers.iter().find(|(other, _)| *other == digest) {
            Some((_, pending)) => Arc::clone(pending),
            // After a wait that came to its end.
            None if !self.may_rerun => return Err(HostError::Refused(CallError::Timeout)),
            None if answers.len() >= MAX_CALLS => {
                return Err(HostError::Refused(CallError::NotHere));
            }
            None => {
                let share = !matches!(request.share, Sharing::Alone);
                let made = make(&target, request, secrets.as_deref());
                let made = made
                    .map_err(|error| HostError::Refused(CallError::Invalid(error.to_string())))?;
                let pending = target.call(made, digest, share);
                answers.push((digest, Arc::clone(&pending)));
                pending
            }
        };
        let waiting = pending.wait().map_err(|error| {
            target.count_refused(&error);
            HostError::Refused(CallError::from(&error))
        })?;
        match (waiting, pending.outcome()) {
            (Some(waiting), _) if self.may_rerun => {
                self.awaited = Some(Box::new(CallFailure::Callout(waiting)));
                Err(HostError::Refused(CallError::NotYet))
            }
            (None, Some(Ok(answer))) => Ok(response(answer)),
            (None, Some(Err(error))) => Err(HostError::Refused(error.into())),
            (Some(_), _) | (None, None) => Err(HostError::Refused(CallError::Timeout)),
        }
    }

    /// The target of this name, where it is granted.
    fn callout(&self, name: &str) -> Result<Arc<CalloutTarget>> {
        let found = self
            .services
            .as_ref()
            .and_then(|services| services.callouts.find(name));
        match found {
            Some(target) if self.grants.callout(name) => Ok(Arc::clone(target)),
            Some(_) => bail!(
                "asked callout `{name}`, which it is not granted: add `callouts = [\"{name}\"]` to its `allow`"
            ),
            None => bail!(
                "asked callout `{}`, which the configuration does not have: add `[callout.<name>]`",
                name.escape_debug()
            ),
        }
    }

    /// The secrets, if the credential's is granted.
    fn named_secrets(&self, credential: Option<&Credential>) -> Result<Option<Arc<Secrets>>> {
        let Some(credential) = credential else {
            return Ok(None);
        };
        let (Credential::Bearer(name)
        | Credential::Basic((_, name))
        | Credential::FormField((_, name))) = credential;
        if !self.grants.secret(name) {
            bail!(
                "named secret `{}`, which it is not granted: add it to `secrets` in its `allow`",
                name.escape_debug()
            );
        }
        Ok(self
            .services
            .as_ref()
            .map(|services| Arc::clone(&services.secrets)))
    }
}

/// Tells the call from others: by its key, which is the filter's own, or by the whole request.
fn digest(target: &CalloutTarget, filter: &str, request: &Request) -> RequestDigest {
    let mut parts: Vec<&[u8]> = vec![target.settings.name.as_bytes()];
    match &request.share {
        Sharing::Keyed(key) => parts.extend([b"keyed", filter.as_bytes(), key]),
        Sharing::Alone | Sharing::Identical => parts.extend([
            b"request",
            request.method.as_bytes(),
            request.path.as_bytes(),
            &request.body,
        ]),
    }
    match &request.credential {
        None => {}
        Some(Credential::Bearer(secret)) => parts.extend([&b"bearer"[..], secret.as_bytes()]),
        Some(Credential::Basic((user, secret))) => {
            parts.extend([b"basic", user.as_bytes(), secret.as_bytes()]);
        }
        Some(Credential::FormField((field, secret))) => {
            parts.extend([b"form", field.as_bytes(), secret.as_bytes()]);
        }
    }
    if let Sharing::Alone | Sharing::Identical = request.share {
        // The credential's parts cannot be taken for a field's: there is always this between.
        parts.push(b"fields");
        for (name, value) in &request.headers {
            parts.extend([name.as_bytes(), value]);
        }
    }
    RequestDigest::of(parts)
}

fn make(
    target: &CalloutTarget,
    request: Request,
    secrets: Option<&Secrets>,
) -> std::result::Result<CalloutRequest, callout::CalloutRequestError> {
    let find = |name: &str| -> std::result::Result<&SecretValue, _> {
        let secret = secrets.and_then(|secrets| secrets.find(name));
        secret.ok_or(callout::CalloutRequestError::Secret)
    };
    let credential = match &request.credential {
        None => None,
        Some(Credential::Bearer(secret)) => Some(callout::Credential::Bearer(find(secret)?)),
        Some(Credential::Basic((user, secret))) => {
            Some(callout::Credential::Basic(user, find(secret)?))
        }
        Some(Credential::FormField((field, secret))) => {
            Some(callout::Credential::FormField(field, find(secret)?))
        }
    };
    let fields = request.headers.iter();
    let is_ours = |(name, _): &(String, Vec<u8>)| {
        let name = HeaderName::from_bytes(name.as_bytes());
        name.is_ok_and(|name| is_reserved(&name))
    };
    if request.headers.iter().any(is_ours) {
        return Err(callout::CalloutRequestError::Field);
    }
    CalloutRequest::new(
        &target.settings,
        &request.method,
        &request.path,
        fields.map(|(name, value)| (name.as_str(), value.as_slice())),
        request.body,
        credential,
    )
}

fn response(answer: &CalloutAnswer) -> Response {
    let headers = answer.headers.iter();
    Response {
        status: answer.status.as_u16(),
        headers: headers
            .map(|(name, value)| (name.as_str().to_owned(), value.as_bytes().to_vec()))
            .collect(),
        body: answer.body.to_vec(),
    }
}

impl From<&CalloutError> for CallError {
    fn from(error: &CalloutError) -> Self {
        match error {
            CalloutError::Busy => Self::Busy,
            CalloutError::Timeout => Self::Timeout,
            CalloutError::Unreachable(_) => Self::Unreachable,
            CalloutError::TooLarge => Self::TooLarge,
        }
    }
}
