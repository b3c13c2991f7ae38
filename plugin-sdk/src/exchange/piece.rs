//! A piece of a body, or the whole of it. The bytes stay in the gateway until they are read.

use super::Trailers;
use crate::EditError;
use crate::bindings::lifecycle::windlass::host::exchange;

/// The piece of the body that waits in the gateway.
#[derive(Debug)]
pub struct Piece {
    len: u64,
    last: bool,
}

impl Piece {
    pub(crate) const fn current(len: u64, last: bool) -> Self {
        Self { len, last }
    }

    /// Its length in bytes, as it came. Zero for an empty body, and possible in the last call.
    #[must_use]
    pub fn len(&self) -> u64 {
        self.len
    }

    /// Whether it came without a byte.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Whether this is the last call for this body; true in every call of `whole`.
    #[must_use]
    pub fn is_last(&self) -> bool {
        self.last
    }

    /// A copy of up to `len` bytes from `offset`, fewer at the end of the piece.
    #[inline]
    #[must_use]
    pub fn read(&self, offset: u64, len: u32) -> Vec<u8> {
        exchange::read_piece(offset, len)
    }

    /// A copy of the whole piece.
    #[must_use]
    pub fn read_all(&self) -> Vec<u8> {
        self.read(0, u32::try_from(self.len).unwrap_or(u32::MAX))
    }

    /// Puts these bytes in the place of the piece. Empty drops it.
    ///
    /// # Errors
    /// Why the gateway refused the edit.
    #[inline]
    pub fn replace(&mut self, bytes: impl AsRef<[u8]>) -> Result<(), EditError> {
        exchange::replace_piece(bytes.as_ref())
    }

    /// Puts bytes before the piece, without copying what is there.
    ///
    /// # Errors
    /// Why the gateway refused the edit.
    #[inline]
    pub fn prepend(&mut self, bytes: impl AsRef<[u8]>) -> Result<(), EditError> {
        exchange::prepend_piece(bytes.as_ref())
    }

    /// Puts bytes after the piece, without copying what is there.
    ///
    /// # Errors
    /// Why the gateway refused the edit.
    #[inline]
    pub fn append(&mut self, bytes: impl AsRef<[u8]>) -> Result<(), EditError> {
        exchange::append_piece(bytes.as_ref())
    }

    /// The trailers of this message; there in the last call only.
    #[must_use]
    pub fn trailers(&mut self) -> Trailers {
        Trailers::current()
    }
}
