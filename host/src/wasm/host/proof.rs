//! The proof of a client's key (DPoP, RFC 9449), checked against the exchange: for `windlass:jwt/tokens`.

use http::Uri;
use http::header::HOST;
use wasmtime::StoreContextMut;
use wasmtime::component::{ComponentType, Lift, WasmStr};

use super::functions::{HostError, HostResult};

use crate::exchange::Exchange;
use crate::model::word::Word as _;
use crate::route::path::{normalize, split_query};
use crate::runtime::clock::Timestamp;
use crate::tokens::ProofUse;
use crate::verifier::proof::{self, ProofDemands, ProofError};
use crate::wasm::bindings::tokens::ProofError as WitProofError;
use crate::wasm::recorder::{CallText, Guest, Shown};
use crate::wasm::state::InstanceState;

/// The longest time that a proof may be used for. Milliseconds.
const MAX_AGE_MS: u64 = 60 * 60 * 1000;

/// `proof`, left where the guest put it.
#[derive(ComponentType, Lift)]
#[component(record)]
pub(super) struct ProofArgument {
    value: WasmStr,
    origin: Option<WasmStr>,
    #[component(name = "max-age-ms")]
    max_age_ms: u64,
}

impl Shown for ProofArgument {
    fn show(&self, _: Guest<'_, '_>, text: &mut CallText) {
        text.word("(a proof)");
    }
}

/// The outcome of a check; an error carries its word for the log.
pub(super) type Proven = HostResult<(), (&'static str, WitProofError)>;

/// Check a proof for a token that is bound to the key with this thumbprint.
pub(super) fn check(
    store: &mut StoreContextMut<'_, InstanceState>,
    argument: &ProofArgument,
    token: &str,
    thumbprint: &str,
) -> Proven {
    let value = argument.value.to_str(&*store)?.into_owned();
    if value.is_empty() {
        return Err(rejected(ProofError::Missing));
    }
    let origin = match &argument.origin {
        Some(origin) => Some(origin.to_str(&*store)?.into_owned()),
        None => None,
    };
    let state = store.data_mut();
    let (Some(services), Some(exchange)) = (&state.services, &mut state.exchange) else {
        return Err(rejected(ProofError::Missing));
    };
    let now = Timestamp::coarse().unix_seconds();
    let checked = {
        let demands = ProofDemands {
            method: exchange.request.method.as_str(),
            is_url: &|url| is_url_of(url, origin.as_deref(), exchange),
            token,
            thumbprint,
            max_age: std::time::Duration::from_millis(argument.max_age_ms.min(MAX_AGE_MS))
                .as_secs_f64(),
        };
        proof::check(&value, &demands, now).map_err(rejected)?
    };
    // A phase that ran before in this exchange, or another filter of the chain, used it for the same request.
    let account = exchange.account.as_deref();
    if account.is_some_and(|account| account.proof == Some(checked.id)) {
        return Ok(());
    }
    let used = &services.verifiers.used_proofs;
    match used.use_once(checked.id, thumbprint, checked.ends, now) {
        ProofUse::First => {
            exchange.account.get_or_insert_default().proof = Some(checked.id);
            Ok(())
        }
        ProofUse::Again => Err(rejected(ProofError::Replayed)),
        ProofUse::NoRoom => {
            let word = proof::NO_ROOM;
            Err(HostError::Refused((word, WitProofError::NoRoom)))
        }
    }
}

fn rejected(error: ProofError) -> HostError<(&'static str, WitProofError)> {
    let word = error.word();
    HostError::Refused((word, WitProofError::Rejected(word.to_owned())))
}

/// Whether a proof's `htu` is the URL that the client asked for, the base path of an API included: compared after the path
/// rule, letters of scheme and host without case, a default port as none (RFC 9449, section 4.3; RFC 3986, section 6.2).
/// Query and fragment do not count.
fn is_url_of(url: &str, origin: Option<&str>, exchange: &Exchange) -> bool {
    let url = url.split_once('#').map_or(url, |(url, _)| url);
    let Some((scheme, rest)) = url.split_once("://") else {
        return false;
    };
    let end = rest.find(['/', '?']).unwrap_or(rest.len());
    let (authority, target) = rest.split_at(end);
    let target = if target.starts_with('/') {
        split_query(target).0
    } else {
        "/"
    };
    let is_path = |target: &str| match (
        normalize(target),
        normalize(exchange.original_target.path()),
    ) {
        (Ok(claimed), Ok(own)) => claimed == own,
        (Err(_), _) | (_, Err(_)) => false,
    };
    let claimed = origin_of(scheme, authority);
    let own = match origin {
        Some(origin) => origin
            .split_once("://")
            .and_then(|(scheme, authority)| origin_of(scheme, authority)),
        None => {
            let scheme = exchange.client.scheme.as_str();
            let host = exchange.request.headers.get(HOST);
            host.and_then(|host| host.to_str().ok())
                .and_then(|host| origin_of(scheme, host))
        }
    };
    claimed.is_some() && claimed == own && is_path(target)
}

/// Scheme, host and port, as they are compared.
fn origin_of(scheme: &str, authority: &str) -> Option<(String, String, u16)> {
    let scheme = scheme.to_ascii_lowercase();
    let default = match &*scheme {
        "http" => 80,
        "https" => 443,
        _ => return None,
    };
    // With a path: an authority alone is read as another form.
    let uri: Uri = format!("{scheme}://{authority}/").parse().ok()?;
    let authority = uri.authority()?;
    if authority.as_str().contains('@') {
        return None;
    }
    let port = authority.port_u16().unwrap_or(default);
    Some((scheme, authority.host().to_ascii_lowercase(), port))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rfc_3986_origins_are_compared_without_case_and_default_port() {
        let of = |scheme, authority| origin_of(scheme, authority);
        assert_eq!(of("HTTPS", "Api.Example"), of("https", "api.example:443"));
        assert_eq!(of("http", "[::1]:80"), of("http", "[::1]"));
        assert_ne!(of("https", "api.example"), of("http", "api.example"));
        assert_ne!(of("https", "api.example:8443"), of("https", "api.example"));
        assert_eq!(of("https", "me@api.example"), None);
        assert_eq!(of("ftp", "api.example"), None);
        assert_eq!(of("https", ""), None);
    }
}
