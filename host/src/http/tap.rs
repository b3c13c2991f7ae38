//! Taps: they look at the bytes of a connection as the bytes pass, and may delay or change them.
//!
//! Each connection of a client and of an endpoint has one ([`TappedIo`]). A tap does only what it is for;
//! the rest passes to the [`Stream`] below.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::stream::Stream;

/// A look at the bytes of a connection.
pub(crate) trait IoTap: Unpin {
    /// Read from the stream what the reader may have now.
    fn poll_read(
        &mut self,
        stream: &mut Stream,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>>;

    /// Write these pieces, or the first of their bytes. Gives how many.
    fn poll_write(
        &mut self,
        stream: &mut Stream,
        cx: &mut Context<'_>,
        pieces: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>>;

    /// Write out everything that waits.
    fn poll_flush(&mut self, stream: &mut Stream, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(stream).poll_flush(cx)
    }

    /// Write nothing more after that.
    fn poll_shutdown(&mut self, stream: &mut Stream, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(stream).poll_shutdown(cx)
    }
}

/// A connection with its tap. The stream is dropped first.
#[derive(Debug)]
pub(crate) struct TappedIo<T> {
    pub(crate) stream: Stream,
    pub(crate) tap: T,
}

/// The first `count` bytes of some pieces.
pub(crate) fn written<'a>(
    pieces: &'a [IoSlice<'_>],
    mut count: usize,
) -> impl Iterator<Item = &'a [u8]> {
    pieces.iter().map(move |piece| {
        let part = piece.get(..count).unwrap_or(piece);
        count -= part.len();
        part
    })
}

impl<T: IoTap> AsyncRead for TappedIo<T> {
    #[inline]
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let Self { stream, tap } = self.get_mut();
        tap.poll_read(stream, cx, buffer)
    }
}

impl<T: IoTap> AsyncWrite for TappedIo<T> {
    #[inline]
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.poll_write_vectored(cx, &[IoSlice::new(bytes)])
    }

    #[inline]
    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        pieces: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let Self { stream, tap } = self.get_mut();
        tap.poll_write(stream, cx, pieces)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    #[inline]
    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let Self { stream, tap } = self.get_mut();
        tap.poll_flush(stream, cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let Self { stream, tap } = self.get_mut();
        tap.poll_shutdown(stream, cx)
    }
}
