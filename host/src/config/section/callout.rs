//! `[callout.<name>]`: a server that filters may ask.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use http::Uri;
use windlass_config_derive::{FromTable, Word};

use crate::config::field::Parsed;
use crate::config::read::Table;
use crate::config::source::Span;
use crate::config::value::{Refused, url};

/// A server that filters may ask while they decide about a request, such as an authorizer or a
/// token introspection endpoint. A filter reaches only the servers in its `allow = { callouts =
/// ["<name>"] }`. Windlass does not follow redirects.
#[derive(Debug, Clone, PartialEq, Eq, FromTable)]
#[table(heading = "[callout.<name>]", check = check)]
#[hint("timeout_ms" => "it is called `timeout`, such as `\"500ms\"`")]
#[hint("max_body" => "it is `max_request` and `max_response`")]
#[hint("secret" => "a filter names the secret that a call needs, and is granted it: `allow = { secrets = [\"..\"] }`")]
pub struct Callout {
    #[key(with = Table::name)]
    pub(crate) name: Arc<str>,
    /// The URL of the server. A filter's call can add to the path.
    #[key(required = "https://auth.example/check", kind = URL, synonyms = "address uri endpoint")]
    pub url: Uri,
    /// Certificates in PEM, relative to this file. One of them must have signed the server's
    /// certificate.
    #[key(absent = "those of the system")]
    pub ca: Option<PathBuf>,
    /// Whether Windlass may ask another machine without TLS. Anyone on the way can then read the
    /// request and forge the response.
    #[key(default = false)]
    allow_http: bool,
    /// Whether the name in the URL may resolve to loopback, link-local and cloud metadata
    /// addresses. `localhost`, and an address that is written in the URL, are always allowed.
    #[key(default = false)]
    pub allow_local: bool,
    /// For a whole call: the queue, the connection, the request and the response.
    #[key(default = "5s", within = "10ms"..="1m")]
    pub timeout: Duration,
    /// The largest request body.
    #[key(default = "256KiB", within = "0B"..="16MiB")]
    pub max_request: u64,
    /// The largest response body.
    #[key(default = "256KiB", within = "0B"..="16MiB")]
    pub max_response: u64,
    /// The most concurrent calls. More wait in a queue.
    #[key(default = 100, within = 1..=10_000, synonyms = "concurrency")]
    pub max_concurrent: usize,
    /// The most calls in the queue. More fail at once.
    #[key(default = 1000, within = 0..=1_000_000)]
    pub max_waiting: usize,
    /// How the user and password of Basic credentials are written: `plain` as they are, `form`
    /// form-encoded, as authorization servers expect the credentials of their clients (RFC 6749,
    /// section 2.3.1).
    #[key(default = "plain")]
    pub basic: BasicForm,
    /// The table's name in the file.
    #[key(with = Table::span)]
    pub(crate) span: Span,
}

/// How the user and the password of Basic credentials are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Word)]
pub enum BasicForm {
    /// As they are (RFC 7617).
    Plain,
    /// As those of OAuth's clients (RFC 6749, section 2.3.1): both in the encoding of forms.
    Form,
}

const URL: Parsed<Uri> = Parsed::new("a URL such as `\"https://auth.example/check\"`", |text| {
    url::http(text)?.parse().map_err(|_| Refused::plain())
})
.matching("^https?://");

fn check(table: &mut Table<'_>, callout: &Callout) {
    let is_open = url::is_in_the_clear(&callout.url);
    if is_open && !callout.allow_http && table.is_sound("allow_http") {
        table
            .error_at(
                "url",
                "`url` is not asked by TLS: whoever is on the way answers in its place",
            )
            .help("begin it with `https://`, or add `allow_http = true` where the way is safe");
    }
    if callout.url.scheme_str() == Some("http") {
        table.idle(&["ca"], "without TLS");
    }
}
