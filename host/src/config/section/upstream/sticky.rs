//! `sticky` of an upstream: how clients are kept on their endpoint.

use std::time::Duration;

use http::HeaderName;
use windlass_config_derive::{FromTable, Word};

use crate::config::field::{Parsed, SecretName};
use crate::config::read::Table;
use crate::config::source::Span;
use crate::config::value::balance::{cookie_domain, cookie_name, cookie_path, sticky_field};

/// Keeps a client on its endpoint by a signed cookie, or by a signed header field that the client
/// repeats. It survives reloads and restarts, and works on every gateway with the same secret.
#[derive(Debug, Clone, PartialEq, Eq, FromTable)]
#[table(heading = "sticky = { .. }", short = "cookie", private, keys = only_cookies, check = attributes)]
#[hint("true" => "write how: `{ cookie = \"<name>\", secret = \"<name of a [secret.x]>\" }`")]
#[hint("false" => "leave it out")]
#[hint("key" => "it is called `secret`: the name of a `[secret.<name>]`")]
#[hint("httponly http_only" => "the cookie always has `HttpOnly`")]
#[hint("partitioned" => "the cookie never has `Partitioned`")]
#[hint("renew" => "it is always renewed with use: `duration` counts from the last request")]
pub(crate) struct Sticky {
    /// How a client says where it belongs.
    #[key(flatten = StickyKeys)]
    pub(crate) by: StickyBy,
    /// The `[secret.<name>]` that signs the cookie or field.
    #[key(required = "<name of a [secret.x]>", kind = SecretName)]
    pub(crate) secret: usize,
    /// How long a client stays after its last request. Each response renews it, at most once a
    /// second.
    #[key(default = "1h", within = "1s"..="168h", synonyms = "ttl max_age expires")]
    pub(crate) duration: Duration,
    /// How the cookie is set, where it is one.
    #[key(flatten)]
    pub(crate) cookie: Cookie,
    /// The rule for clients whose endpoint drains or has weight 0: `move` sends them to another;
    /// `stay` keeps them, on a draining endpoint until the upstream's `drain_timeout` ends.
    #[key(default = "move", synonyms = "drain")]
    pub(crate) on_drain: OnDrain,
    /// The table in the file.
    #[key(with = Table::span)]
    pub(crate) span: Span,
}

#[derive(FromTable)]
#[table(into = StickyBy, build = by)]
struct StickyKeys {
    /// The name of the cookie. The cookie always has `HttpOnly`.
    #[key(absent = "no cookie", kind = COOKIE, synonyms = "name")]
    cookie: Option<String>,
    /// The header field, for clients without cookies: Windlass sends it in the response, and the
    /// client repeats it.
    #[key(absent = "no field", kind = HEADER)]
    header: Option<HeaderName>,
}

/// How a client says where it belongs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum StickyBy {
    Cookie(String),
    /// By this field, of the request as of the response.
    Header(HeaderName),
}

/// The attributes of a cookie.
#[derive(Debug, Clone, PartialEq, Eq, FromTable)]
pub(crate) struct Cookie {
    /// Whether browsers send the cookie over TLS only.
    #[key(default = true)]
    pub(crate) secure: bool,
    /// Which requests from other sites carry the cookie (`SameSite`): followed links, none, or all.
    #[key(default = "lax", synonyms = "samesite sameSite SameSite")]
    pub(crate) same_site: SameSite,
    /// The domain that gets the cookie, including all names below it (`Domain`).
    #[key(absent = "the host that set it", kind = DOMAIN)]
    pub(crate) domain: Option<String>,
    /// The path that gets the cookie, including all paths below it (`Path`), as clients see it.
    #[key(default = "/", kind = PATH)]
    pub(crate) path: String,
}

/// Which requests from other sites a cookie goes with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Word)]
#[hint("Lax" => "write `\"lax\"`")]
#[hint("Strict" => "write `\"strict\"`")]
#[hint("None" => "write `\"none\"`")]
pub(crate) enum SameSite {
    /// Links that are followed.
    Lax,
    /// None.
    Strict,
    /// All.
    None,
}

/// The rule for a client whose endpoint drains or has weight 0.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Word)]
pub(crate) enum OnDrain {
    /// It moves to another endpoint.
    Move,
    Stay,
}

const COOKIE: Parsed<String> = Parsed::new("the name of a cookie", cookie_name);

const HEADER: Parsed<HeaderName> = Parsed::new("the name of a field", sticky_field);

const DOMAIN: Parsed<String> = Parsed::new("a domain such as `\"example.com\"`", cookie_domain);

const PATH: Parsed<String> = Parsed::new("a path such as `\"/shop\"`", cookie_path).matching("^/");

/// Warns of what says how a cookie is set, where there is none.
fn only_cookies(table: &mut Table<'_>) {
    if table.has("header") && !table.has("cookie") {
        let keys = ["secure", "same_site", "domain", "path"];
        table.idle(&keys, "without `cookie`");
    }
}

/// Reports attributes with which browsers drop a cookie (RFC 6265bis section 5.7).
fn attributes(table: &mut Table<'_>, sticky: &Sticky) {
    let cookie = &sticky.cookie;
    let name = match &sticky.by {
        StickyBy::Cookie(name) => name.as_str(),
        StickyBy::Header(_) => "",
    };
    let is_host = name.starts_with("__Host-");
    if !cookie.secure && (is_host || name.starts_with("__Secure-")) {
        let message = "`sticky.secure` is off, and browsers drop a cookie of this name without it";
        table
            .warning_at("secure", message)
            .help("leave it out, or name the cookie without `__Host-` and `__Secure-`");
    }
    if !cookie.secure && cookie.same_site == SameSite::None && table.is_sound("secure") {
        let message = "`sticky.same_site = \"none\"` needs `Secure`: browsers drop the cookie with `secure = false`";
        table
            .error_at("same_site", message)
            .help("leave `secure` out, or write `same_site = \"lax\"`");
    }
    if is_host && table.has("domain") {
        let message = "`sticky.domain` is set, and browsers drop a cookie with it whose name begins with `__Host-`";
        table
            .error_at("domain", message)
            .help("leave it out, or name the cookie without `__Host-`");
    }
    if is_host && table.is_sound("path") && cookie.path != "/" {
        let message = "`sticky.path` is not `/`, and browsers drop a cookie with it whose name begins with `__Host-`";
        table
            .error_at("path", message)
            .help("leave it out, or name the cookie without `__Host-`");
    }
}

/// The name that says where a client belongs.
fn by(table: &mut Table<'_>, keys: StickyKeys) -> Option<StickyBy> {
    table.exactly_one(
        &["cookie", "header"],
        (
            "has neither `cookie` nor `header`, wanted exactly one",
            "add `cookie = \"<name>\"`",
        ),
        "keep `cookie` for browsers, `header` for clients without cookies",
    )?;
    let cookie = keys.cookie.map(StickyBy::Cookie);
    cookie.or(keys.header.map(StickyBy::Header))
}
