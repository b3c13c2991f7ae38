//! Edits of responses that a filter requests before there is one. The gateway makes them for the filter, without a
//! call. No grant is needed. For every response, use [`Setup::edit_response`](crate::Setup::edit_response); for the
//! response to the current request, [`Request::edit_response`](crate::Request::edit_response).

use crate::EditError;
use crate::gateway::response_edits;

pub use response_edits::ResponseEdit;

impl<'a> ResponseEdit<'a> {
    /// Replaces all values of a field by this one.
    pub fn set(name: &'a str, value: &'a (impl AsRef<[u8]> + ?Sized)) -> Self {
        Self::Set((name, value.as_ref()))
    }

    /// Adds a value after the existing ones.
    pub fn append(name: &'a str, value: &'a (impl AsRef<[u8]> + ?Sized)) -> Self {
        Self::Append((name, value.as_ref()))
    }

    /// Adds a member to a list, for example `vary` (RFC 9110, section 5.6.1), as a value of its own. Does nothing if
    /// the field already has the member, in any case of letters, or has `*`.
    pub fn add_member(name: &'a str, value: &'a (impl AsRef<[u8]> + ?Sized)) -> Self {
        Self::AddMember((name, value.as_ref()))
    }

    /// Removes all values of a field.
    #[must_use]
    pub fn remove(name: &'a str) -> Self {
        Self::Remove(name)
    }
}

/// An edit for every response, kept until `configure` ends.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum OwnedEdit {
    Set(String, Vec<u8>),
    Append(String, Vec<u8>),
    AddMember(String, Vec<u8>),
    Remove(String),
}

impl From<ResponseEdit<'_>> for OwnedEdit {
    fn from(edit: ResponseEdit<'_>) -> Self {
        match edit {
            ResponseEdit::Set((name, value)) => Self::Set(name.into(), value.into()),
            ResponseEdit::Append((name, value)) => Self::Append(name.into(), value.into()),
            ResponseEdit::AddMember((name, value)) => Self::AddMember(name.into(), value.into()),
            ResponseEdit::Remove(name) => Self::Remove(name.into()),
        }
    }
}

impl OwnedEdit {
    fn borrowed(&self) -> ResponseEdit<'_> {
        match self {
            Self::Set(name, value) => ResponseEdit::set(name, value),
            Self::Append(name, value) => ResponseEdit::append(name, value),
            Self::AddMember(name, value) => ResponseEdit::add_member(name, value),
            Self::Remove(name) => ResponseEdit::remove(name),
        }
    }
}

/// Gives the gateway edits of every response.
pub(crate) fn tell(edits: &[OwnedEdit]) -> Result<(), EditError> {
    let edits: Vec<_> = edits.iter().map(OwnedEdit::borrowed).collect();
    response_edits::edit(&edits)
}

/// Tells the gateway that `on-response` has nothing to do.
pub(crate) fn skip_on_response() {
    response_edits::skip_on_response();
}

/// Gives the gateway edits of the response to the current request.
#[inline]
pub(crate) fn edit(edits: &[ResponseEdit<'_>]) -> Result<(), EditError> {
    response_edits::edit(edits)
}
