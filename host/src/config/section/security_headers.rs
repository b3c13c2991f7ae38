//! `security_headers` and `server_header` of `[server]`: fields of every response.

use std::time::Duration;

use http::HeaderValue;
use windlass_config_derive::{FromTable, Word};

use crate::config::field::{FromValue, Nested, Parsed, Switch, text_values};
use crate::config::read::Table;
use crate::config::source::Span;
use crate::config::value::Refused;
use crate::config::value::message::field_value;

/// Fields that tell browsers to be careful. Every response has them, also errors and redirects. A field that the
/// endpoint or a filter has set stays as it is.
#[derive(Debug, Clone, PartialEq, Eq, FromTable)]
#[table(heading = "security_headers = { .. }", short = "hsts", check = check_preload)]
#[hint("max_age strict_transport_security" => "it is called `hsts`: `hsts = \"8760h\"`")]
pub(crate) struct SecurityHeaders {
    /// How long browsers use only HTTPS for this host (`strict-transport-security`, RFC 6797). Only responses over HTTPS
    /// have it, also behind one of `trusted_proxies` that ends TLS.
    #[key(default = "8760h", within = "0s"..="26280h")]
    pub(crate) hsts: Option<Duration>,
    /// Whether `hsts` includes all names below the host (`includeSubDomains`).
    #[key(default = false)]
    pub(crate) hsts_subdomains: bool,
    /// Whether browsers may put the host into the list that they ship (`preload`).
    #[key(default = false)]
    pub(crate) hsts_preload: bool,
    /// Whether browsers take `content-type` as it is (`x-content-type-options: nosniff`).
    #[key(default = true)]
    pub(crate) nosniff: bool,
    /// The pages that may show a response in a frame (`x-frame-options`, RFC 7034).
    #[key(default = "same-origin")]
    pub(crate) frames: Frames,
    /// How much of a page's address browsers send to others (`referrer-policy`).
    #[key(default = "strict-origin-when-cross-origin")]
    pub(crate) referrer: Referrer,
    /// The `content-security-policy`.
    #[key(absent = "none", kind = POLICY)]
    pub(crate) content_security_policy: Option<HeaderValue>,
    /// The `permissions-policy`.
    #[key(absent = "none", kind = POLICY)]
    pub(crate) permissions_policy: Option<HeaderValue>,
}

/// The pages that may show a response in a frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Word)]
#[hint("DENY none" => "write `\"deny\"`")]
#[hint("SAMEORIGIN sameorigin" => "write `\"same-origin\"`")]
pub(crate) enum Frames {
    /// Nobody.
    Deny,
    /// Pages of the same origin.
    SameOrigin,
    /// Everybody: no field.
    Any,
}

/// How much of a page's address browsers send to others (W3C Referrer Policy, section 3).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Word)]
#[expect(clippy::enum_variant_names, reason = "the words of the standard")]
pub(crate) enum Referrer {
    NoReferrer,
    SameOrigin,
    StrictOrigin,
    StrictOriginWhenCrossOrigin,
    /// The browser's own default: no field.
    Unset,
}

const POLICY: Parsed<HeaderValue> = Parsed::new("the value of a field", field_value);

impl SecurityHeaders {
    /// `security_headers = true`.
    fn usual(_: Span) -> Self {
        Self {
            hsts: Some(Duration::from_hours(8760)),
            hsts_subdomains: false,
            hsts_preload: false,
            nosniff: true,
            frames: Frames::SameOrigin,
            referrer: Referrer::StrictOriginWhenCrossOrigin,
            content_security_policy: None,
            permissions_policy: None,
        }
    }
}

impl FromValue for Option<SecurityHeaders> {
    type Kind = Switch<SecurityHeaders>;
    const KIND: Self::Kind = Switch {
        table: Nested::of::<SecurityHeaders>(),
        on: SecurityHeaders::usual,
    };
}

/// The list of browsers takes only hosts with a year and all names below (hstspreload.org).
fn check_preload(table: &mut Table<'_>, headers: &SecurityHeaders) {
    let long = headers
        .hsts
        .is_some_and(|age| age >= Duration::from_hours(8760));
    if headers.hsts_preload && !(long && headers.hsts_subdomains) {
        table
            .error_at(
                "hsts_preload",
                "`hsts_preload` needs `hsts` of at least `\"8760h\"`, and `hsts_subdomains`",
            )
            .help("add `hsts_subdomains = true`, or remove `hsts_preload`");
    }
    if headers.hsts.is_none() {
        table.idle(
            &["hsts_subdomains", "hsts_preload"],
            "with `hsts = \"none\"`",
        );
    }
}

/// The `server` field of responses.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum ServerHeader {
    /// That of the endpoint, if it sends one.
    Pass,
    /// None.
    Off,
    /// This text.
    Text(HeaderValue),
}

text_values! {
    ServerHeader: Parsed::new("`\"pass\"`, `\"off\"` or the value of a field", server_header);
}

fn server_header(text: &str) -> Result<ServerHeader, Refused> {
    match text {
        "pass" => Ok(ServerHeader::Pass),
        "off" => Ok(ServerHeader::Off),
        text => field_value(text).map(ServerHeader::Text),
    }
}
