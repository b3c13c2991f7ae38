//! The certificates of the admin listener, which a reload can replace.
//!
//! It promises that every handshake after a reload uses the new certificates, and that open connections
//! keep theirs. A reload that has no `[admin] tls` changes nothing: that takes a restart.

use std::io;
use std::sync::Arc;

use arc_swap::ArcSwap;
use tokio::net::TcpStream;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

use crate::http::tls::live::LiveTls;

/// The certificates of the configuration in use. Clones share them.
#[derive(Debug, Clone)]
pub(crate) struct AdminTls(Arc<ArcSwap<LiveTls>>);

impl AdminTls {
    pub(crate) fn new(tls: Arc<LiveTls>) -> Self {
        Self(Arc::new(ArcSwap::new(tls)))
    }

    /// Uses these for handshakes from now on.
    pub(crate) fn replace(&self, tls: Arc<LiveTls>) {
        self.0.store(tls);
    }

    /// Performs the handshake.
    ///
    /// # Errors
    ///
    /// The client is gone, or the two sides have no version or cipher in common.
    pub(crate) async fn accept(&self, stream: TcpStream) -> io::Result<TlsStream<TcpStream>> {
        let config = self.0.load().config();
        TlsAcceptor::from(config).accept(stream).await
    }
}
