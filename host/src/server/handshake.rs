//! The TLS handshake of a client connection.
//!
//! A client that does not finish it within the listener's `header_timeout` is disconnected, and a drain
//! does not wait for it any longer than that.

use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;

use rustls::ServerConfig;
use tokio::net::TcpStream;
use tokio_rustls::{TlsAcceptor, TlsStream};

use crate::http::stream::Stream;
use crate::http::tls::failure;
use crate::http::tls::session::TlsSession;
use crate::http::watch::{TimeoutKind, Watch};
use crate::model::handshake::HandshakeFailure;
use crate::runtime::clock::Timestamp;

/// Do the handshake.
///
/// # Errors
///
/// It failed, or took too long.
pub(crate) async fn accept(
    config: Arc<ServerConfig>,
    socket: TcpStream,
    watch: &Arc<Watch>,
) -> Result<(Stream, TlsSession), HandshakeFailure> {
    watch.begin_handshake();
    let mut handshake = pin!(TlsAcceptor::from(config).accept(socket));
    let shaken = std::future::poll_fn(|cx| {
        watch.set_waker(cx.waker());
        if watch.is_cut() || watch.expired(TimeoutKind::Client) {
            return Poll::Ready(None);
        }
        handshake.as_mut().poll(cx).map(Some)
    })
    .await;
    let stream = match shaken {
        Some(Ok(stream)) => stream,
        Some(Err(error)) => {
            tracing::debug!(%error, "a TLS handshake with a client has an error");
            return Err(failure::reason(&error));
        }
        None => return Err(HandshakeFailure::Timeout),
    };
    let session = TlsSession::of(stream.get_ref().1, Timestamp::now().unix_s())?;
    watch.end_handshake();
    Ok((Stream::Tls(Box::new(TlsStream::Server(stream))), session))
}
