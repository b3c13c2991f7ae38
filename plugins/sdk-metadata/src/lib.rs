//! `builtin:sdk-metadata`: serves the OpenAPI document of the gateway's APIs, and a manifest for SDKs.
//!
//! The served documents always describe the configuration of the current request, even after a reload. They contain no
//! setting of a filter and no address of an endpoint. The filter deliberately does not invent the responses of
//! endpoints: they are in the operator's own document, which it completes.

mod assemble;
mod path;
mod settings;
mod text;
mod yaml;

use std::cell::RefCell;
use std::rc::Rc;

use assemble::{Document, OpenApi};
use serde_json::Value;
use settings::{Checked, Settings};
use text::Text;
use windlass_plugin_sdk::host::crypto::{self, Hash};
use windlass_plugin_sdk::host::{api_description, documents};
use windlass_plugin_sdk::prelude::*;

struct Metadata {
    settings: Checked,
    /// The operator's document.
    document: Option<Document>,
    served: RefCell<Option<Rc<Served>>>,
}

/// The served documents of one configuration.
struct Served {
    /// Identifies the configuration.
    digest: Vec<u8>,
    openapi: Page,
    manifest: Page,
}

struct Page {
    body: String,
    etag: String,
}

impl Filter for Metadata {
    type Settings = Settings;

    const NAME: Option<&'static str> = Some("sdk-metadata");
    const SETTINGS_SCHEMA: Option<&'static str> = Some(include_str!("../settings.schema.json"));

    fn configure(settings: Settings) -> Result<(Self, Setup), Vec<Diagnostic>> {
        let settings = settings.check()?;
        let document = match &settings.document {
            None => None,
            Some(name) => Some(document(name).map_err(|complaint| vec![complaint])?),
        };
        if let Some(document) = &document {
            rehearse(document);
        }
        let filter = Self {
            settings,
            document,
            served: RefCell::default(),
        };
        Ok((filter, Setup::new()))
    }
}

/// Read the operator's document. An error in its content is shown at the line that names the file.
fn document(name: &str) -> Result<Document, Diagnostic> {
    let text = documents::read(name).ok_or_else(|| {
        let text = format!(
            "there is no document `{name}`: add `documents = {{ {name} = \"openapi.json\" }}` to the filter's table"
        );
        Diagnostic::new("/document", text)
    })?;
    let whole = read(&text).map_err(|error| Diagnostic::of_document(name, error))?;
    drop(text);
    Document::new(whole).ok_or_else(|| {
        let text = "is not OpenAPI 3: it has no `openapi` that begins with `3.`";
        Diagnostic::of_document(name, text)
    })
}

/// Parse a text as JSON if it begins like a JSON object, or else as YAML.
fn read(text: &[u8]) -> Result<Text, String> {
    if text.trim_ascii_start().starts_with(b"{") {
        let document = serde_json::from_slice(text);
        return document.map_err(|error| format!("is not JSON: {error}"));
    }
    let text = str::from_utf8(text).map_err(|_| "is neither JSON nor YAML: it is not UTF-8")?;
    yaml::read(text)
}

/// Allocates the memory that assembling and serving the document will need, and frees it again. If that does not fit
/// into `limits.memory`, the configuration is refused at once, instead of every request for the document later.
fn rehearse(document: &Document) {
    // The members, the whole text, and the copy in a response.
    let most = isize::MAX.unsigned_abs();
    let room: Vec<u8> =
        Vec::with_capacity(document.length_when_complete().saturating_mul(3).min(most));
    core::hint::black_box(room);
}

impl OnRequest for Metadata {
    fn on_request(&self, request: &mut Request) -> Result<RequestVerdict, Failure> {
        if !matches!(request.method().as_str(), "GET" | "HEAD") {
            return Ok(RequestVerdict::NEXT);
        }
        let target = request.path();
        let path = target.split('?').next().unwrap_or_default();
        let is_manifest = self.settings.manifest.as_deref() == Some(path);
        if !is_manifest && path != self.settings.path {
            return Ok(RequestVerdict::NEXT);
        }
        let served = self.served()?;
        let page = match is_manifest {
            true => &served.manifest,
            false => &served.openapi,
        };
        let known = request.header("if-none-match");
        if known.is_some_and(|known| names(&known, &page.etag)) {
            let unchanged = LocalResponse::new(304, "not_modified");
            return Ok(unchanged
                .header("etag", page.etag.as_str())
                .header("cache-control", "no-cache")
                .into());
        }
        let answer = LocalResponse::new(200, "sdk_metadata")
            .header("content-type", "application/json")
            .header("etag", page.etag.as_str())
            // Clients may cache it, but must revalidate it each time, because a reload may change it.
            .header("cache-control", "no-cache")
            .body(page.body.as_str());
        Ok(answer.into())
    }
}

impl Metadata {
    /// The documents of this request's configuration, assembled once in each instance.
    fn served(&self) -> Result<Rc<Served>, Failure> {
        let digest = api_description::digest();
        let mut served = self.served.borrow_mut();
        if let Some(served) = served.as_ref().filter(|served| served.digest == digest) {
            return Ok(Rc::clone(served));
        }
        let about: Value = serde_json::from_str(&api_description::read())
            .map_err(|error| Failure::new("api_description", error.to_string()))?;
        // Free the documents of an earlier configuration before making the new ones.
        *served = None;
        let openapi = OpenApi::new(&about, self.document.as_ref(), &self.settings);
        let manifest = openapi.manifest(&about, &self.settings);
        drop(about);
        let made = Rc::new(Served {
            digest,
            openapi: page(openapi.text()),
            manifest: page(manifest.to_string()),
        });
        *served = Some(Rc::clone(&made));
        Ok(made)
    }
}

fn page(body: String) -> Page {
    let digest = crypto::digest(Hash::Sha256, body.as_bytes());
    let digits: String = digest
        .iter()
        .take(16)
        .map(|byte| format!("{byte:02x}"))
        .collect();
    Page {
        etag: format!("\"{digits}\""),
        body,
    }
}

/// Whether an `If-None-Match` contains this entity tag (RFC 9110, section 13.1.2), by weak comparison.
fn names(field: &[u8], etag: &str) -> bool {
    let field = String::from_utf8_lossy(field);
    let mut tags = field.split(',').map(str::trim);
    tags.any(|tag| tag == "*" || tag.strip_prefix("W/").unwrap_or(tag) == etag)
}

windlass_plugin_sdk::export!(Metadata: request);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tag_is_compared_weakly_in_a_list() {
        for known in ["\"a\"", "W/\"a\"", "\"b\", \"a\"", "*"] {
            assert!(names(known.as_bytes(), "\"a\""), "{known}");
        }
        for other in ["", "\"b\"", "a", "W/\"b\""] {
            assert!(!names(other.as_bytes(), "\"a\""), "{other}");
        }
    }
}
