//! Forward-auth: the request to the authorizer, and the use of its response.

use serde::{Deserialize, Serialize};
use windlass_plugin_sdk::host::callout::{Request as Call, Response as Answered};
use windlass_plugin_sdk::prelude::*;
use windlass_plugin_sdk::{EditError, is_field_value};

use crate::answer::MAX_ANSWER;

/// The fields of an accepting response that go upstream, each with the index of its name in the list of names.
#[derive(Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Copied(Vec<(usize, Vec<u8>)>);

/// The limits of the gateway for one call: the number of fields, and their bytes.
const MAX_FIELDS: usize = 1024;
const MAX_HEAD: usize = 64 * 1024;

/// The request to the authorizer. `None` if the client's fields exceed the limits.
pub fn call(send: &[String], request: &Request) -> Option<Call> {
    let method = request.method();
    let base = request.attributes().text("api.base-path");
    // This is the normalized path, so the authorizer's rules need not handle other spellings.
    let uri = format!("{}{}", base.as_deref().unwrap_or_default(), request.path());
    let (scheme, authority) = (request.scheme(), request.authority());
    let url = format!("{scheme}://{authority}{uri}");
    let mut fields = vec![
        ("x-forwarded-method", method.clone().into_bytes()),
        ("x-forwarded-proto", scheme.into_bytes()),
        ("x-forwarded-host", authority.into_bytes()),
        ("x-forwarded-uri", uri.clone().into_bytes()),
        ("x-original-method", method.into_bytes()),
        ("x-original-uri", uri.into_bytes()),
        ("x-original-url", url.into_bytes()),
    ];
    if let Some(client) = request.attributes().text("client.ip") {
        fields.push(("x-forwarded-for", client.into_bytes()));
    }
    for name in send {
        let values = request.header_all(name);
        fields.extend(values.into_iter().map(|value| (name.as_str(), value)));
    }
    let bytes: usize = fields
        .iter()
        .map(|(name, value)| name.len() + value.len())
        .sum();
    if fields.len() > MAX_FIELDS || bytes > MAX_HEAD {
        return None;
    }
    let call = Call::new("GET", "");
    let fields = fields.into_iter();
    Some(fields.fold(call, |call, (name, value)| call.header(name, value)))
}

impl Copied {
    /// Take the fields from an accepting response.
    pub fn of(answer: &Answered, names: &[String]) -> Self {
        let mut copied = Vec::new();
        for (place, name) in names.iter().enumerate() {
            for (known, value) in &answer.headers {
                if known.eq_ignore_ascii_case(name) {
                    copied.push((place, value.clone()));
                }
            }
        }
        Self(copied)
    }

    /// Put the fields into the request, in place of the client's.
    pub fn put(&self, names: &[String], request: &mut Request) -> Result<(), EditError> {
        for (place, name) in names.iter().enumerate() {
            request.remove_header(name)?;
            for (of, value) in &self.0 {
                if *of == place {
                    request.append_header(name, value)?;
                }
            }
        }
        Ok(())
    }
}

/// A refusing response, as the client gets it. `None` if it is too large.
pub fn pass_back(answer: Answered, names: &[String]) -> Option<LocalResponse> {
    if answer.body.len() > MAX_ANSWER {
        return None;
    }
    let mut response = LocalResponse::new(answer.status, "forward_refused");
    for (name, value) in answer.headers {
        let is_named = names.iter().any(|one| one.eq_ignore_ascii_case(&name));
        if is_named && is_field_value(&value) {
            response = response.header(name, value);
        }
    }
    Some(response.body(answer.body))
}
