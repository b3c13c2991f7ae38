//! Files that the operator named in the filter's table: `documents = { api = "openapi.yaml" }`.
//!
//! The gateway reads them before it makes the filter, and makes new instances after they change. So they are a part of
//! the settings: read them in [`Filter::configure`](crate::Filter::configure), and keep the parsed result. No grant is
//! needed.
//!
//! ```no_run
//! use windlass_plugin_sdk::Diagnostic;
//! use windlass_plugin_sdk::host::documents;
//!
//! fn lines() -> Result<Vec<String>, Vec<Diagnostic>> {
//!     let text = documents::text("list")?;
//!     if text.is_empty() {
//!         return Err(vec![Diagnostic::of_document("list", "is empty, wanted at least one line")]);
//!     }
//!     Ok(text.lines().map(str::to_owned).collect())
//! }
//! ```

use crate::Diagnostic;
use crate::gateway::documents;

/// The names that the operator gave, in alphabetical order.
#[must_use]
pub fn names() -> Vec<String> {
    documents::names()
}

/// The length of a document in bytes. `None` if there is no document of this name.
#[must_use]
pub fn size(name: &str) -> Option<u64> {
    documents::size(name)
}

/// A whole document. `None` if there is no document of this name.
#[must_use]
pub fn read(name: &str) -> Option<Vec<u8>> {
    documents::read(name, 0, u32::MAX)
}

/// Up to `len` bytes of a document from `offset`, fewer at its end. `None` if there is no document of this name.
#[must_use]
pub fn read_range(name: &str, offset: u64, len: u32) -> Option<Vec<u8>> {
    documents::read(name, offset, len)
}

/// The SHA-256 of a document: 32 bytes. `None` if there is no document of this name.
#[must_use]
pub fn digest(name: &str) -> Option<[u8; 32]> {
    documents::digest(name)?.try_into().ok()
}

/// A whole document that the filter requires, as text.
///
/// # Errors
/// An error for `configure` to return: there is no document of this name, or it is not UTF-8.
pub fn text(name: &str) -> Result<String, Vec<Diagnostic>> {
    let Some(bytes) = read(name) else {
        return Err(vec![missing(name)]);
    };
    String::from_utf8(bytes).map_err(|error| vec![not_text(name, error.utf8_error().valid_up_to())])
}

fn missing(name: &str) -> Diagnostic {
    let message = format!(
        "the plugin needs a document `{name}`: add `documents = {{ {name} = \"<file>\" }}` to the filter"
    );
    Diagnostic::new("", message)
}

fn not_text(name: &str, valid: usize) -> Diagnostic {
    let message = format!("`{name}` is not UTF-8 text: the byte at {valid} is none of it");
    Diagnostic::of_document(name, message)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn complaints_say_where_and_what_to_do() {
        let complaint = missing("api");
        assert_eq!(complaint.at, "");
        assert!(
            complaint
                .message
                .contains("`documents = { api = \"<file>\" }`"),
            "{}",
            complaint.message
        );
        assert_eq!(not_text("api", 7).at, "documents/api");
    }
}
