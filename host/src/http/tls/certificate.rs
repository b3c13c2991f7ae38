//! The facts of certificates: when they begin and end, and whether a chain is in order.
//!
//! It serves the configuration (warnings) and the metrics. Pure, except for reading the file. It
//! deliberately does not decide whether a certificate may be trusted: rustls does.

use std::fmt;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use rustls::client::verify_server_name;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::server::ParsedCertificate;

use super::TlsError;
use super::der::{CertificateFields, certificate_fields};
use super::pem::{self, Certificate};

/// Windlass warns of a certificate with less time than this, unless its whole lifetime is so short
/// that this is normal.
const EXPIRY_WARNING: Duration = Duration::from_secs(14 * 24 * 3600);

/// The validity of a chain.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Validity {
    /// The latest begin of its certificates. Seconds since 1970.
    pub(crate) begins_s: i64,
    /// The earliest end of its certificates.
    pub(crate) ends_s: i64,
    /// The lifetime of the certificate that ends first. Seconds.
    lifetime_s: i64,
    /// The line of that certificate.
    line: usize,
    /// The latest end of its certificates. Seconds since 1970.
    last_ends_s: i64,
    /// The line of a certificate that did not sign the one before it.
    out_of_order: Option<usize>,
}

/// The first certificate of a chain, for the hosts that it names.
pub(crate) struct CertificateNames(CertificateDer<'static>);

impl CertificateNames {
    /// Whether the certificate is for this host.
    #[must_use]
    pub(crate) fn covers(&self, host: &str) -> bool {
        let (Ok(parsed), Ok(name)) = (
            ParsedCertificate::try_from(&self.0),
            ServerName::try_from(host),
        ) else {
            return false;
        };
        verify_server_name(&parsed, &name).is_ok()
    }
}

/// The names in the first certificate of this file. None if it cannot be read; the error is
/// reported where the file is used.
#[must_use]
pub(crate) fn names_of(path: &Path) -> Option<CertificateNames> {
    let first = pem::certificates(path).ok()?.into_iter().next()?;
    ParsedCertificate::try_from(&first.der).ok()?;
    Some(CertificateNames(first.der))
}

/// A defect of the validity at this time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ValidityFault {
    Expired(i64),
    NotYetValid(i64),
    ExpiresSoon(i64),
}

impl Validity {
    /// Reads the validity of the chain in this file.
    ///
    /// # Errors
    ///
    /// The file cannot be read, or has other content.
    pub(crate) fn of_file(path: &Path) -> Result<Self, TlsError> {
        Self::of_chain(path, &pem::certificates(path)?)
    }

    /// The validity of this chain, which is in this file.
    ///
    /// # Errors
    ///
    /// A certificate is malformed, or there is none.
    pub(super) fn of_chain(path: &Path, chain: &[Certificate]) -> Result<Self, TlsError> {
        let parsed = parse(path, chain)?;
        let lines = chain.iter().map(|certificate| certificate.line);
        let all = parsed.iter().zip(lines);
        let earliest = all.clone().min_by_key(|(one, _)| one.ends_s);
        let (first, line) = earliest.ok_or_else(|| {
            TlsError::new(
                path,
                "holds no certificate",
                "write the certificate into it",
            )
        })?;
        let begins = parsed.iter().map(|one| one.begins_s);
        let pairs = all.clone().zip(all.skip(1));
        let mut strangers = pairs.filter(|((one, _), (next, _))| one.issuer != next.subject);
        Ok(Self {
            begins_s: begins.max().unwrap_or_default(),
            ends_s: first.ends_s,
            lifetime_s: first.ends_s.saturating_sub(first.begins_s),
            line,
            last_ends_s: parsed
                .iter()
                .map(|one| one.ends_s)
                .max()
                .unwrap_or_default(),
            out_of_order: strangers.next().map(|(_, (_, line))| line),
        })
    }

    /// The defect of the chain at this time. Seconds since 1970.
    #[must_use]
    pub(crate) fn fault(&self, now_s: i64) -> Option<ValidityFault> {
        let soon = i64::try_from(EXPIRY_WARNING.as_secs()).unwrap_or(i64::MAX);
        let left = self.ends_s.saturating_sub(now_s);
        if left <= 0 {
            Some(ValidityFault::Expired(self.ends_s))
        } else if now_s < self.begins_s {
            Some(ValidityFault::NotYetValid(self.begins_s))
        } else if left < soon.min(self.lifetime_s / 4) {
            Some(ValidityFault::ExpiresSoon(self.ends_s))
        } else {
            None
        }
    }

    /// Whether all certificates have ended. Each certificate of a bundle of authorities counts by
    /// itself.
    #[must_use]
    pub(crate) fn all_ended(&self, now_s: i64) -> bool {
        self.last_ends_s <= now_s
    }

    /// The line of the file that the fault is about.
    #[must_use]
    pub(crate) fn line(&self) -> usize {
        self.line
    }

    /// The line of a certificate that did not sign the one before it.
    #[must_use]
    pub(crate) fn out_of_order(&self) -> Option<usize> {
        self.out_of_order
    }
}

/// Parses certificates.
///
/// # Errors
///
/// One of them is malformed.
pub(crate) fn parse<'a>(
    path: &Path,
    chain: &'a [Certificate],
) -> Result<Vec<CertificateFields<'a>>, TlsError> {
    let parsed = chain.iter().map(|Certificate { der, line }| {
        certificate_fields(der.as_ref()).ok_or_else(|| {
            TlsError::new(
                path,
                &format!("is damaged: the block that begins at line {line} is not a certificate"),
                "copy the file again, byte for byte, or request a new certificate",
            )
        })
    });
    parsed.collect()
}

impl fmt::Display for ValidityFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Expired(at) => write!(f, "expired on {}", Date(*at)),
            Self::NotYetValid(at) => write!(f, "is not valid before {}", Date(*at)),
            Self::ExpiresSoon(at) => write!(f, "expires on {}", Date(*at)),
        }
    }
}

/// A time for people, in UTC.
pub(super) struct Date(pub(super) i64);

impl fmt::Display for Date {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let seconds = u64::try_from(self.0).unwrap_or_default();
        // A certificate without an end has the last second of the year 9999.
        let seconds = Duration::from_secs(seconds.min(253_402_300_799));
        let time = humantime::format_rfc3339_seconds(SystemTime::UNIX_EPOCH + seconds);
        write!(f, "{time}")
    }
}

/// A certificate that the gateway presents.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ServedCertificate {
    /// Its audience: `listener`, `admin`, `upstream`.
    pub(crate) audience: &'static str,
    /// A listener's address, or an upstream's name.
    pub(crate) name: String,
    /// The file of its chain.
    pub(crate) file: PathBuf,
    /// When the first certificate of its chain expires. Seconds since 1970.
    pub(crate) ends_s: i64,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_present_defects_are_reported() {
        const DAY: i64 = 24 * 3600;
        let of = |begins_s, ends_s| Validity {
            begins_s,
            ends_s,
            lifetime_s: ends_s - begins_s,
            line: 1,
            last_ends_s: ends_s,
            out_of_order: None,
        };
        let year = of(0, 365 * DAY);
        for (now_s, fault) in [
            (-1, Some(ValidityFault::NotYetValid(0))),
            (0, None),
            (350 * DAY, None),
            (352 * DAY, Some(ValidityFault::ExpiresSoon(365 * DAY))),
            (365 * DAY, Some(ValidityFault::Expired(365 * DAY))),
        ] {
            assert_eq!(year.fault(now_s), fault, "{now_s}");
        }
        // A certificate that lives for six days is renewed in its last third at the latest.
        let short = of(0, 6 * DAY);
        assert_eq!(short.fault(4 * DAY), None);
        assert_eq!(
            short.fault(5 * DAY),
            Some(ValidityFault::ExpiresSoon(6 * DAY))
        );
        assert_eq!(
            ValidityFault::Expired(1_577_836_800).to_string(),
            "expired on 2020-01-01T00:00:00Z"
        );
    }
}
