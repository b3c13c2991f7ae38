//! The fields of a head and of trailers.

use crate::Message;
use crate::gateway::exchange;

/// The reads and edits that requests, responses and trailers share.
macro_rules! fields {
    ($handle:ty, $message:expr) => {
        impl $handle {
            /// The first value of a field, or `None` if it is absent.
            #[inline]
            #[must_use]
            pub fn header(&self, name: &str) -> Option<$crate::FieldValue> {
                exchange::header($message, name)
            }

            /// The first value of a field as text. `None` if it is absent or not UTF-8.
            #[inline]
            #[must_use]
            pub fn header_text(&self, name: &str) -> Option<String> {
                exchange::header_text($message, name)
            }

            /// Every value of a field, in order.
            #[inline]
            #[must_use]
            pub fn header_all(&self, name: &str) -> Vec<$crate::FieldValue> {
                exchange::header_all($message, name)
            }

            /// The first value of each of these fields, in one call.
            #[inline]
            #[must_use]
            pub fn header_many<const N: usize>(
                &self,
                names: [&str; N],
            ) -> [Option<$crate::FieldValue>; N] {
                let mut values = exchange::header_many($message, &names).into_iter();
                core::array::from_fn(|_| values.next().flatten())
            }

            /// All fields. This copies the whole head into one buffer, so prefer the reads by name.
            #[inline]
            #[must_use]
            pub fn headers(&self) -> $crate::PackedFields {
                $crate::PackedFields::new(exchange::headers_packed($message))
            }

            /// Replaces all values of a field by this one.
            ///
            /// # Errors
            /// The reason why the gateway refused the edit.
            #[inline]
            pub fn set_header(
                &mut self,
                name: &str,
                value: impl AsRef<[u8]>,
            ) -> Result<(), $crate::EditError> {
                exchange::set_header($message, name, value.as_ref())
            }

            /// Sets several fields in one call: all of them, or none.
            ///
            /// # Errors
            /// The reason why the gateway refused the edit.
            #[inline]
            pub fn set_headers(
                &mut self,
                fields: &[(&str, &[u8])],
            ) -> Result<(), $crate::EditError> {
                exchange::set_headers($message, fields)
            }

            /// Adds a value after the existing ones.
            ///
            /// # Errors
            /// The reason why the gateway refused the edit.
            #[inline]
            pub fn append_header(
                &mut self,
                name: &str,
                value: impl AsRef<[u8]>,
            ) -> Result<(), $crate::EditError> {
                exchange::append_header($message, name, value.as_ref())
            }

            /// Removes all values of a field. Returns how many there were.
            ///
            /// # Errors
            /// The reason why the gateway refused the edit.
            #[inline]
            pub fn remove_header(&mut self, name: &str) -> Result<u32, $crate::EditError> {
                exchange::remove_header($message, name)
            }
        }
    };
}
pub(super) use fields;

/// The trailers of the message whose body is being passed. A filter can read and edit them only in the last call of a
/// body phase.
#[derive(Debug)]
pub struct Trailers(());

impl Trailers {
    pub(super) const fn current() -> Self {
        Self(())
    }
}

fields!(Trailers, Message::Trailers);

/// The fields of a head, copied into one buffer. Iterate over them with a `for` loop.
#[derive(Debug, Clone)]
pub struct PackedFields(Vec<u8>);

impl PackedFields {
    pub(crate) fn new(packed: Vec<u8>) -> Self {
        Self(packed)
    }

    /// Names and values, in order.
    pub fn iter(&self) -> impl Iterator<Item = Field<'_>> {
        let mut rest = self.0.as_slice();
        core::iter::from_fn(move || {
            let (field, after) = split_field(rest)?;
            rest = after;
            Some(field)
        })
    }
}

/// A name and a value.
type Field<'a> = (&'a str, &'a [u8]);

/// Repeated: u16 name length, u32 value length (both little-endian), name, value.
fn split_field(packed: &[u8]) -> Option<(Field<'_>, &[u8])> {
    let (name_len, packed) = packed.split_first_chunk::<2>()?;
    let (value_len, packed) = packed.split_first_chunk::<4>()?;
    let name_len = usize::from(u16::from_le_bytes(*name_len));
    let value_len = usize::try_from(u32::from_le_bytes(*value_len)).ok()?;
    let (name, packed) = packed.split_at_checked(name_len)?;
    let (value, packed) = packed.split_at_checked(value_len)?;
    Some(((core::str::from_utf8(name).ok()?, value), packed))
}

/// Whether this is a legal field name: a token (RFC 9110, section 5.6.2).
#[must_use]
pub fn is_field_name(name: &str) -> bool {
    !name.is_empty()
        && name
            .bytes()
            .all(|byte| byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte))
}

/// Whether this is a legal field value: no control character but the tab (RFC 9110,
/// section 5.5).
#[must_use]
pub fn is_field_value(value: &[u8]) -> bool {
    value
        .iter()
        .all(|&byte| byte == b'\t' || (byte >= b' ' && byte != 0x7f))
}

/// The fields that only the gateway sets: those of framing (RFC 9112, section 6), those of one connection (RFC 9110,
/// section 7.6.1; RFC 9113, section 8.2.2; RFC 7540, section 3.2.1), and `expect`, which it answers itself. `host` is
/// reserved too: edit it by [`Request::set_authority`](crate::Request::set_authority).
pub const RESERVED_FIELDS: [&str; 10] = [
    "connection",
    "content-length",
    "expect",
    "http2-settings",
    "keep-alive",
    "proxy-connection",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
];

/// Whether only the gateway sets this field, that is, whether it is one of [`RESERVED_FIELDS`]. Use this for checks in
/// `configure`; the gateway refuses the edit in any case.
#[must_use]
pub fn is_reserved_field(name: &str) -> bool {
    let mut reserved = RESERVED_FIELDS.iter();
    reserved.any(|reserved| name.eq_ignore_ascii_case(reserved))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pack(fields: &[(&str, &[u8])]) -> Vec<u8> {
        let mut packed = Vec::new();
        for (name, value) in fields {
            packed.extend(u16::try_from(name.len()).unwrap().to_le_bytes());
            packed.extend(u32::try_from(value.len()).unwrap().to_le_bytes());
            packed.extend(name.as_bytes());
            packed.extend(*value);
        }
        packed
    }

    #[test]
    fn packed_fields_come_back() {
        let fields: [(&str, &[u8]); 3] =
            [("host", b"example.com"), ("x-empty", b""), ("x", b"\xff")];
        let packed = PackedFields::new(pack(&fields));
        assert_eq!(packed.iter().collect::<Vec<_>>(), fields);
    }

    #[test]
    fn a_cut_buffer_ends_early() {
        let mut packed = pack(&[("host", b"example.com"), ("accept", b"*/*")]);
        packed.pop();
        assert_eq!(PackedFields::new(packed).iter().count(), 1);
    }

    #[test]
    fn names_are_tokens() {
        assert!(is_field_name("X-Api-Key"));
        for bad in ["", "x y", "x:", "ä", "x\r\n"] {
            assert!(!is_field_name(bad), "{bad:?}");
        }
    }

    #[test]
    fn values_hold_no_line_ends() {
        assert!(is_field_value(b"a\tb \xff"));
        for bad in [b"a\rb", b"a\nb", b"a\0b"] {
            assert!(!is_field_value(bad), "{bad:?}");
        }
    }

    #[test]
    fn reserved_names_are_known_in_any_case() {
        assert!(is_reserved_field("Transfer-Encoding"));
        assert!(!is_reserved_field("x-te"));
    }
}
