//! OCSP responses for stapling (RFC 6066 section 8), read from files.
//!
//! It promises that only a response is stapled that calls the certificate good and is current: clients
//! treat another one as worse than none. It deliberately does not verify the response's signature: each
//! client does.

use std::path::Path;

use x509_cert::der::Decode as _;
use x509_ocsp::{BasicOcspResponse, CertStatus, OcspResponse, OcspResponseStatus};

use super::certificate::Date;
use super::{TlsError, pem};

/// An OCSP response.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Staple {
    /// The response, DER.
    pub(super) response: Vec<u8>,
    /// When it is out of date. Seconds since 1970. None: it does not say.
    pub(super) ends_s: Option<i64>,
}

/// Why a response is not stapled.
#[derive(Debug)]
pub(super) enum OcspFault {
    /// The file is of no use at any time.
    Unusable(TlsError),
    /// The file was of use, and a newer one will be.
    Ignored(TlsError),
}

/// Reads the response in this file for the certificate with this serial number.
pub(super) fn read(path: &Path, serial: &[u8], now_s: i64) -> Result<Staple, OcspFault> {
    let response = pem::bytes(path, "the OCSP response").map_err(OcspFault::Unusable)?;
    let staple = Staple {
        ends_s: check(path, &response, serial, now_s)?,
        response: response.to_vec(),
    };
    Ok(staple)
}

/// When the response is out of date.
fn check(
    path: &Path,
    response: &[u8],
    serial: &[u8],
    now_s: i64,
) -> Result<Option<i64>, OcspFault> {
    let unusable = |what: &str, help: &str| OcspFault::Unusable(TlsError::new(path, what, help));
    let malformed = || {
        unusable(
            "is no OCSP response in DER",
            "get one: `openssl ocsp -issuer ca.pem -cert api.pem -url <the responder's> -respout api.ocsp`",
        )
    };
    let outer = OcspResponse::from_der(response).map_err(|_| malformed())?;
    if outer.response_status != OcspResponseStatus::Successful {
        let what = format!(
            "holds no answer: its status is `{:?}`",
            outer.response_status
        );
        return Err(unusable(&what, "ask the responder again"));
    }
    let inner = outer.response_bytes.ok_or_else(malformed)?;
    let basic = BasicOcspResponse::from_der(inner.response.as_bytes()).map_err(|_| malformed())?;
    let mut answers = basic.tbs_response_data.responses.iter();
    let found =
        answers.find(|one| trimmed(one.cert_id.serial_number.as_bytes()) == trimmed(serial));
    let Some(found) = found else {
        return Err(unusable(
            "is the OCSP response for another certificate",
            "name the response for this one: its serial number is that of `openssl x509 -noout -serial -in <certificate>`",
        ));
    };
    let ignored = |what: &str, help: &str| Err(OcspFault::Ignored(TlsError::new(path, what, help)));
    match found.cert_status {
        CertStatus::Good(_) => {}
        CertStatus::Revoked(_) => {
            return ignored(
                "says that the certificate is revoked, and is not stapled",
                "request a new certificate: clients that look for revocations refuse this one",
            );
        }
        CertStatus::Unknown(_) => {
            return ignored(
                "says that the responder does not know the certificate, and is not stapled",
                "ask the responder of the authority that signed the certificate",
            );
        }
    }
    let ends_s = found.next_update.as_ref().map(|time| {
        let since_1970 = time.0.to_unix_duration();
        i64::try_from(since_1970.as_secs()).unwrap_or(i64::MAX)
    });
    if let Some(ends_s) = ends_s.filter(|ends_s| *ends_s <= now_s) {
        let what = format!("is out of date since {}, and is not stapled", Date(ends_s));
        return ignored(
            &what,
            "let a timer get a new one before each is out of date; Windlass reads it by itself",
        );
    }
    Ok(ends_s)
}

/// A number without the zeros before it.
fn trimmed(number: &[u8]) -> &[u8] {
    let zeros = number.iter().take_while(|byte| **byte == 0).count();
    number.get(zeros..).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use x509_cert::der::asn1::{BitString, GeneralizedTime, Null, OctetString};
    use x509_cert::der::oid::ObjectIdentifier;
    use x509_cert::der::{DateTime, Encode as _};
    use x509_cert::serial_number::SerialNumber;
    use x509_cert::spki::AlgorithmIdentifierOwned;
    use x509_ocsp::{
        CertId, OcspGeneralizedTime, ResponderId, ResponseBytes, ResponseData, RevokedInfo,
        SingleResponse, Version,
    };

    use super::*;

    const SERIAL: &[u8] = &[0, 0xab, 0xcd];
    /// 2026-01-02T00:00:00Z.
    const NEXT: i64 = 1_767_312_000;

    fn time(day: u8) -> OcspGeneralizedTime {
        let time = DateTime::new(2026, 1, day, 0, 0, 0).unwrap();
        OcspGeneralizedTime(GeneralizedTime::from_date_time(time))
    }

    fn algorithm() -> AlgorithmIdentifierOwned {
        AlgorithmIdentifierOwned {
            oid: ObjectIdentifier::new_unwrap("1.3.14.3.2.26"),
            parameters: None,
        }
    }

    fn response(status: CertStatus) -> Vec<u8> {
        let basic = BasicOcspResponse {
            tbs_response_data: ResponseData {
                version: Version::V1,
                responder_id: ResponderId::ByKey(OctetString::new([1; 20]).unwrap()),
                produced_at: time(1),
                responses: vec![SingleResponse {
                    cert_id: CertId {
                        hash_algorithm: algorithm(),
                        issuer_name_hash: OctetString::new([2; 20]).unwrap(),
                        issuer_key_hash: OctetString::new([3; 20]).unwrap(),
                        serial_number: SerialNumber::new(SERIAL).unwrap(),
                    },
                    cert_status: status,
                    this_update: time(1),
                    next_update: Some(time(2)),
                    single_extensions: None,
                }],
                response_extensions: None,
            },
            signature_algorithm: algorithm(),
            signature: BitString::from_bytes(&[4; 8]).unwrap(),
            certs: None,
        };
        let outer = OcspResponse {
            response_status: OcspResponseStatus::Successful,
            response_bytes: Some(ResponseBytes {
                response_type: ObjectIdentifier::new_unwrap("1.3.6.1.5.5.7.48.1.1"),
                response: OctetString::new(basic.to_der().unwrap()).unwrap(),
            }),
        };
        outer.to_der().unwrap()
    }

    fn verdict(response: &[u8], serial: &[u8], now_s: i64) -> Result<Option<i64>, String> {
        check(Path::new("api.ocsp"), response, serial, now_s).map_err(|fault| match fault {
            OcspFault::Unusable(error) => format!("unusable: {error}"),
            OcspFault::Ignored(error) => format!("ignored: {error}"),
        })
    }

    #[test]
    fn only_a_current_answer_that_the_certificate_is_good_is_stapled() {
        let good = response(CertStatus::Good(Null));
        assert_eq!(verdict(&good, SERIAL, NEXT - 1), Ok(Some(NEXT)));
        let revoked = CertStatus::Revoked(RevokedInfo {
            revocation_time: time(1),
            revocation_reason: None,
        });
        for (bytes, serial, now_s, text) in [
            (
                &good[..],
                SERIAL,
                NEXT,
                "ignored: `api.ocsp` is out of date since 2026-01-02T00:00:00Z",
            ),
            (
                &good,
                &[1],
                0,
                "unusable: `api.ocsp` is the OCSP response for another",
            ),
            (
                &good[..40],
                SERIAL,
                0,
                "unusable: `api.ocsp` is no OCSP response in DER",
            ),
            (
                &response(revoked),
                SERIAL,
                0,
                "ignored: `api.ocsp` says that the certificate is revoked",
            ),
            (
                &response(CertStatus::Unknown(Null)),
                SERIAL,
                0,
                "ignored: `api.ocsp` says that the responder does not know",
            ),
            (
                &[0x30, 3, 10, 1, 3],
                SERIAL,
                0,
                "unusable: `api.ocsp` holds no answer: its status is `TryLater`",
            ),
        ] {
            let found = verdict(bytes, serial, now_s).unwrap_err();
            assert!(found.starts_with(text), "{found}");
        }
    }
}
