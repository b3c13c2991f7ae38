//! `[admin]`: the operator's listener, and who may use it.

use std::net::SocketAddr;
use std::sync::Arc;

use windlass_config_derive::FromTable;

use super::listener::bound_once;
use super::tls::ListenerTls;
use crate::config::field::{NAME, Parsed, SecretName, Unique};
use crate::config::read::Table;
use crate::config::source::Span;
use crate::model::admin::Role;

/// The operator's listener: `/metrics`, `/livez`, `/readyz` and the admin API. Without this table
/// there is none.
#[derive(Debug, Clone, PartialEq, Eq, FromTable)]
#[table(heading = "[admin]", short = "address", private, check = check)]
#[hint("token" => "they are called `tokens`, a list")]
#[hint("certificate" => "write it in `tls = { certificate = \"..\", key = \"..\" }`")]
pub struct Admin {
    /// The address to listen on: a loopback address, or any other with `tls` and at least one
    /// token.
    #[key(required = "127.0.0.1:9080")]
    pub address: SocketAddr,
    /// The tokens that may use the admin API.
    #[key(absent = "none", entries)]
    pub tokens: Vec<AdminToken>,
    /// The certificate. A reload reads the files again; adding or removing `tls` takes a restart.
    #[key(absent = "plain HTTP")]
    pub tls: Option<ListenerTls>,
    /// The largest request body, such as a file of keys to import. A larger one gets 413.
    #[key(default = "64MiB", within = "1KiB"..="4GiB")]
    pub max_body: u64,
}

const NO_TOKENS: &str = "never write a token into the file: `secret` names a `[secret.<name>]`";

/// A bearer token of the admin API.
#[derive(Debug, Clone, PartialEq, Eq, FromTable)]
#[table(heading = "tokens = [{ .. }]", private)]
#[hint("token value env file" => NO_TOKENS)]
pub struct AdminToken {
    /// Its unique name in the audit log.
    #[key(required = "ops", kind = TOKEN_NAME)]
    pub name: Arc<str>,
    /// `read` may look; `write` may also change things.
    #[key(required = "read")]
    pub role: Role,
    /// The `[secret.<name>]` that holds the token.
    #[key(required = "<name of a [secret.x]>", kind = TOKEN_SECRET)]
    pub secret: usize,
    /// The entry in the file.
    #[key(with = Table::span)]
    pub(crate) span: Span,
}

const TOKEN_NAME: Unique<Parsed<String>> = Unique {
    of: NAME,
    sort: "token",
    private_cure: None,
};

const TOKEN_SECRET: Unique<SecretName> = Unique {
    of: SecretName,
    sort: "token",
    private_cure: Some("a token says who it is: each has a secret of its own"),
};

fn check(table: &mut Table<'_>, admin: &Admin) {
    bound_once(table, admin.address);
    if !admin.address.ip().is_loopback() && !table.is_incomplete() {
        check_reach(table, admin.address, admin.tokens.is_empty());
    }
}

/// Reports an address that others reach, without what keeps them out.
fn check_reach(table: &mut Table<'_>, address: SocketAddr, is_open: bool) {
    const SOME_TLS: &str = "`tls = { certificate = \"admin.pem\", key = \"admin.key\" }`";
    const SOME_TOKENS: &str =
        "`tokens = [{ name = \"ops\", role = \"write\", secret = \"<name>\" }]`";
    let (lacks, some) = match (table.has("tls"), is_open) {
        (true, false) => return,
        (true, true) => ("`tokens`", SOME_TOKENS.to_owned()),
        (false, false) => ("`tls`", SOME_TLS.to_owned()),
        (false, true) => (
            "`tls` and `tokens`",
            format!("{SOME_TLS} and {SOME_TOKENS}"),
        ),
    };
    let message =
        format!("`address` holds `{address}`, which is not a loopback address, without {lacks}");
    let help = format!("write `\"127.0.0.1:{}\"`, or add {some}", address.port());
    table.error_at("address", &message).help(help);
}
