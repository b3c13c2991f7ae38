//! A chunk of a body, or the whole body. The bytes stay in the gateway until the filter reads them.

use super::Trailers;
use crate::EditError;
use crate::gateway::exchange;

/// The current chunk of the body, which the gateway holds.
#[derive(Debug)]
pub struct Piece {
    len: u64,
    last: bool,
}

impl Piece {
    pub(crate) const fn current(len: u64, last: bool) -> Self {
        Self { len, last }
    }

    /// The length of the chunk as it arrived, in bytes. Zero for an empty body, and possibly in the
    /// last call.
    #[must_use]
    pub fn len(&self) -> u64 {
        self.len
    }

    /// Whether the chunk arrived without bytes.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Whether this is the last call for this body. Always true with `whole`.
    #[must_use]
    pub fn is_last(&self) -> bool {
        self.last
    }

    /// A copy of up to `len` bytes from `offset`, fewer at the end of the chunk.
    #[inline]
    #[must_use]
    pub fn read(&self, offset: u64, len: u32) -> Vec<u8> {
        exchange::read_piece(offset, len)
    }

    /// A copy of the whole chunk.
    #[must_use]
    pub fn read_all(&self) -> Vec<u8> {
        self.read(0, u32::try_from(self.len).unwrap_or(u32::MAX))
    }

    /// Replaces the chunk by these bytes. Empty bytes drop it.
    ///
    /// # Errors
    /// The reason why the gateway refused the edit.
    #[inline]
    pub fn replace(&mut self, bytes: impl AsRef<[u8]>) -> Result<(), EditError> {
        exchange::replace_piece(bytes.as_ref())
    }

    /// Adds bytes before the chunk, without copying the chunk.
    ///
    /// # Errors
    /// The reason why the gateway refused the edit.
    #[inline]
    pub fn prepend(&mut self, bytes: impl AsRef<[u8]>) -> Result<(), EditError> {
        exchange::prepend_piece(bytes.as_ref())
    }

    /// Adds bytes after the chunk, without copying the chunk.
    ///
    /// # Errors
    /// The reason why the gateway refused the edit.
    #[inline]
    pub fn append(&mut self, bytes: impl AsRef<[u8]>) -> Result<(), EditError> {
        exchange::append_piece(bytes.as_ref())
    }

    /// The trailers of this message; available only in the last call.
    #[must_use]
    pub fn trailers(&mut self) -> Trailers {
        Trailers::current()
    }
}
