//! One connection's bytes, in clear or through TLS.
//!
//! Both sides of the gateway read and write through this. It promises that a clear connection
//! costs a branch more than its socket, and nothing else, and that small pieces are written as one: hyper
//! writes a head and its body as two, and for a small response `writev` costs more in the kernel than a copy
//! of a few hundred bytes and one `send`. Deliberately not here: handshakes
//! ([`crate::server`] and [`crate::upstream`] make their own), and anything that knows HTTP.

use std::cell::RefCell;
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio_rustls::TlsStream;

/// The most that is copied together. Bytes.
const MAX_COALESCED: usize = 4096;

thread_local! {
    /// The buffer that joins pieces: one of the worker's, since it writes one thing at a time.
    static BUFFER: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
}

/// Call `write` with the pieces as one if they are one or small together, else with none.
fn coalesce<T>(pieces: &[IoSlice<'_>], write: impl FnOnce(Option<&[u8]>) -> T) -> T {
    if let [piece] = pieces {
        return write(Some(piece));
    }
    let size: usize = pieces.iter().map(|piece| piece.len()).sum();
    if size == 0 || size > MAX_COALESCED {
        return write(None);
    }
    BUFFER.with_borrow_mut(|buffer| {
        buffer.clear();
        for piece in pieces {
            buffer.extend_from_slice(piece);
        }
        write(Some(buffer))
    })
}

/// A connection.
#[derive(Debug)]
pub(crate) enum Stream {
    /// As it is.
    Clear(TcpStream),
    Tls(Box<TlsStream<TcpStream>>),
}

impl Stream {
    /// The socket below.
    #[must_use]
    pub(crate) fn socket(&self) -> &TcpStream {
        match self {
            Self::Clear(socket) => socket,
            Self::Tls(stream) => stream.get_ref().0,
        }
    }

    /// The protocol that ALPN (RFC 7301) agreed on.
    #[must_use]
    pub(crate) fn protocol(&self) -> Option<&[u8]> {
        match self {
            Self::Clear(_) => None,
            Self::Tls(stream) => stream.get_ref().1.alpn_protocol(),
        }
    }

    #[must_use]
    pub(crate) fn is_tls(&self) -> bool {
        matches!(self, Self::Tls(_))
    }
}

const _: () = {
    const fn is_send<T: Send>() {}
    is_send::<Stream>();
};

impl AsyncRead for Stream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        match &mut *self {
            Self::Clear(socket) => Pin::new(socket).poll_read(cx, buffer),
            Self::Tls(stream) => Pin::new(stream).poll_read(cx, buffer),
        }
    }
}

impl AsyncWrite for Stream {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        match &mut *self {
            Self::Clear(socket) => Pin::new(socket).poll_write(cx, bytes),
            Self::Tls(stream) => Pin::new(stream).poll_write(cx, bytes),
        }
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        pieces: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        coalesce(pieces, |small| {
            if let Some(bytes) = small {
                return self.as_mut().poll_write(cx, bytes);
            }
            match &mut *self {
                Self::Clear(socket) => Pin::new(socket).poll_write_vectored(cx, pieces),
                Self::Tls(stream) => Pin::new(stream).poll_write_vectored(cx, pieces),
            }
        })
    }

    fn is_write_vectored(&self) -> bool {
        match self {
            Self::Clear(socket) => socket.is_write_vectored(),
            Self::Tls(stream) => stream.is_write_vectored(),
        }
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut *self {
            Self::Clear(socket) => Pin::new(socket).poll_flush(cx),
            Self::Tls(stream) => Pin::new(stream).poll_flush(cx),
        }
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match &mut *self {
            Self::Clear(socket) => Pin::new(socket).poll_shutdown(cx),
            Self::Tls(stream) => Pin::new(stream).poll_shutdown(cx),
        }
    }
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
