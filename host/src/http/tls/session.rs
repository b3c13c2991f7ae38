//! The facts of a client's TLS session, for filters, logs and endpoints.
//!
//! It promises that the facts of a client certificate are those of one that the listener has verified in
//! this session or in the one that it resumes.

use std::fmt::Write as _;
use std::net::IpAddr;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::HeaderValue;
use rustls::pki_types::CertificateDer;
use rustls::{CipherSuite, HandshakeKind, ProtocolVersion, ServerConnection};
use x509_cert::Certificate;
use x509_cert::der::Decode as _;
use x509_cert::ext::pkix::SubjectAltName;
use x509_cert::ext::pkix::name::GeneralName;
use x509_cert::time::Time;

use crate::config::TlsVersion;
use crate::model::handshake::HandshakeFailure;
use crate::model::sha256::Sha256;

/// The TLS of a client's connection.
#[derive(Debug)]
pub(crate) struct TlsSession {
    pub(crate) version: TlsVersion,
    /// The cipher suite by its name of IANA: `TLS_AES_128_GCM_SHA256`.
    pub(crate) cipher: &'static str,
    /// Whether it resumes an earlier one.
    pub(crate) is_resumed: bool,
    /// The certificate of the client, if it has presented one.
    pub(crate) certificate: Option<ClientCertificate>,
}

/// A client's certificate, which the listener has verified.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct ClientCertificate {
    /// The owner, as RFC 4514 writes names: `CN=orders,O=Example`.
    pub(crate) subject: String,
    /// The signer, as RFC 4514 writes names.
    pub(crate) issuer: String,
    /// The serial number in hex, in capitals, as OpenSSL writes it.
    pub(crate) serial: String,
    /// The SHA-256 of the certificate, in hex.
    pub(crate) fingerprint: String,
    /// The subject alternative names: a JSON array of `DNS:..`, `URI:..`, `email:..` and `IP:..`.
    pub(crate) names: String,
    /// The start of its validity. Seconds since 1970.
    pub(crate) begins_s: i64,
    /// The end of its validity. Seconds since 1970.
    pub(crate) ends_s: i64,
    /// The value of `Client-Cert` (RFC 9440 section 2.2).
    pub(crate) field: HeaderValue,
    /// The value of `Client-Cert-Chain` (RFC 9440 section 2.3), if the client sent more than its own.
    pub(crate) chain_field: Option<HeaderValue>,
}

impl TlsSession {
    /// `TLSv1.2` or `TLSv1.3`.
    #[must_use]
    pub(crate) fn version_name(&self) -> &'static str {
        match self.version {
            TlsVersion::V1_2 => "TLSv1.2",
            TlsVersion::V1_3 => "TLSv1.3",
        }
    }

    /// The session of a finished handshake.
    ///
    /// # Errors
    ///
    /// The client's certificate has ended since the session that it resumes began, or its facts cannot be
    /// read.
    pub(crate) fn of(connection: &ServerConnection, now_s: i64) -> Result<Self, HandshakeFailure> {
        let version = match connection.protocol_version() {
            Some(ProtocolVersion::TLSv1_3) => TlsVersion::V1_3,
            _ => TlsVersion::V1_2,
        };
        let suite = connection.negotiated_cipher_suite();
        let chain = connection.peer_certificates().unwrap_or_default();
        let certificate = match chain.split_first() {
            None => None,
            Some((own, others)) => {
                let read = ClientCertificate::of(own, others);
                let read = read.ok_or(HandshakeFailure::CertificateUntrusted)?;
                if read.ends_s <= now_s {
                    return Err(HandshakeFailure::CertificateExpired);
                }
                Some(read)
            }
        };
        Ok(Self {
            version,
            cipher: suite.map_or("", |suite| cipher_name(suite.suite())),
            is_resumed: connection.handshake_kind() == Some(HandshakeKind::Resumed),
            certificate,
        })
    }
}

/// The name of a cipher suite in IANA's registry.
fn cipher_name(suite: CipherSuite) -> &'static str {
    match suite {
        CipherSuite::TLS13_AES_128_GCM_SHA256 => "TLS_AES_128_GCM_SHA256",
        CipherSuite::TLS13_AES_256_GCM_SHA384 => "TLS_AES_256_GCM_SHA384",
        CipherSuite::TLS13_CHACHA20_POLY1305_SHA256 => "TLS_CHACHA20_POLY1305_SHA256",
        other => other.as_str().unwrap_or_default(),
    }
}

impl ClientCertificate {
    /// Reads a certificate. None: it has fields that cannot be read.
    fn of(own: &CertificateDer<'_>, others: &[CertificateDer<'_>]) -> Option<Self> {
        let parsed = Certificate::from_der(own).ok()?;
        let fields = &parsed.tbs_certificate;
        let names = match fields.get::<SubjectAltName>().ok()? {
            Some((_, names)) => names.0.iter().filter_map(name_text).collect(),
            None => Vec::new(),
        };
        let chain = others.iter().map(byte_sequence).collect::<Vec<_>>();
        let chain = (!chain.is_empty()).then(|| chain.join(", "));
        let chain_field = match chain {
            Some(chain) => Some(HeaderValue::from_str(&chain).ok()?),
            None => None,
        };
        Some(Self {
            subject: fields.subject.to_string(),
            issuer: fields.issuer.to_string(),
            serial: hex(fields.serial_number.as_bytes()),
            fingerprint: Sha256::of(own).to_string(),
            names: serde_json::to_string(&names).ok()?,
            begins_s: seconds(fields.validity.not_before)?,
            ends_s: seconds(fields.validity.not_after)?,
            field: HeaderValue::from_str(&byte_sequence(own)).ok()?,
            chain_field,
        })
    }
}

/// A certificate as a byte sequence (RFC 9651 section 3.3.5).
fn byte_sequence(certificate: &CertificateDer<'_>) -> String {
    format!(":{}:", STANDARD.encode(certificate))
}

/// A number in hex, without the zero that only keeps it positive.
fn hex(number: &[u8]) -> String {
    let number = match number {
        [0, rest @ ..] if !rest.is_empty() => rest,
        number => number,
    };
    number.iter().fold(String::new(), |mut text, byte| {
        // Writing to a text cannot fail.
        let _ = write!(text, "{byte:02X}");
        text
    })
}

/// A name as OpenSSL writes it. None: of a kind that is not passed on.
fn name_text(name: &GeneralName) -> Option<String> {
    match name {
        GeneralName::DnsName(name) => Some(format!("DNS:{}", name.as_str())),
        GeneralName::UniformResourceIdentifier(name) => Some(format!("URI:{}", name.as_str())),
        GeneralName::Rfc822Name(name) => Some(format!("email:{}", name.as_str())),
        GeneralName::IpAddress(octets) => {
            let octets = octets.as_bytes();
            let v4 = <[u8; 4]>::try_from(octets).map(IpAddr::from);
            let ip = v4.or_else(|_| <[u8; 16]>::try_from(octets).map(IpAddr::from));
            Some(format!("IP:{}", ip.ok()?))
        }
        GeneralName::OtherName(_)
        | GeneralName::DirectoryName(_)
        | GeneralName::EdiPartyName(_)
        | GeneralName::RegisteredId(_) => None,
    }
}

fn seconds(time: Time) -> Option<i64> {
    i64::try_from(time.to_unix_duration().as_secs()).ok()
}
