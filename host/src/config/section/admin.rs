//! `[admin]`: the operator's listener, and who may use it.

use std::net::SocketAddr;
use std::sync::Arc;

use super::server::{SOCKET, bound_once};
use crate::config::field::{
    Choice, Empty, Entries, Field, Is, Nested, Optional, Parsed, Required, SecretName, Section,
    Size,
};
use crate::config::model::{Admin, AdminToken, ListenerTls, Role};
use crate::config::read::Table;
use crate::config::value::name::name;

/// `[admin]`.
pub(super) static ADMIN: Section = Section {
    heading: "[admin]",
    doc: "The operator's listener: `/metrics`, `/livez`, `/readyz`, and the admin API. Without it there is none.",
    fields: &[&ADDRESS, &TOKENS, &TLS, &MAX_BODY],
    hints: &[
        ("token", "they are called `tokens`, a list"),
        (
            "certificate",
            "it stands in `tls = { certificate = \"..\", key = \"..\" }`",
        ),
    ],
    short: Some("address"),
    private: true,
};

static ADDRESS: Field<Parsed<SocketAddr>, Required> = Field::new(
    "address",
    SOCKET,
    Required("\"127.0.0.1:9080\""),
    "Where it is bound: a loopback address, or any other with `tls` and at least one token.",
);

static TOKENS: Field<Entries<AdminToken>, Empty> = Field::new(
    "tokens",
    Entries {
        section: &TOKEN,
        least: 0,
        few: "",
        title: None,
        read: token,
    },
    Empty("none"),
    "The tokens of those who may use the admin API.",
);

static TLS: Field<Nested<ListenerTls>, Optional> = Field::new(
    "tls",
    super::tls::OF_LISTENER,
    Optional("plain HTTP"),
    "Its certificate. A reload reads the files anew; whether there is one takes a restart.",
);

static MAX_BODY: Field<Size<u64>, Is<u64>> = Field::new(
    "max_body",
    Size {
        least: 1 << 10,
        most: 1 << 32,
        of: Some,
    },
    Is(64 << 20),
    "The largest request body, such as a file of keys to import; beyond it 413.",
);

/// Reads `[admin]`.
pub(super) fn admin(table: &mut Table<'_>) -> Option<Admin> {
    let address = table.take(&ADDRESS);
    let tokens = table.take(&TOKENS);
    let tls = table.take(&TLS);
    let max_body = table.take(&MAX_BODY);
    let address = address?;
    bound_once(table, address);
    if !address.ip().is_loopback() && !table.is_incomplete() {
        check_reach(table, address, tokens.is_empty());
    }
    Some(Admin {
        address,
        tokens,
        tls,
        max_body,
    })
}

/// Reports an address that others reach, without what keeps them out.
fn check_reach(table: &mut Table<'_>, address: SocketAddr, is_open: bool) {
    const SOME_TLS: &str = "`tls = { certificate = \"admin.pem\", key = \"admin.key\" }`";
    const SOME_TOKENS: &str =
        "`tokens = [{ name = \"ops\", role = \"write\", secret = \"<name>\" }]`";
    let (lacks, some) = match (table.has(TLS.key), is_open) {
        (true, false) => return,
        (true, true) => ("`tokens`", SOME_TOKENS.to_owned()),
        (false, false) => ("`tls`", SOME_TLS.to_owned()),
        (false, true) => (
            "`tls` and `tokens`",
            format!("{SOME_TLS} and {SOME_TOKENS}"),
        ),
    };
    let span = table.span_of(ADDRESS.key);
    let message =
        format!("`address` holds `{address}`, which is not a loopback address, without {lacks}");
    let help = format!("write `\"127.0.0.1:{}\"`, or add {some}", address.port());
    table.error(span, &message).help(help);
}

static TOKEN: Section = Section {
    heading: "tokens = [{ .. }]",
    doc: "A bearer token of the admin API.",
    fields: &[&NAME, &ROLE, &SECRET],
    hints: &[
        ("token", NO_TOKENS),
        ("value", NO_TOKENS),
        ("env", NO_TOKENS),
        ("file", NO_TOKENS),
    ],
    short: None,
    private: true,
};

const NO_TOKENS: &str =
    "a token itself never stands in the file: `secret` names a `[secret.<name>]`";

static NAME: Field<Parsed<String>, Required> = Field::new(
    "name",
    Parsed {
        words: "a name of letters, digits, `_` and `-`",
        pattern: "^[A-Za-z0-9_-]{1,64}$",
        private: false,
        parse: |text, _| name(text),
    },
    Required("\"ops\""),
    "Its name in the audit log; unique.",
);

static ROLE: Field<Choice<Role>, Required> = Field::new(
    "role",
    Choice {
        options: &[("read", Role::Read), ("write", Role::Write)],
        hints: &[],
    },
    Required("\"read\""),
    "Whether it may look only, or change things too.",
);

static SECRET: Field<SecretName, Required> = Field::new(
    "secret",
    SecretName,
    Required("\"<name of a [secret.x]>\""),
    "The `[secret.<name>]` that holds it.",
);

fn token(table: &mut Table<'_>) -> Option<AdminToken> {
    let name = table.take(&NAME);
    let role = table.take(&ROLE);
    let secret = table.take(&SECRET);
    let span = table.span_of(NAME.key);
    if let Some(name) = &name
        && let Some(line) = table.earlier("token", name, span)
    {
        let message = format!("`tokens.name` holds `{name}`, which line {line} has already");
        table.error(span, &message);
    }
    let span = table.span_of(SECRET.key);
    if let Some(secret) = secret
        && let Some(line) = table.earlier("token's secret", &secret.to_string(), span)
    {
        let message = format!("`tokens.secret` is that of the token in line {line}");
        table
            .error(span, &message)
            .help("a token says who it is: each has a secret of its own");
    }
    Some(AdminToken {
        name: Arc::from(name?),
        role: role?,
        secret: secret?,
        span: table.span(),
    })
}
