//! Why handshakes fail, for the log and the metrics.

use std::io;

use rustls::{CertificateError, Error};

use crate::model::handshake::HandshakeFailure;

/// The reason why a handshake ended with this error.
pub(crate) fn reason(error: &io::Error) -> HandshakeFailure {
    let inner = error.get_ref().and_then(|inner| inner.downcast_ref());
    match inner {
        Some(Error::NoCertificatesPresented) => HandshakeFailure::NoCertificate,
        Some(Error::InvalidCertificate(fault)) => of_certificate(fault),
        Some(Error::AlertReceived(_)) => HandshakeFailure::Alert,
        Some(Error::PeerIncompatible(_) | Error::NoApplicationProtocol) => {
            HandshakeFailure::NothingInCommon
        }
        Some(Error::InvalidMessage(_)) => HandshakeFailure::NotTls,
        Some(_) => HandshakeFailure::Protocol,
        None => HandshakeFailure::Closed,
    }
}

fn of_certificate(fault: &CertificateError) -> HandshakeFailure {
    match fault {
        CertificateError::Expired | CertificateError::ExpiredContext { .. } => {
            HandshakeFailure::CertificateExpired
        }
        CertificateError::Revoked => HandshakeFailure::CertificateRevoked,
        CertificateError::UnknownRevocationStatus
        | CertificateError::ExpiredRevocationList
        | CertificateError::ExpiredRevocationListContext { .. } => {
            HandshakeFailure::RevocationUnknown
        }
        _ => HandshakeFailure::CertificateUntrusted,
    }
}
