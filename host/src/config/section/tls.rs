//! `tls` of a `[[listener]]`, of `[admin]` and of an `[upstream.<name>]`.

use std::path::PathBuf;

use windlass_config_derive::{FromTable, Word};

use crate::config::field::{FromValue, Nested, PRIVATE_FILE, SERVER_NAME, Switch};
use crate::config::read::Table;
use crate::config::source::Span;

/// The TLS of a listener. Windlass reads the files at the start and at every reload, and again when one of them changes.
#[derive(Debug, Clone, PartialEq, Eq, FromTable)]
#[table(heading = "tls = { .. }", check = has_certificate)]
#[hint("client_ca ca mtls verify_client client_certificate" => "write it in `client_auth = { ca = \"clients.pem\" }`")]
#[hint("versions protocols ssl_protocols" => "the lowest version is `min_version`")]
#[hint("cert_file" => "it is called `certificate`")]
#[hint("sni names hosts" => "the names are in the certificates: list them in `certificates = [{ certificate = \"..\", key = \"..\" }]`")]
pub struct ListenerTls {
    /// The certificate for clients that ask for a name that no other certificate has, or for none.
    #[key(flatten = DefaultCertificateKeys)]
    pub default: Option<CertificateFiles>,
    /// More certificates. Windlass picks the one that has the name that the client asks for (SNI): a certificate with
    /// the name itself before one with a wildcard, then the one that comes first and has a kind of key that the client
    /// can use.
    #[key(absent = "none", entries, synonyms = "certs")]
    pub(crate) certificates: Vec<CertificateFiles>,
    /// The lowest version of TLS.
    #[key(default = "1.2", synonyms = "min_tls_version minimum_version")]
    pub(crate) min_version: TlsVersion,
    /// The ciphers and key exchanges that Windlass offers.
    #[key(
        default = "intermediate",
        synonyms = "ciphers cipher_suites policy ssl_ciphers"
    )]
    pub(crate) cipher_policy: CipherPolicy,
    /// Whether clients present a certificate, and who may have signed it.
    #[key(
        absent = "clients are not asked for a certificate",
        synonyms = "client_authentication"
    )]
    pub(crate) client_auth: Option<ClientAuth>,
    /// The `tls` value in the file.
    #[key(with = Table::span)]
    pub(crate) span: Span,
}

impl ListenerTls {
    /// The default settings without a certificate.
    pub(crate) fn without_files() -> Self {
        Self {
            default: None,
            certificates: Vec::new(),
            min_version: TlsVersion::V1_2,
            cipher_policy: CipherPolicy::Intermediate,
            client_auth: None,
            span: Span::default(),
        }
    }

    /// All certificates, the default one first.
    pub(crate) fn all(&self) -> impl Iterator<Item = &CertificateFiles> {
        self.default.iter().chain(&self.certificates)
    }
}

#[derive(FromTable)]
#[table(into = Option<CertificateFiles>, make = default_certificate)]
struct DefaultCertificateKeys {
    /// The certificate chain in PEM, its own certificate first, relative to this file. It is for clients that ask for
    /// a name that no other certificate has, or for none.
    #[key(absent = "the first of `certificates`", synonyms = "cert")]
    certificate: Option<PathBuf>,
    /// The private key of `certificate` in PEM, relative to this file.
    #[key(absent = "none", kind = PRIVATE_FILE)]
    key: Option<PathBuf>,
    /// An OCSP response for `certificate` in DER, relative to this file. Windlass staples it to handshakes as long as it is
    /// valid.
    #[key(absent = "none", synonyms = "ocsp_file stapling")]
    ocsp: Option<PathBuf>,
    #[key(with = Table::span)]
    span: Span,
}

/// A certificate with its key.
#[derive(Debug, Clone, PartialEq, Eq, FromTable)]
#[table(heading = "certificates = [{ .. }]")]
#[hint("name names host hosts sni" => "the names are those in the certificate")]
pub struct CertificateFiles {
    /// The certificate chain in PEM, its own certificate first, relative to this file.
    #[key(required = "shop.pem", synonyms = "cert")]
    pub certificate: PathBuf,
    /// The private key in PEM, relative to this file.
    #[key(required = "shop.key", kind = PRIVATE_FILE)]
    pub key: PathBuf,
    /// An OCSP response for the certificate in DER, relative to this file. Windlass staples it to handshakes as long as
    /// it is valid.
    #[key(absent = "none", synonyms = "ocsp_file stapling")]
    pub(crate) ocsp: Option<PathBuf>,
    /// The entry in the file.
    #[key(with = Table::span)]
    pub(crate) span: Span,
}

/// A version of TLS.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Word)]
#[hint("1.0 1.1 tls1.0 tls1.1 tlsv1 tlsv1.1 tls1 ssl3" => "Windlass does not speak it: no client that is safe needs it (RFC 8996)")]
#[hint("tls1.2 tlsv1.2 tls12 12" => "write `\"1.2\"`")]
#[hint("tls1.3 tlsv1.3 tls13 13 modern" => "write `\"1.3\"`")]
pub(crate) enum TlsVersion {
    /// TLS 1.2 (RFC 5246).
    #[word("1.2")]
    V1_2,
    /// TLS 1.3 (RFC 8446).
    #[word("1.3")]
    V1_3,
}

/// A choice of ciphers. All of them have forward secrecy and authenticated encryption.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Word)]
#[hint("modern" => "leave it out, and write `min_version = \"1.3\"`")]
#[hint("old compatible" => "Windlass has no ciphers for old clients: leave it out")]
#[hint("high default" => "leave it out")]
pub(crate) enum CipherPolicy {
    /// AES-GCM with 128 and 256 bits, and ChaCha20-Poly1305.
    Intermediate,
    /// Only ciphers with keys of 256 bits.
    Strong,
    /// Only AES-GCM, and key exchanges on the curves of NIST and ML-KEM.
    Nist,
}

/// Whether clients present a certificate.
#[derive(Debug, Clone, PartialEq, Eq, FromTable)]
#[table(heading = "client_auth = { .. }", short = "ca")]
#[hint("depth verify_depth" => "leave it out: a chain has at most 6 intermediate certificates")]
#[hint("headers header" => "it is called `forward`")]
pub(crate) struct ClientAuth {
    /// Certificates in PEM, relative to this file. One of them must have signed the client's certificate, directly or
    /// through others that the client sends.
    #[key(
        required = "clients.pem",
        synonyms = "ca_file ca_cert client_ca trust_store"
    )]
    pub(crate) ca: PathBuf,
    /// Whether a client may go without a certificate. One that it presents must be good all the same.
    #[key(default = "required", synonyms = "verify verify_client")]
    pub(crate) mode: ClientAuthMode,
    /// Lists of revoked certificates in PEM, relative to this file: a current one of each authority that has signed a
    /// certificate of a client's chain.
    #[key(absent = "none", synonyms = "crls revoked revocation_lists")]
    pub(crate) crl: Vec<PathBuf>,
    /// Whether endpoints get the client's certificate in the fields `client-cert` and `client-cert-chain` (RFC 9440).
    #[key(default = false)]
    pub(crate) forward: bool,
    /// The `client_auth` value in the file.
    #[key(with = Table::span)]
    pub(crate) span: Span,
}

/// Whether a client must present a certificate.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Word)]
#[hint("on require mandatory verify true" => "write `\"required\"`")]
#[hint("request want optional_no_ca" => "write `\"optional\"`")]
#[hint("off none false" => "leave `client_auth` out")]
pub(crate) enum ClientAuthMode {
    /// A client without one gets no connection.
    Required,
    /// A client without one is served.
    Optional,
}

fn has_certificate(table: &mut Table<'_>, tls: &ListenerTls) {
    let is_read = table.are_whole(&["certificate", "key", "certificates"]);
    if is_read && !table.is_incomplete() && tls.all().next().is_none() {
        table.missing("certificate", "api.pem");
        table.missing("key", "api.key");
    }
    if tls.default.is_none() {
        table.idle(&["ocsp"], "without `certificate`");
    }
}

fn default_certificate(
    table: &mut Table<'_>,
    keys: DefaultCertificateKeys,
) -> Option<CertificateFiles> {
    let DefaultCertificateKeys {
        certificate,
        key,
        ocsp,
        span,
    } = keys;
    let Identity { certificate, key } = identity(table, IdentityKeys { certificate, key })?;
    Some(CertificateFiles {
        certificate,
        key,
        ocsp,
        span,
    })
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
