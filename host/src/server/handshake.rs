//! The TLS handshake of a client connection.
//!
//! A client that does not finish it within the listener's `header_timeout` is disconnected, and a drain
//! does not wait for it any longer than that.

use std::pin::pin;
use std::sync::Arc;

use rustls::ServerConfig;
use tokio::net::TcpStream;
use tokio_rustls::{TlsAcceptor, TlsStream};

use crate::http::stream::Stream;
use crate::http::watch::{TimeoutKind, Watch};

/// Do the handshake; none if it failed or took too long.
pub(crate) async fn accept(
    config: Arc<ServerConfig>,
    socket: TcpStream,
    watch: &Arc<Watch>,
) -> Option<Stream> {
    watch.begin_handshake();
    let mut handshake = pin!(TlsAcceptor::from(config).accept(socket));
    let shaken = std::future::poll_fn(|cx| {
        watch.set_waker(cx.waker());
        if watch.is_cut() || watch.expired(TimeoutKind::Client) {
            return std::task::Poll::Ready(None);
        }
        handshake.as_mut().poll(cx).map(Some)
    })
    .await;
    match shaken {
        Some(Ok(stream)) => {
            watch.end_handshake();
            Some(Stream::Tls(Box::new(TlsStream::Server(stream))))
        }
        Some(Err(error)) => {
            tracing::debug!(%error, "a TLS handshake with a client failed");
            None
        }
        None => {
            tracing::debug!("a TLS handshake with a client took too long");
            None
        }
    }
}
