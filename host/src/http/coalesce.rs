//! Small writes in one piece.
//!
//! hyper writes a head and its body as two pieces, by `writev`. For a small answer that costs
//! more in the kernel than to copy a few hundred bytes and `send` them.

use std::cell::RefCell;
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll};

use hyper::rt::Write;

/// The most that is copied together. Bytes.
const MAX_COALESCED: usize = 4096;

thread_local! {
    /// Where pieces are put together: the worker's own, since it writes one thing at a time.
    static BUFFER: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
}

/// Give the pieces to `write_coalesced` in one piece if they are one or small together, else nothing.
pub(crate) fn coalesce<T>(pieces: &[IoSlice<'_>], write: impl FnOnce(Option<&[u8]>) -> T) -> T {
    if let [piece] = pieces {
        return write(Some(piece));
    }
    let size: usize = pieces.iter().map(|piece| piece.len()).sum();
    if size == 0 || size > MAX_COALESCED {
        return write(None);
    }
    BUFFER.with_borrow_mut(|space| {
        space.clear();
        for piece in pieces {
            space.extend_from_slice(piece);
        }
        write(Some(space))
    })
}

/// Write the pieces: in one piece if they are one or small together.
pub(crate) fn write_coalesced<S: Write + Unpin>(
    mut stream: Pin<&mut S>,
    cx: &mut Context<'_>,
    pieces: &[IoSlice<'_>],
) -> Poll<io::Result<usize>> {
    coalesce(pieces, |small| match small {
        Some(bytes) => stream.as_mut().poll_write(cx, bytes),
        None => stream.as_mut().poll_write_vectored(cx, pieces),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn small_pieces_are_written_as_one_and_large_ones_as_they_are() {
        let slice = |bytes: &'static [u8]| IoSlice::new(bytes);
        let written = |pieces: &[IoSlice<'_>]| coalesce(pieces, |bytes| bytes.map(<[u8]>::to_vec));
        assert_eq!(
            written(&[slice(b"head"), slice(b"body")]),
            Some(b"headbody".to_vec())
        );
        assert_eq!(
            written(&[slice(&[7; MAX_COALESCED + 1])]),
            Some(vec![7; MAX_COALESCED + 1])
        );
        assert_eq!(written(&[slice(b"head"), slice(&[7; MAX_COALESCED])]), None);
        assert_eq!(written(&[]), None);
    }
}
