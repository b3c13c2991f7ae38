//! Reads the few fields of a certificate that the gateway uses, its dates and its names (RFC 5280
//! section 4.1), from DER (X.690).
//!
//! Pure. It promises never to read past its input, and to invent nothing that is missing. It
//! deliberately does not judge whether a certificate is valid: rustls parses all of it, and
//! refuses malformed ones.

use jiff::civil::Date;

use crate::model::date::days_to;

/// The tags of ASN.1 types.
const INTEGER: u8 = 0x02;
const UTC_TIME: u8 = 0x17;
const GENERALIZED_TIME: u8 = 0x18;
const SEQUENCE: u8 = 0x30;
const VERSION: u8 = 0xa0;

/// The fields that are read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct CertificateFields<'a> {
    /// Its number, as encoded: big-endian, with a zero in front if it would be negative.
    pub(crate) serial: &'a [u8],
    /// The signer, as encoded.
    pub(crate) issuer: &'a [u8],
    /// The owner, as encoded.
    pub(crate) subject: &'a [u8],
    /// The start of its validity. Seconds since 1970.
    pub(crate) begins_s: i64,
    /// The end of its validity. Seconds since 1970.
    pub(crate) ends_s: i64,
}

/// Reads a certificate. None: it is not one.
pub(crate) fn certificate_fields(certificate: &[u8]) -> Option<CertificateFields<'_>> {
    let (SEQUENCE, inside, []) = value(certificate)? else {
        return None;
    };
    let (SEQUENCE, mut rest, _signature) = value(inside)? else {
        return None;
    };
    if let (VERSION, _, after) = value(rest)? {
        rest = after;
    }
    let (serial, rest) = expect(INTEGER, rest)?;
    let (_algorithm, rest) = expect(SEQUENCE, rest)?;
    let (issuer, rest) = expect(SEQUENCE, rest)?;
    let (validity, rest) = expect(SEQUENCE, rest)?;
    let (subject, _key) = expect(SEQUENCE, rest)?;
    let (kind, begins, ends) = value(validity)?;
    let begins_s = time(kind, begins)?;
    let (kind, ends, []) = value(ends)? else {
        return None;
    };
    Some(CertificateFields {
        serial,
        issuer,
        subject,
        begins_s,
        ends_s: time(kind, ends)?,
    })
}

/// Reads a value with this tag. Returns it with the remaining bytes.
fn expect(tag: u8, bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let (found, inside, rest) = value(bytes)?;
    (found == tag).then_some((inside, rest))
}

/// Reads any value. Returns its tag, the value, and the remaining bytes.
fn value(bytes: &[u8]) -> Option<(u8, &[u8], &[u8])> {
    let (tag, rest) = bytes.split_first()?;
    let (first, rest) = rest.split_first()?;
    let (length, rest) = match first {
        0..=0x7f => (usize::from(*first), rest),
        0x81..=0x84 => {
            let (length, rest) = rest.split_at_checked(usize::from(first & 0x7f))?;
            let length = length
                .iter()
                .fold(0, |sum, byte| sum << 8 | usize::from(*byte));
            (length, rest)
        }
        _ => return None,
    };
    let (inside, rest) = rest.split_at_checked(length)?;
    Some((*tag, inside, rest))
}

/// Reads `YYMMDDHHMMSSZ` or `YYYYMMDDHHMMSSZ` (RFC 5280 section 4.1.2.5) as seconds since 1970.
fn time(kind: u8, text: &[u8]) -> Option<i64> {
    let (years, rest) = text.split_at_checked(match kind {
        UTC_TIME => 2,
        GENERALIZED_TIME => 4,
        _ => return None,
    })?;
    let year = match (kind, number(years)?) {
        (UTC_TIME, year @ 50..) => 1900 + year,
        (UTC_TIME, year) => 2000 + year,
        (_, year) => year,
    };
    let digits = rest.strip_suffix(b"Z")?;
    let pairs: Option<Vec<i64>> = digits.chunks(2).map(number).collect();
    let [month, day, hour, minute, second] = pairs?.try_into().ok()?;
    let is_good =
        (0..24).contains(&hour) && (0..60).contains(&minute) && (0..=60).contains(&second);
    let day = Date::new(
        year.try_into().ok()?,
        month.try_into().ok()?,
        day.try_into().ok()?,
    );
    let seconds = hour * 3600 + minute * 60 + second;
    day.ok()
        .filter(|_| is_good)
        .map(|day| days_to(day) * 86_400 + seconds)
}

fn number(digits: &[u8]) -> Option<i64> {
    let text = std::str::from_utf8(digits).ok()?;
    let plain = text.len() >= 2 && text.bytes().all(|byte| byte.is_ascii_digit());
    plain.then(|| text.parse().ok())?
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn times_are_seconds_since_1970() {
        for (kind, text, seconds) in [
            (UTC_TIME, "700101000000Z", Some(0)),
            (UTC_TIME, "000229120000Z", Some(951_825_600)),
            (UTC_TIME, "491231235959Z", Some(2_524_607_999)),
            (UTC_TIME, "500101000000Z", Some(-631_152_000)),
            (GENERALIZED_TIME, "20500101000000Z", Some(2_524_608_000)),
            (GENERALIZED_TIME, "99991231235959Z", Some(253_402_300_799)),
            (UTC_TIME, "7001010000Z", None),
            (UTC_TIME, "701301000000Z", None),
            (UTC_TIME, "700101000000", None),
            (UTC_TIME, "+70101000000Z", None),
            (GENERALIZED_TIME, "700101000000Z", None),
            (INTEGER, "700101000000Z", None),
        ] {
            assert_eq!(time(kind, text.as_bytes()), seconds, "{text}");
        }
    }

    #[test]
    fn a_length_past_the_end_is_no_value() {
        for bytes in [
            &[][..],
            &[0x30],
            &[0x30, 1],
            &[0x30, 0x82, 1],
            &[0x30, 0x80, 0, 0],
            &[0x30, 0x85, 0, 0, 0, 0, 1, 9],
        ] {
            assert_eq!(value(bytes), None, "{bytes:?}");
        }
        assert_eq!(value(&[2, 1, 7, 9]), Some((2, &[7][..], &[9][..])));
    }

    proptest! {
        #[test]
        fn any_bytes_are_read_without_harm(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = certificate_fields(&bytes);
        }
    }
}
