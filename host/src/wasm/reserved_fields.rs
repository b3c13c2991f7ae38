//! The fields that no filter may edit.

use http::{HeaderName, header};

use super::bindings::types::EditError;

/// Fields that frame a message or belong to one connection (RFC 9110, section 7.6.1; RFC 9112, section
/// 6), and `host`, which `set-authority` edits. All but `host` are the SDK's `RESERVED_FIELDS`.
static RESERVED: [HeaderName; 11] = [
    header::CONNECTION,
    header::CONTENT_LENGTH,
    header::HOST,
    header::EXPECT,
    header::TE,
    header::TRAILER,
    header::TRANSFER_ENCODING,
    header::UPGRADE,
    HeaderName::from_static("keep-alive"),
    HeaderName::from_static("proxy-connection"),
    HeaderName::from_static("http2-settings"),
];

/// Whether only the host may edit a field.
#[must_use]
pub(crate) fn is_reserved(name: &HeaderName) -> bool {
    RESERVED.contains(name)
}

/// The name of a field that a filter may edit.
///
/// # Errors
///
/// It is not a field name, or only the host may edit the field.
pub(crate) fn parse_name(name: &str) -> Result<HeaderName, EditError> {
    let name = HeaderName::from_bytes(name.as_bytes()).map_err(|_| EditError::Syntax)?;
    if is_reserved(&name) {
        return Err(EditError::Forbidden);
    }
    Ok(name)
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn the_sdk_names_the_same_reserved_fields() {
        let own: BTreeSet<&str> = RESERVED.iter().map(HeaderName::as_str).collect();
        let mut of_sdk = BTreeSet::from(windlass_plugin_sdk::RESERVED_FIELDS);
        of_sdk.insert("host");
        assert_eq!(own, of_sdk);
    }
}
