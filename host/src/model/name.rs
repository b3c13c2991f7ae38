//! The rule for names: of sections, keys, plans, upstreams and labels.

/// The rule as JSON Schema and `OpenAPI` write it.
pub(crate) const NAME_PATTERN: &str = "^[A-Za-z0-9_-]{1,64}$";

/// Whether it is a name: letters, digits, `_` and `-`, at most 64.
#[must_use]
pub(crate) fn is_name(text: &str) -> bool {
    let allowed = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'-';
    (1..=64).contains(&text.len()) && text.bytes().all(allowed)
}
