//! `tls` of a `[[listener]]`, of `[admin]` and of an `[upstream.<name>]`.

use std::path::PathBuf;

use windlass_config_derive::FromTable;

use crate::config::field::{FromValue, Nested, PRIVATE_FILE, SERVER_NAME, Switch};
use crate::config::read::Table;
use crate::config::source::Span;

/// The certificate of a listener. Windlass reads both files at the start and at every reload.
#[derive(Debug, Clone, PartialEq, Eq, FromTable)]
#[table(heading = "tls = { .. }")]
pub struct ListenerTls {
    /// The certificate chain in PEM, its own certificate first, relative to this file.
    #[key(required = "api.pem", synonyms = "cert")]
    pub certificate: PathBuf,
    /// The private key in PEM, relative to this file.
    #[key(required = "api.key", kind = PRIVATE_FILE)]
    pub key: PathBuf,
    /// The `tls` value in the file.
    #[key(with = Table::span)]
    pub(crate) span: Span,
}

/// How Windlass uses TLS to endpoints. It reads the files when it puts the configuration in use.
#[derive(Debug, Clone, PartialEq, Eq, FromTable)]
#[table(heading = "tls = { .. }", short = "ca", check = unverified)]
#[hint("insecure_skip_verify skip_verify insecure" => "to check no certificate, write `verify = false`")]
#[hint("enabled" => "write `tls = true`, or `tls = false` for clear text")]
pub struct UpstreamTls {
    /// Certificates in PEM, relative to this file. One of them must have signed the endpoint's
    /// certificate.
    #[key(
        absent = "those of the system",
        synonyms = "ca_file ca_cert ca_certificate root_ca"
    )]
    pub(crate) ca: Option<PathBuf>,
    /// The name that the endpoint's certificate must have, and that Windlass asks for (SNI).
    #[key(absent = "the name in the endpoint's address", kind = SERVER_NAME, synonyms = "sni hostname host server_name")]
    pub(crate) name: Option<String>,
    /// The gateway's own certificate, for endpoints that ask for one.
    #[key(flatten = IdentityKeys)]
    pub(crate) identity: Option<Identity>,
    /// Whether Windlass verifies certificates. Without that, anyone can pose as an endpoint.
    #[key(default = true)]
    pub(crate) verify: bool,
    /// The `tls` value in the file.
    #[key(with = Table::span)]
    pub(crate) span: Span,
}

#[derive(FromTable)]
#[table(into = Option<Identity>, make = identity)]
struct IdentityKeys {
    /// The gateway's client certificate in PEM, relative to this file.
    #[key(absent = "none", synonyms = "cert client_cert client_certificate")]
    certificate: Option<PathBuf>,
    /// The private key of `certificate` in PEM, relative to this file.
    #[key(absent = "none", kind = PRIVATE_FILE, synonyms = "client_key")]
    key: Option<PathBuf>,
}

/// A certificate with its key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Identity {
    /// Its chain, PEM, its own certificate first.
    pub(crate) certificate: PathBuf,
    /// Its private key, PEM.
    pub(crate) key: PathBuf,
}

impl UpstreamTls {
    /// `tls = true`.
    #[must_use]
    pub(crate) fn plain(span: Span) -> Self {
        Self {
            ca: None,
            identity: None,
            name: None,
            verify: true,
            span,
        }
    }

    /// Whether it is as `tls = true` has it.
    #[must_use]
    pub(crate) fn is_plain(&self) -> bool {
        *self == Self::plain(self.span)
    }
}

impl FromValue for Option<UpstreamTls> {
    type Kind = Switch<UpstreamTls>;
    const KIND: Self::Kind = Switch {
        table: Nested::of::<UpstreamTls>(),
        on: UpstreamTls::plain,
    };
}

fn unverified(table: &mut Table<'_>, tls: &UpstreamTls) {
    if tls.verify {
        return;
    }
    let help = match table.has("ca") {
        true => "remove it: `ca` names who signed the certificates",
        false => "name who signed the certificates: `ca = \"ca.pem\"`",
    };
    table
        .warning_at(
            "verify",
            "`tls.verify = false`: anyone can pose as an endpoint",
        )
        .help(help);
    table.idle(&["ca"], "with `verify = false`");
}

fn identity(table: &mut Table<'_>, keys: IdentityKeys) -> Option<Identity> {
    match (keys.certificate, keys.key) {
        (Some(certificate), Some(key)) => Some(Identity { certificate, key }),
        (Some(_), None) => lone(table, "certificate", "key"),
        (None, Some(_)) => lone(table, "key", "certificate"),
        (None, None) => None,
    }
}

/// Reports a certificate without its key, or a key without its certificate.
fn lone(table: &mut Table<'_>, there: &str, lacking: &str) -> Option<Identity> {
    if !table.is_incomplete() && !table.has(lacking) && !table.has_meant(lacking) {
        let help = format!("add `{lacking} = \"..\"` to it");
        table
            .error_at(there, &format!("has `tls.{there}` without `tls.{lacking}`"))
            .help(help);
    }
    None
}
