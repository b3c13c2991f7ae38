//! `tls` of a `[[listener]]`, of `[admin]` and of an `[upstream.<name>]`.

use std::path::PathBuf;

use crate::config::field::{Field, Flag, Is, Nested, Optional, Parsed, Required, Section, Switch};
use crate::config::model::{Identity, ListenerTls, UpstreamTls};
use crate::config::read::Table;
use crate::config::value::Refused;
use crate::config::value::address::server_name;
use crate::config::value::name::line;

/// A file, relative to the folder of this one.
const FILE: Parsed<PathBuf> = Parsed {
    words: "a file",
    pattern: "",
    private: false,
    parse: |text, folder| {
        if text.starts_with("-----BEGIN") {
            return Err(
                Refused::because("is no path").help("write the name of the file that holds it")
            );
        }
        Ok(folder.join(line(text)?))
    },
};

/// A file whose text must not be shown if it stands there itself.
const PRIVATE_FILE: Parsed<PathBuf> = Parsed {
    private: true,
    ..FILE
};

/// A certificate with its key: of a `[[listener]]`, and of `[admin]`.
pub(super) const OF_LISTENER: Nested<ListenerTls> = Nested {
    section: &LISTENER_TLS,
    read: listener,
};

/// `tls` of a `[[listener]]`.
pub(super) static LISTENER: Field<Nested<ListenerTls>, Optional> = Field::new(
    "tls",
    OF_LISTENER,
    Optional("clear text"),
    "Its certificate; HTTP/2 is then offered too.",
);

static LISTENER_TLS: Section = Section {
    heading: "tls = { .. }",
    doc: "The certificate of a listener. Both files are read at the start and at every reload.",
    fields: &[&CERTIFICATE, &KEY],
    hints: &[("cert", "it is called `certificate`")],
    short: None,
    private: false,
};

static CERTIFICATE: Field<Parsed<PathBuf>, Required> = Field::new(
    "certificate",
    FILE,
    Required("\"api.pem\""),
    "Its chain in PEM, its own certificate first; relative to this file.",
);

static KEY: Field<Parsed<PathBuf>, Required> = Field::new(
    "key",
    PRIVATE_FILE,
    Required("\"api.key\""),
    "Its private key in PEM, relative to this file.",
);

fn listener(table: &mut Table<'_>) -> Option<ListenerTls> {
    let certificate = table.take(&CERTIFICATE);
    let key = table.take(&KEY);
    Some(ListenerTls {
        certificate: certificate?,
        key: key?,
        span: table.span(),
    })
}

/// `tls` of an `[upstream.<name>]`.
pub(super) static UPSTREAM: Field<Switch<UpstreamTls>, Optional> = Field::new(
    "tls",
    Switch {
        table: Nested {
            section: &UPSTREAM_TLS,
            read: upstream,
        },
        on: UpstreamTls::plain,
    },
    Optional("`false`: clear text"),
    "Whether TLS is spoken with the endpoints; `true` is a table without keys.",
);

/// `tls = { .. }` of an upstream, and of its checks.
pub(super) static UPSTREAM_TLS: Section = Section {
    heading: "tls = { .. }",
    doc: "How TLS is spoken with endpoints. The files are read when the configuration is put in use.",
    fields: &[&CA, &NAME, &CLIENT_CERTIFICATE, &CLIENT_KEY, &VERIFY],
    hints: &[
        ("cert", "it is called `certificate`"),
        ("sni", "it is called `name`"),
        ("hostname", "it is called `name`"),
        ("host", "it is called `name`"),
        ("client_cert", "it is called `certificate`"),
        ("client_certificate", "it is called `certificate`"),
        ("client_key", "it is called `key`"),
        ("ca_file", "it is called `ca`"),
        ("ca_cert", "it is called `ca`"),
        ("ca_certificate", "it is called `ca`"),
        ("root_ca", "it is called `ca`"),
        (
            "insecure_skip_verify",
            "to check no certificate, write `verify = false`",
        ),
        (
            "skip_verify",
            "to check no certificate, write `verify = false`",
        ),
        (
            "enabled",
            "write `tls = true`, or `tls = false` for clear text",
        ),
        ("server_name", "it is called `name`"),
        (
            "insecure",
            "to check no certificate, write `verify = false`",
        ),
    ],
    short: Some("ca"),
    private: false,
};

static CA: Field<Parsed<PathBuf>, Optional> = Field::new(
    "ca",
    FILE,
    Optional("whom the system trusts"),
    "Certificates in PEM: one of them must have signed the endpoint's; relative to this file.",
);

static NAME: Field<Parsed<String>, Optional> = Field::new(
    "name",
    Parsed {
        words: "a name or an IP address, without a port",
        pattern: "^[^:/ ]+$|^[0-9A-Fa-f:.]+$",
        private: false,
        parse: |text, _| server_name(text),
    },
    Optional("that in the endpoint's address"),
    "The name that the endpoint's certificate must hold, and that it is asked for (SNI).",
);

static CLIENT_CERTIFICATE: Field<Parsed<PathBuf>, Optional> = Field::new(
    "certificate",
    FILE,
    Optional("none is shown"),
    "The certificate that the gateway shows of itself, in PEM; relative to this file.",
);

static CLIENT_KEY: Field<Parsed<PathBuf>, Optional> = Field::new(
    "key",
    PRIVATE_FILE,
    Optional("none"),
    "The private key of `certificate` in PEM, relative to this file.",
);

static VERIFY: Field<Flag, Is<bool>> = Field::new(
    "verify",
    Flag,
    Is(true),
    "Whether certificates are checked; without, anybody can pose as an endpoint.",
);

/// Reads one.
pub(super) fn upstream(table: &mut Table<'_>) -> Option<UpstreamTls> {
    let ca = table.take(&CA);
    let name = table.take(&NAME);
    let certificate = table.take(&CLIENT_CERTIFICATE);
    let key = table.take(&CLIENT_KEY);
    let verify = table.take(&VERIFY);
    let identity = match (certificate, key) {
        (Some(certificate), Some(key)) => Some(Identity { certificate, key }),
        (Some(_), None) => lone(table, CLIENT_CERTIFICATE.key, CLIENT_KEY.key),
        (None, Some(_)) => lone(table, CLIENT_KEY.key, CLIENT_CERTIFICATE.key),
        (None, None) => None,
    };
    if !verify {
        let help = match table.has(CA.key) {
            true => "remove it: `ca` names who signed the certificates",
            false => "name who signed the certificates: `ca = \"ca.pem\"`",
        };
        let span = table.span_of(VERIFY.key);
        table
            .warning(
                span,
                "`tls.verify = false`: anybody can pose as an endpoint",
            )
            .help(help);
        table.idle(&[CA.key], "with `verify = false`");
    }
    Some(UpstreamTls {
        ca,
        identity,
        name,
        verify,
        span: table.span(),
    })
}

/// Reports a certificate without its key, or a key without its certificate.
fn lone(table: &mut Table<'_>, there: &str, lacking: &str) -> Option<Identity> {
    if !table.is_incomplete() && !table.has(lacking) && !table.has_meant(lacking) {
        let span = table.span_of(there);
        let help = format!("add `{lacking} = \"..\"` to it");
        table
            .error(
                span,
                &format!("`tls.{there}` stands without `tls.{lacking}`"),
            )
            .help(help);
    }
    None
}
