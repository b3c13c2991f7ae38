//! `sticky` of an upstream: how clients are kept on their endpoint.

use std::time::Duration;

use http::HeaderName;

use crate::config::field::{
    Choice, Field, Flag, Is, Optional, Parsed, Required, SecretName, Section, Time, Written,
};
use crate::config::model::{Cookie, OnDrain, SameSite, Sticky, StickyBy};
use crate::config::read::Table;
use crate::config::value::balance::{cookie_domain, cookie_name, cookie_path, sticky_field};

/// `sticky = { .. }`.
pub(super) static STICKY: Section = Section {
    heading: "sticky = { .. }",
    doc: "How a client is kept on its endpoint: by a signed cookie, or by a signed field that it repeats. It holds over reloads and restarts, and on every gateway with the same secret.",
    fields: &[
        &COOKIE,
        &HEADER,
        &SECRET,
        &DURATION,
        &SECURE,
        &SAME_SITE,
        &DOMAIN,
        &COOKIE_PATH,
        &ON_DRAIN,
    ],
    hints: &[
        (
            "true",
            "write what keeps it: `{ cookie = \"<name>\", secret = \"<name of a [secret.x]>\" }`",
        ),
        ("false", "leave it out"),
        ("name", "it is called `cookie`"),
        ("ttl", "it is called `duration`"),
        ("max_age", "it is called `duration`"),
        ("expires", "it is called `duration`"),
        (
            "key",
            "it is called `secret`: the name of a `[secret.<name>]`",
        ),
        ("httponly", "the cookie always has `HttpOnly`"),
        ("http_only", "the cookie always has `HttpOnly`"),
        ("samesite", "it is called `same_site`"),
        ("sameSite", "it is called `same_site`"),
        ("SameSite", "it is called `same_site`"),
        ("partitioned", "the cookie never has `Partitioned`"),
        ("drain", "it is called `on_drain`"),
        (
            "renew",
            "it is always renewed with use: `duration` counts from the last request",
        ),
    ],
    short: Some("cookie"),
    private: true,
};

static COOKIE: Field<Parsed<String>, Optional> = Field::new(
    "cookie",
    Parsed {
        words: "the name of a cookie",
        pattern: "",
        private: false,
        parse: |text, _| cookie_name(text),
    },
    Optional("no cookie"),
    "The cookie's name. It always has `HttpOnly`.",
);

static HEADER: Field<Parsed<HeaderName>, Optional> = Field::new(
    "header",
    Parsed {
        words: "the name of a field",
        pattern: "",
        private: false,
        parse: |text, _| sticky_field(text),
    },
    Optional("no field"),
    "The field, for clients without cookies: the response tells it, the client repeats it.",
);

static SECRET: Field<SecretName, Required> = Field::new(
    "secret",
    SecretName,
    Required("\"<name of a [secret.x]>\""),
    "The `[secret.<name>]` that signs it.",
);

static DURATION: Field<Time, Is<Duration>> = Field::new(
    "duration",
    Time {
        least: Duration::from_secs(1),
        most: Duration::from_hours(24 * 7),
    },
    Is(Duration::from_hours(1)),
    "How long it holds after the client's last request: each response renews it, at most once a second.",
);

static SECURE: Field<Flag, Is<bool>> = Field::new(
    "secure",
    Flag,
    Is(true),
    "Whether the cookie is sent back over TLS only.",
);

static SAME_SITE: Field<Choice<SameSite>, Is<SameSite>> = Field::new(
    "same_site",
    Choice {
        options: &[
            ("lax", SameSite::Lax),
            ("strict", SameSite::Strict),
            ("none", SameSite::None),
        ],
        hints: &[
            ("Lax", "write `\"lax\"`"),
            ("Strict", "write `\"strict\"`"),
            ("None", "write `\"none\"`"),
        ],
    },
    Is(SameSite::Lax),
    "Which requests that come from other sites the cookie goes with (`SameSite`): followed links, none, or all.",
);

static DOMAIN: Field<Parsed<String>, Optional> = Field::new(
    "domain",
    Parsed {
        words: "a domain such as `\"example.com\"`",
        pattern: "",
        private: false,
        parse: |text, _| cookie_domain(text),
    },
    Optional("the host that set it"),
    "The domain that the cookie goes to, with all names below it (`Domain`).",
);

static COOKIE_PATH: Field<Parsed<String>, Written> = Field::new(
    "path",
    Parsed {
        words: "a path such as `\"/shop\"`",
        pattern: "^/",
        private: false,
        parse: |text, _| cookie_path(text),
    },
    Written("/"),
    "The path that the cookie goes to, with all below it (`Path`), as clients see it.",
);

static ON_DRAIN: Field<Choice<OnDrain>, Is<OnDrain>> = Field::new(
    "on_drain",
    Choice {
        options: &[("move", OnDrain::Move), ("stay", OnDrain::Stay)],
        hints: &[],
    },
    Is(OnDrain::Move),
    "Clients whose endpoint drains or has weight 0 move to another, or they stay, on one that drains until the upstream's `drain_timeout` is over.",
);

/// Reads `sticky`.
pub(super) fn sticky(table: &mut Table<'_>) -> Option<Sticky> {
    let by_cookie = table.take(&COOKIE);
    let header = table.take(&HEADER);
    let secret = table.take(&SECRET);
    let duration = table.take(&DURATION);
    let cookie = Cookie {
        secure: table.take(&SECURE),
        same_site: table.take(&SAME_SITE),
        domain: table.take(&DOMAIN),
        path: table.take(&COOKIE_PATH).unwrap_or_default(),
    };
    let on_drain = table.take(&ON_DRAIN);
    if table.has(HEADER.key) && !table.has(COOKIE.key) {
        let keys = [SECURE.key, SAME_SITE.key, DOMAIN.key, COOKIE_PATH.key];
        table.idle(&keys, "without `cookie`");
    }
    attributes(table, by_cookie.as_deref().unwrap_or_default(), &cookie);
    let by = by(table, by_cookie, header);
    Some(Sticky {
        by: by?,
        secret: secret?,
        duration,
        cookie,
        on_drain,
        span: table.span(),
    })
}

/// Reports attributes with which browsers drop a cookie (RFC 6265bis section 5.7).
fn attributes(table: &mut Table<'_>, name: &str, cookie: &Cookie) {
    let is_host = name.starts_with("__Host-");
    if !cookie.secure && (is_host || name.starts_with("__Secure-")) {
        let message = "`sticky.secure` is off, and browsers drop a cookie of this name without it";
        table
            .warning(table.span_of(SECURE.key), message)
            .help("leave it out, or name the cookie without `__Host-` and `__Secure-`");
    }
    if !cookie.secure && cookie.same_site == SameSite::None && table.is_sound(SECURE.key) {
        let message = "`sticky.same_site = \"none\"` needs `Secure`: browsers drop the cookie with `secure = false`";
        table
            .error(table.span_of(SAME_SITE.key), message)
            .help("leave `secure` out, or write `same_site = \"lax\"`");
    }
    if is_host && table.has(DOMAIN.key) {
        let message = "`sticky.domain` is set, and browsers drop a cookie with it whose name begins with `__Host-`";
        table
            .error(table.span_of(DOMAIN.key), message)
            .help("leave it out, or name the cookie without `__Host-`");
    }
    if is_host && table.is_sound(COOKIE_PATH.key) && cookie.path != "/" {
        let message = "`sticky.path` is not `/`, and browsers drop a cookie with it whose name begins with `__Host-`";
        table
            .error(table.span_of(COOKIE_PATH.key), message)
            .help("leave it out, or name the cookie without `__Host-`");
    }
}

/// What says where a client belongs; reports none, and both.
fn by(
    table: &mut Table<'_>,
    cookie: Option<String>,
    header: Option<HeaderName>,
) -> Option<StickyBy> {
    let (message, help) = match (table.has(COOKIE.key), table.has(HEADER.key)) {
        (true, true) => (
            "`sticky` has both `cookie` and `header`, wanted one of them",
            "keep `cookie` for browsers, `header` for clients without cookies",
        ),
        (false, false) if !table.is_incomplete() && !table.has_meant(COOKIE.key) => (
            "`sticky` has neither `cookie` nor `header`, wanted one of them",
            "add `cookie = \"<name>\"`",
        ),
        (true | false, true | false) => {
            let cookie = cookie.map(StickyBy::Cookie);
            return cookie.or(header.map(StickyBy::Header));
        }
    };
    table.error(table.span(), message).help(help);
    None
}
