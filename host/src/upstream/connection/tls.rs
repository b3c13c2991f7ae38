//! TLS to endpoints: one set of settings for each upstream, shared by the workers.
//!
//! Windlass checks an endpoint's certificate before it sends a byte of a request. Sessions are resumed,
//! whichever worker made them. [`crate::http::tls`] reads the files.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use rustls::pki_types::ServerName;
use rustls::{CertificateError, ClientConfig};
use tokio::net::TcpStream;
use tokio_rustls::{TlsConnector, TlsStream};

use crate::config::{UpstreamProtocol, UpstreamTls};
use crate::http::stream::Stream;
use crate::http::tls;
use crate::http::tls::{ClientTls, HTTP1, HTTP2, SystemRoots, TlsError};

static NEXT: AtomicU64 = AtomicU64::new(1);

/// How TLS is spoken with an upstream's endpoints.
#[derive(Clone)]
pub(crate) struct EndpointTls {
    connector: TlsConnector,
    /// For requests that only HTTP/1.1 carries.
    http1: TlsConnector,
    name: Option<ServerName<'static>>,
    /// Distinguishes it from all others: the files may have changed when they are read again.
    pub(crate) id: u64,
}

impl std::fmt::Debug for EndpointTls {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("EndpointTls")
            .field("name", &self.name)
            .finish_non_exhaustive()
    }
}

impl EndpointTls {
    /// As configured.
    ///
    /// # Errors
    ///
    /// Files cannot be used, or the system trusts nobody.
    pub(crate) fn new(
        config: &UpstreamTls,
        protocol: UpstreamProtocol,
        system: &mut SystemRoots,
    ) -> Result<Self, Vec<TlsError>> {
        let protocols: &[&[u8]] = match protocol {
            UpstreamProtocol::Auto => &[HTTP2, HTTP1],
            UpstreamProtocol::Http1 => &[HTTP1],
            UpstreamProtocol::Http2 => &[HTTP2],
        };
        let identity = config.identity.as_ref();
        let trust = ClientTls {
            ca: config.ca.as_deref(),
            identity: identity.map(|identity| (&*identity.certificate, &*identity.key)),
            verify: config.verify,
            protocols,
        };
        let settings: Arc<ClientConfig> = tls::client(&trust, system).map_err(|first| {
            let all = tls::client_faults(&trust);
            if all.is_empty() { vec![first] } else { all }
        })?;
        let mut of_http1 = ClientConfig::clone(&settings);
        of_http1.alpn_protocols = vec![HTTP1.to_vec()];
        Ok(Self {
            http1: TlsConnector::from(Arc::new(of_http1)),
            connector: TlsConnector::from(settings),
            // The reader has taken no other.
            name: config.name.as_deref().and_then(server_name),
            id: NEXT.fetch_add(1, Ordering::Relaxed),
        })
    }

    /// Shake hands with an endpoint; `http1` offers nothing but HTTP/1.1.
    ///
    /// # Errors
    ///
    /// The connection broke, or one side does not take the other's certificate or protocol.
    pub(crate) async fn connect(
        &self,
        endpoint: &str,
        socket: TcpStream,
        http1: bool,
    ) -> io::Result<Stream> {
        let own = || server_name(host_of(endpoint));
        let name = self.name.clone().or_else(own);
        let name = name.ok_or_else(|| io::Error::other("its name cannot be in a certificate"))?;
        let connector = if http1 { &self.http1 } else { &self.connector };
        let stream = connector.connect(name, socket).await.map_err(plain_error)?;
        Ok(Stream::Tls(Box::new(TlsStream::Client(stream))))
    }
}

/// The error of a handshake, with a cure instead of words that only rustls understands.
fn plain_error(error: io::Error) -> io::Error {
    let cause = error.get_ref().and_then(|error| error.downcast_ref());
    if let Some(rustls::Error::InvalidCertificate(CertificateError::Other(other))) = cause
        && let Some(webpki::Error::CaUsedAsEndEntity) = other.0.downcast_ref()
    {
        return io::Error::other(
            "its certificate is one of an authority's (`CA:TRUE`), as `openssl req -x509` makes it, which no server may show; \
             let it show one that is not, signed by that authority",
        );
    }
    error
}

fn server_name(name: &str) -> Option<ServerName<'static>> {
    ServerName::try_from(name.to_owned()).ok()
}

/// An endpoint's name without its port, and without the brackets of an IPv6 address.
fn host_of(endpoint: &str) -> &str {
    let host = endpoint.rsplit_once(':').map_or(endpoint, |(host, _)| host);
    let bare = host
        .strip_prefix('[')
        .and_then(|rest| rest.strip_suffix(']'));
    bare.unwrap_or(host)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_certificate_is_made_out_to_the_host_of_an_endpoint() {
        for (endpoint, host) in [
            ("orders.internal:8443", "orders.internal"),
            ("10.0.0.1:443", "10.0.0.1"),
            ("[::1]:443", "::1"),
        ] {
            assert_eq!(host_of(endpoint), host);
            assert!(server_name(host).is_some(), "{host}");
        }
    }
}
