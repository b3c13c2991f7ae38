//! `[plugins]`: how Windlass fetches plugins that are not files of this machine.

use std::path::PathBuf;
use std::time::Duration;

use windlass_config_derive::FromTable;

use crate::config::field::{Parsed, SecretName, Unique};
use crate::config::read::Table;
use crate::config::source::Span;
use crate::config::value::plugin;

/// How Windlass fetches plugins from registries (`oci://..`) and servers (`https://..`). It does
/// so before it uses a configuration, and checks the digest of every byte that it uses.
#[derive(Debug, Clone, PartialEq, Eq, FromTable)]
#[table(heading = "[plugins]", check = cached)]
pub struct Plugins {
    /// The folder of fetched plugins, relative to this file. With it, a restart needs no registry.
    #[key(absent = "`plugins` in the folder of `[wasm] cache`")]
    pub cache: Option<PathBuf>,
    /// The most that the folder may hold. The plugins that were used least recently go first.
    #[key(default = "1GiB", within = "1MiB"..="1TiB")]
    pub cache_size: u64,
    /// The largest plugin that Windlass fetches.
    #[key(default = "64MiB", within = "1KiB"..="256MiB")]
    pub max_size: u64,
    /// For fetching one plugin, including logins, redirects and signatures.
    #[key(default = "1m", within = "100ms"..="10m")]
    pub timeout: Duration,
    /// Registries, and other servers, that need more than their name.
    #[key(name = "registry", absent = "none", entries)]
    pub registries: Vec<PluginRegistry>,
}

const NO_SECRETS: &str =
    "never write a password into the file: `password` names a `[secret.<name>]`";

/// How Windlass reaches a registry, or another server of plugins, and logs in to it.
#[derive(Debug, Clone, PartialEq, Eq, FromTable)]
#[table(heading = "[[plugins.registry]]", private, check = reached)]
#[hint("token secret" => NO_SECRETS)]
#[hint("insecure skip_verify insecure_skip_verify" => "for a certificate of your own, name who signed it: `ca = \"ca.pem\"`; for no TLS at all, write `plain_http = true`")]
pub struct PluginRegistry {
    /// Its host, as in the plugin's reference, with the port if one is written there.
    #[key(required = "registry.example", kind = HOST, synonyms = "name address url server")]
    pub host: String,
    /// Certificates in PEM, relative to this file. One of them must have signed the server's
    /// certificate.
    #[key(absent = "those of the system", synonyms = "ca_file")]
    pub ca: Option<PathBuf>,
    /// Whether Windlass talks to the registry without TLS. Anyone on the way can then read the
    /// password and the plugins; the digests still protect what runs. Registries on loopback are
    /// asked without TLS if they have no `ca`.
    #[key(default = false, synonyms = "allow_http http")]
    pub plain_http: bool,
    /// The user to log in as.
    #[key(absent = "that of Docker's configuration file", synonyms = "user")]
    pub username: Option<String>,
    /// The `[secret.<name>]` that holds the password or the access token.
    #[key(absent = "that of Docker's configuration file", kind = SecretName)]
    pub password: Option<usize>,
    /// The entry in the file.
    #[key(with = Table::span)]
    pub(crate) span: Span,
}

const HOST: Unique<Parsed<String>> = Unique {
    of: Parsed::new(
        "a host such as `\"registry.example:5000\"`",
        plugin::registry,
    ),
    sort: "registry",
    private_cure: None,
};

/// A plugin that is fetched must fit into the folder.
fn cached(table: &mut Table<'_>, plugins: &Plugins) {
    if plugins.max_size > plugins.cache_size
        && let Some(span) = table.span_if_sound(&["cache_size", "max_size"])
    {
        table
            .error(
                span,
                "`max_size` is more than `cache_size`: such a plugin could not be kept",
            )
            .help("make `cache_size` several times `max_size`");
    }
}

fn reached(table: &mut Table<'_>, registry: &PluginRegistry) {
    if registry.plain_http {
        table.idle(&["ca"], "without TLS");
        table
            .warning_at(
                "plain_http",
                "`plain_http = true`: whoever is on the way can read the password and the plugins, and keep new ones away",
            )
            .help("give the registry a certificate, and name who signed it: `ca = \"ca.pem\"`");
    }
    let lacks = match (registry.username.is_some(), registry.password.is_some()) {
        (true, false) => ("username", "password"),
        (false, true) => ("password", "username"),
        (true, true) | (false, false) => return,
    };
    let (there, lacking) = lacks;
    if !table.is_incomplete() && !table.has(lacking) && !table.has_meant(lacking) {
        table
            .error_at(there, &format!("has `{there}` without `{lacking}`"))
            .help(format!("add `{lacking} = \"..\"`"));
    }
}
