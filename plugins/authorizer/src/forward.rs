//! Forward-auth: what is asked, and what becomes of the answer.

use serde::{Deserialize, Serialize};
use windlass_plugin_sdk::host::callout::{Request as Call, Response as Answered};
use windlass_plugin_sdk::prelude::*;
use windlass_plugin_sdk::{EditError, is_field_value};

use crate::answer::MAX_ANSWER;

/// Fields of a good answer that go upstream: those that are there, by their place in the list of names.
#[derive(Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Copied(Vec<(usize, Vec<u8>)>);

/// The question.
pub fn call(send: &[String], request: &Request) -> Call {
    let method = request.method();
    let base = request.attributes().text("api.base-path");
    // One resource has one name, however the client spells it: the authorizer's rules are about that.
    let uri = format!("{}{}", base.as_deref().unwrap_or_default(), request.path());
    let (scheme, authority) = (request.scheme(), request.authority());
    let url = format!("{scheme}://{authority}{uri}");
    let mut call = Call::new("GET", "")
        .header("x-forwarded-method", &method)
        .header("x-forwarded-proto", &scheme)
        .header("x-forwarded-host", &authority)
        .header("x-forwarded-uri", &uri)
        .header("x-original-method", &method)
        .header("x-original-uri", &uri)
        .header("x-original-url", url);
    if let Some(client) = request.attributes().text("client.ip") {
        call = call.header("x-forwarded-for", client);
    }
    for name in send {
        for value in request.header_all(name) {
            call = call.header(name.clone(), value);
        }
    }
    call
}

impl Copied {
    /// Of a good answer.
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

    /// Put them into the request, in the place of the client's own.
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

/// Another answer, as the client gets it. None: it is too large.
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
