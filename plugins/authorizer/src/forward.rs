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
    let prefix = request.header_text("x-forwarded-prefix");
    let uri = uri(
        &request.original_path(),
        request.path(),
        prefix.as_deref().unwrap_or_default(),
    );
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

/// The path as the client sent it, where that is the path that goes on, or the gateway took the base path of an API off it and
/// nobody changed it since; else the path that goes on. `prefix`: what was taken off, here and by proxies before. So nobody is
/// asked about another path than the one that goes on.
fn uri(original: &str, path: String, prefix: &str) -> String {
    let is_taken_off =
        |base: &str| base.is_empty() || base.starts_with('/') && prefix.ends_with(base);
    match original.strip_suffix(&path).is_some_and(is_taken_off) {
        true => original.to_owned(),
        false => path,
    }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_path_that_is_asked_about_is_the_one_that_goes_on() {
        for (original, path, prefix, asked) in [
            ("/a?x=1", "/a?x=1", "", "/a?x=1"),
            ("/shop/v1/a", "/a", "/shop/v1", "/shop/v1/a"),
            ("/shop/v1/a", "/a", "/proxy/shop/v1", "/shop/v1/a"),
            ("/shop/v1/a", "/a", "", "/a"),
            // Something took `/v1` off.
            ("/shop/v1/a", "/a", "/shop", "/a"),
            ("/shop/v1/a", "/v1/a", "/shop", "/shop/v1/a"),
            ("/b/../a", "/a", "", "/a"),
            ("/shop/%2e%2e/a", "/a", "/shop", "/a"),
            ("//a", "/a", "", "/a"),
            ("/shop;x/a", "/a", "/shop", "/a"),
            ("/%61", "/a", "", "/a"),
            ("/a", "/rewritten", "", "/rewritten"),
            ("/x?y=/a", "/a", "", "/a"),
        ] {
            let told = uri(original, path.to_owned(), prefix);
            assert_eq!(told, asked, "{original} {path} {prefix}");
        }
    }
}
