//! `[callout.<name>]`: a server that filters may ask.

use std::path::PathBuf;
use std::time::Duration;

use http::Uri;

use crate::config::field::{
    Choice, Field, Flag, Is, Optional, Parsed, Required, Section, Size, Time, Whole,
};
use crate::config::model::{BasicForm, Callout};
use crate::config::read::Table;
use crate::config::value::{Refused, name::line, url};

/// `[callout.<name>]`.
pub(super) static CALLOUT: Section = Section {
    heading: "[callout.<name>]",
    doc: "A server that filters ask while they decide about a request: an authorizer, or an endpoint of token introspection. Filters reach no other, and only those of their `allow = { callouts = [\"<name>\"] }`. Redirects are not followed.",
    fields: &[
        &URL,
        &CA,
        &ALLOW_HTTP,
        &ALLOW_LOCAL,
        &TIMEOUT,
        &MAX_REQUEST,
        &MAX_RESPONSE,
        &MAX_CONCURRENT,
        &MAX_WAITING,
        &BASIC,
    ],
    hints: &[
        ("address", "it is called `url`"),
        ("uri", "it is called `url`"),
        ("endpoint", "it is called `url`"),
        ("timeout_ms", "it is called `timeout`, such as `\"500ms\"`"),
        ("max_body", "it is `max_request` and `max_response`"),
        ("concurrency", "it is called `max_concurrent`"),
        (
            "secret",
            "a filter names the secret that a call needs, and is granted it: `allow = { secrets = [\"..\"] }`",
        ),
    ],
    short: None,
    private: false,
};

static URL: Field<Parsed<String>, Required> = Field::new(
    "url",
    Parsed {
        words: "a URL such as `\"https://auth.example/check\"`",
        pattern: "^https?://",
        private: false,
        parse: |text, _| url::http(text),
    },
    Required("\"https://auth.example/check\""),
    "Where it is. A filter's call can add to its path.",
);

static CA: Field<Parsed<PathBuf>, Optional> = Field::new(
    "ca",
    Parsed {
        words: "a file",
        pattern: "",
        private: false,
        parse: |text, folder| {
            if text.starts_with("-----BEGIN") {
                let refused = Refused::because("is no path").private();
                return Err(refused.help("write the name of the file that holds it"));
            }
            Ok(folder.join(line(text)?))
        },
    },
    Optional("whom the system trusts"),
    "Certificates in PEM: one of them must have signed the server's; relative to this file.",
);

static ALLOW_HTTP: Field<Flag, Is<bool>> = Field::new(
    "allow_http",
    Flag,
    Is(false),
    "Ask another machine without TLS: whoever is on the way reads what is sent, and answers instead.",
);

static ALLOW_LOCAL: Field<Flag, Is<bool>> = Field::new(
    "allow_local",
    Flag,
    Is(false),
    "Let the URL's name lead to loopback, link-local and cloud metadata addresses. An address that the URL names literally, and `localhost`, need no leave.",
);

static TIMEOUT: Field<Time, Is<Duration>> = Field::new(
    "timeout",
    Time {
        least: Duration::from_millis(10),
        most: Duration::from_mins(1),
    },
    Is(Duration::from_secs(5)),
    "For a whole call: the wait for a free place, the connection, the request and the answer.",
);

static MAX_REQUEST: Field<Size<u64>, Is<u64>> = Field::new(
    "max_request",
    Size {
        least: 0,
        most: 16 << 20,
        of: Some,
    },
    Is(256 << 10),
    "The largest body of a request.",
);

static MAX_RESPONSE: Field<Size<u64>, Is<u64>> = Field::new(
    "max_response",
    Size {
        least: 0,
        most: 16 << 20,
        of: Some,
    },
    Is(256 << 10),
    "The largest body of an answer.",
);

static MAX_CONCURRENT: Field<Whole<usize>, Is<usize>> = Field::new(
    "max_concurrent",
    Whole {
        least: 1,
        most: 10_000,
        of: |number| usize::try_from(number).ok(),
    },
    Is(100),
    "How many calls may be under way at once; more wait.",
);

static MAX_WAITING: Field<Whole<usize>, Is<usize>> = Field::new(
    "max_waiting",
    Whole {
        least: 0,
        most: 1_000_000,
        of: |number| usize::try_from(number).ok(),
    },
    Is(1000),
    "How many calls may wait for a free place; more fail at once.",
);

static BASIC: Field<Choice<BasicForm>, Is<BasicForm>> = Field::new(
    "basic",
    Choice {
        options: &[("plain", BasicForm::Plain), ("form", BasicForm::Form)],
        hints: &[],
    },
    Is(BasicForm::Plain),
    "How the user and the password of Basic credentials are written: `plain` as they are, `form` in the encoding of forms, as authorization servers read the credentials of their clients (RFC 6749, section 2.3.1).",
);

/// Reads one `[callout.<name>]`.
pub(super) fn callout(table: &mut Table<'_>) -> Option<Callout> {
    let text = table.take(&URL);
    let ca = table.take(&CA);
    let allow_http = table.take(&ALLOW_HTTP);
    let allow_local = table.take(&ALLOW_LOCAL);
    let is_open = text.as_deref().is_some_and(url::is_in_the_clear);
    if is_open && !allow_http && table.is_sound(ALLOW_HTTP.key) {
        let span = table.span_of(URL.key);
        table
            .error(
                span,
                "`url` is not asked by TLS: whoever is on the way answers in its place",
            )
            .help("begin it with `https://`, or add `allow_http = true` where the way is safe");
    }
    let url: Option<Uri> = text.and_then(|text| text.parse().ok());
    if url
        .as_ref()
        .is_some_and(|url| url.scheme_str() == Some("http"))
    {
        table.idle(&[CA.key], "without TLS");
    }
    let timeout = table.take(&TIMEOUT);
    let max_request = table.take(&MAX_REQUEST);
    let max_response = table.take(&MAX_RESPONSE);
    let max_concurrent = table.take(&MAX_CONCURRENT);
    let max_waiting = table.take(&MAX_WAITING);
    let basic = table.take(&BASIC);
    Some(Callout {
        name: table.name(),
        url: url?,
        ca,
        timeout,
        max_request,
        max_response,
        max_concurrent,
        max_waiting,
        allow_local,
        basic,
        span: table.span(),
    })
}
