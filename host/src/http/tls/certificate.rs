//! What certificates say of themselves: when they begin and end, and whether a chain is in order.
//!
//! Serves the configuration (warnings) and the metrics. Pure, but for reading the file. Deliberately
//! not here: whether a certificate may be trusted, which is rustls's business.

use std::fmt;
use std::path::Path;
use std::time::{Duration, SystemTime};

use rustls::client::verify_server_name;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::server::ParsedCertificate;

use super::TlsError;
use super::der::{CertificateFields, certificate_fields};
use super::pem::{self, Certificate};

/// A certificate with less time than this is told of, unless it lives so shortly that this is usual.
const EXPIRY_WARNING: Duration = Duration::from_secs(14 * 24 * 3600);

/// When a chain can be used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Validity {
    /// From here on: the latest begin of its certificates. Seconds since 1970.
    pub(crate) begins_s: i64,
    /// Until here: the earliest end.
    pub(crate) ends_s: i64,
    /// How long the certificate that ends first lives. Seconds.
    lifetime_s: i64,
    /// The line of that certificate.
    line: usize,
    /// The latest end of one of them. Seconds since 1970.
    last_ends_s: i64,
    /// The line of a certificate that did not sign the one before it.
    out_of_order: Option<usize>,
}

/// The certificate at the head of a chain, for the hosts that it names.
pub(crate) struct CertificateNames(CertificateDer<'static>);

impl CertificateNames {
    /// Whether it is for this host.
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

/// The names in the first certificate of this file. None where it cannot be read, which is told where
/// it is needed.
#[must_use]
pub(crate) fn names_of(path: &Path) -> Option<CertificateNames> {
    let first = pem::certificates(path).ok()?.into_iter().next()?;
    ParsedCertificate::try_from(&first.der).ok()?;
    Some(CertificateNames(first.der))
}

/// What is wrong with the time of a certificate, now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ValidityFault {
    Expired(i64),
    NotYetValid(i64),
    ExpiresSoon(i64),
}

impl Validity {
    /// Of the chain in this file.
    ///
    /// # Errors
    ///
    /// The file cannot be read, or holds something else.
    pub(crate) fn of_chain(path: &Path) -> Result<Self, TlsError> {
        let chain = pem::certificates(path)?;
        let parsed = parse(path, &chain)?;
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

    /// What is wrong with it at this time. Seconds since 1970.
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

    /// Whether all of them have ended: of authorities each stands for itself.
    #[must_use]
    pub(crate) fn all_ended(&self, now_s: i64) -> bool {
        self.last_ends_s <= now_s
    }

    /// The line of its file that this is about.
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

/// Read certificates.
///
/// # Errors
///
/// One of them is none.
pub(crate) fn parse<'a>(
    path: &Path,
    chain: &'a [Certificate],
) -> Result<Vec<CertificateFields<'a>>, TlsError> {
    let parsed = chain.iter().map(|Certificate { der, line }| {
        certificate_fields(der.as_ref()).ok_or_else(|| {
            TlsError::new(
                path,
                &format!("is damaged: the block that begins at line {line} is no certificate"),
                "copy the file again, byte for byte, or ask for the certificate anew",
            )
        })
    });
    parsed.collect()
}

/// Seconds since 1970, now.
#[must_use]
pub(crate) fn now_s() -> i64 {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH);
    since.map_or(0, |since| {
        i64::try_from(since.as_secs()).unwrap_or(i64::MAX)
    })
}

impl fmt::Display for ValidityFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Expired(at) => write!(f, "ended on {}", Date(*at)),
            Self::NotYetValid(at) => write!(f, "is not valid before {}", Date(*at)),
            Self::ExpiresSoon(at) => write!(f, "ends on {}", Date(*at)),
        }
    }
}

/// A moment for people, in UTC.
struct Date(i64);

impl fmt::Display for Date {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let seconds = u64::try_from(self.0).unwrap_or_default();
        // The last second of the year 9999 is what a certificate without an end says.
        let seconds = Duration::from_secs(seconds.min(253_402_300_799));
        let time = humantime::format_rfc3339_seconds(SystemTime::UNIX_EPOCH + seconds);
        write!(f, "{time}")
    }
}

/// One certificate that the gateway shows of itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ServedCertificate {
    /// To whom: `listener`, `admin`, `upstream`.
    pub(crate) audience: &'static str,
    /// A listener's address, or an upstream's name.
    pub(crate) name: String,
    /// When the first of its chain ends. Seconds since 1970.
    pub(crate) ends_s: i64,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_wrong_now_is_told() {
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
        for (now_s, told) in [
            (-1, Some(ValidityFault::NotYetValid(0))),
            (0, None),
            (350 * DAY, None),
            (352 * DAY, Some(ValidityFault::ExpiresSoon(365 * DAY))),
            (365 * DAY, Some(ValidityFault::Expired(365 * DAY))),
        ] {
            assert_eq!(year.fault(now_s), told, "{now_s}");
        }
        // One that lives for six days is renewed in its last third at the latest.
        let short = of(0, 6 * DAY);
        assert_eq!(short.fault(4 * DAY), None);
        assert_eq!(
            short.fault(5 * DAY),
            Some(ValidityFault::ExpiresSoon(6 * DAY))
        );
        assert_eq!(
            ValidityFault::Expired(1_577_836_800).to_string(),
            "ended on 2020-01-01T00:00:00Z"
        );
    }
}
