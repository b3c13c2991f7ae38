//! A chunk of a body: bytes that stay in the host while a filter looks at them.
//!
//! A chunk is a list of the buffers that arrived, so that buffering a whole body copies nothing. A
//! guest copies only the ranges that it reads.

use bytes::{Bytes, BytesMut};
use smallvec::SmallVec;

/// Bytes in the host, in order.
#[derive(Debug, Clone, Default)]
pub(crate) struct Chunk {
    parts: SmallVec<[Bytes; 2]>,
    len: u64,
}

impl Chunk {
    /// How many bytes.
    #[must_use]
    pub(crate) fn len(&self) -> u64 {
        self.len
    }

    #[must_use]
    pub(crate) fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Put bytes at the end.
    pub(crate) fn append(&mut self, bytes: Bytes) {
        if !bytes.is_empty() {
            self.len += bytes.len() as u64;
            self.parts.push(bytes);
        }
    }

    /// Put bytes at the beginning.
    pub(crate) fn prepend(&mut self, bytes: Bytes) {
        if !bytes.is_empty() {
            self.len += bytes.len() as u64;
            self.parts.insert(0, bytes);
        }
    }

    /// Put another chunk at the end.
    pub(crate) fn join(&mut self, other: Self) {
        self.len += other.len;
        self.parts.extend(other.parts);
    }

    /// A copy of up to `len` bytes from `offset`.
    #[must_use]
    pub(crate) fn read(&self, offset: u64, len: u32) -> Vec<u8> {
        let room = self.len.saturating_sub(offset).min(len.into());
        let mut copy = Vec::with_capacity(usize::try_from(room).unwrap_or(0));
        let mut skip = offset;
        for part in &self.parts {
            let size = part.len() as u64;
            if skip >= size {
                skip -= size;
                continue;
            }
            let wanted = usize::try_from(room).unwrap_or(usize::MAX) - copy.len();
            let from = usize::try_from(skip).unwrap_or(usize::MAX);
            let rest = part.get(from..).unwrap_or_default();
            copy.extend_from_slice(rest.get(..wanted).unwrap_or(rest));
            skip = 0;
            if copy.len() as u64 == room {
                break;
            }
        }
        copy
    }

    /// All bytes in one buffer; copies only where there are several parts.
    #[must_use]
    pub(crate) fn into_bytes(mut self) -> Bytes {
        if self.parts.len() <= 1 {
            return self.parts.pop().unwrap_or_default();
        }
        let mut joined = BytesMut::with_capacity(usize::try_from(self.len).unwrap_or(0));
        for part in &self.parts {
            joined.extend_from_slice(part);
        }
        joined.freeze()
    }

    /// The buffers, in order.
    pub(crate) fn into_parts(self) -> impl DoubleEndedIterator<Item = Bytes> {
        self.parts.into_iter()
    }
}

impl From<Bytes> for Chunk {
    fn from(bytes: Bytes) -> Self {
        let mut chunk = Self::default();
        chunk.append(bytes);
        chunk
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn reads_like_one_buffer(
            parts in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..20), 0..6),
            offset in 0_u64..150,
            len in 0_u32..150,
        ) {
            let mut chunk = Chunk::default();
            for part in &parts {
                chunk.append(part.clone().into());
            }
            let whole = parts.concat();
            let wanted: Vec<u8> =
                whole.iter().copied().skip(usize::try_from(offset).unwrap()).take(usize::try_from(len).unwrap()).collect();
            prop_assert_eq!(chunk.read(offset, len), wanted);
            prop_assert_eq!(chunk.len(), whole.len() as u64);
            prop_assert_eq!(chunk.into_bytes(), whole);
        }
    }

    #[test]
    fn prepended_bytes_come_first() {
        let mut chunk = Chunk::from(Bytes::from_static(b"b"));
        chunk.prepend(Bytes::from_static(b"a"));
        chunk.join(Chunk::from(Bytes::from_static(b"c")));
        assert_eq!(chunk.read(0, 10), b"abc");
    }
}
