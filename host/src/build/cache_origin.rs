//! The origin of a filter's cache: the callouts and the secrets that it is granted.
//!
//! A reload that changes one of them makes the filter anew, with an empty cache
//! ([`crate::filter_store::cache`]). Settings of a callout that do not change its answers, such as its
//! timeout, do not count.

use std::fs;

use crate::config::Config;
use crate::filter_store::cache::CacheOrigin;
use crate::filter_store::secrets::Secrets;
use crate::wasm::grants::Grants;

/// That of a filter with these grants.
pub(super) fn cache_origin(
    config: &Config,
    grants: &Grants,
    secrets: Option<&Secrets>,
) -> CacheOrigin {
    let mut parts: Vec<Vec<u8>> = Vec::new();
    let callouts = config.callouts.iter();
    for callout in callouts.filter(|callout| grants.callout(&callout.name)) {
        parts.push(callout.name.as_bytes().to_vec());
        parts.push(callout.url.to_string().into_bytes());
        parts.push(vec![u8::from(callout.allow_local)]);
        // A file that cannot be read is an error where TLS is set up.
        let ca = callout.ca.as_ref().and_then(|ca| fs::read(ca).ok());
        parts.push(ca.unwrap_or_default());
    }
    for name in &grants.secrets {
        if let Some(secret) = secrets.and_then(|secrets| secrets.find(name)) {
            parts.push(name.as_bytes().to_vec());
            parts.push(secret.key_digest().as_bytes().to_vec());
        }
    }
    CacheOrigin::of(parts.iter().map(Vec::as_slice))
}
