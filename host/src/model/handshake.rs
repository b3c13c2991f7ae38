//! The reasons why TLS handshakes with clients fail: one word each, in the log and in the metrics.
//!
//! Before it: the listener's side of the handshake. After it: one series of
//! `windlass_tls_handshake_failures_total` each.

/// Why a handshake with a client failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum HandshakeFailure {
    /// The client was too slow.
    Timeout,
    /// The client left.
    Closed,
    /// The client sent an alert: it refuses the listener's certificate, for example.
    Alert,
    /// The client's bytes are not TLS.
    NotTls,
    /// The two sides have no version, cipher, key exchange or ALPN protocol in common.
    NothingInCommon,
    /// The client presented no certificate, and must.
    NoCertificate,
    /// The client's certificate has expired.
    CertificateExpired,
    /// The client's certificate is revoked.
    CertificateRevoked,
    /// No current revocation list says whether the client's certificate is revoked.
    RevocationUnknown,
    /// The client's certificate is not signed by an authority in `ca`, or is malformed.
    CertificateUntrusted,
    /// The client breaks the protocol otherwise.
    Protocol,
}

impl HandshakeFailure {
    pub(crate) const ALL: [Self; 11] = [
        Self::Timeout,
        Self::Closed,
        Self::Alert,
        Self::NotTls,
        Self::NothingInCommon,
        Self::NoCertificate,
        Self::CertificateExpired,
        Self::CertificateRevoked,
        Self::RevocationUnknown,
        Self::CertificateUntrusted,
        Self::Protocol,
    ];

    #[must_use]
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Self::Timeout => "timeout",
            Self::Closed => "closed",
            Self::Alert => "alert",
            Self::NotTls => "not_tls",
            Self::NothingInCommon => "nothing_in_common",
            Self::NoCertificate => "no_certificate",
            Self::CertificateExpired => "certificate_expired",
            Self::CertificateRevoked => "certificate_revoked",
            Self::RevocationUnknown => "revocation_unknown",
            Self::CertificateUntrusted => "certificate_untrusted",
            Self::Protocol => "protocol",
        }
    }
}
