//! A client's connection, as its requests see it: its time-outs, its listener, its peer.
//!
//! Made by `server` when it accepts; the forwarded fields and interim answers are made from it. Deliberately
//! not here: its bytes, and the worker that serves it.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::ops::Deref;
use std::rc::Rc;
use std::sync::Arc;

use http::{HeaderMap, HeaderValue, StatusCode};

use super::interim;
use super::proxy_protocol::{ProxiedClient, ProxiedFacts, ProxiedRoute};
use super::tls::session::TlsSession;
use super::watch::{ExchangeRegistration, Watch};
use crate::config::Listener;

/// A client's connection, as its requests see it.
#[derive(Debug)]
pub(crate) struct ClientConnection {
    /// Its time-outs and state.
    pub(crate) watch: Arc<Watch>,
    /// The listener that accepted it.
    pub(crate) listener: Rc<Listener>,
    pub(crate) remote: SocketAddr,
    /// The address that the client connected to; none if nothing needs it.
    local: Option<SocketAddr>,
    /// Facts that a proxy told of by the PROXY protocol.
    pub(crate) facts: Option<Arc<ProxiedFacts>>,
    /// The remote IP as `X-Forwarded-For` names it, made once.
    pub(crate) forwarded_for: HeaderValue,
    pub(crate) secure: bool,
    /// Its TLS, if the listener speaks it.
    pub(crate) tls: Option<Arc<TlsSession>>,
    /// The registration of this exchange, if the connection carries many (HTTP/2).
    pub(crate) registration: Option<ExchangeRegistration>,
    /// The stream of this exchange, where it has one.
    stream: Option<u32>,
}

impl ClientConnection {
    /// A connection from `remote`. An IPv4 address that is mapped into IPv6 is taken as IPv4.
    #[must_use]
    pub(crate) fn new(watch: Arc<Watch>, listener: Rc<Listener>, remote: SocketAddr) -> Self {
        let remote = canonical(remote);
        Self {
            watch,
            listener,
            remote,
            local: None,
            facts: None,
            forwarded_for: ip_value(remote.ip()),
            secure: false,
            tls: None,
            registration: None,
            stream: None,
        }
    }

    /// The address that the client connected to.
    pub(crate) fn set_local(&mut self, local: Option<SocketAddr>) {
        self.local = local.map(canonical);
    }

    /// Its bytes are encrypted by this session.
    pub(crate) fn set_tls(&mut self, session: TlsSession) {
        self.secure = true;
        self.tls = Some(Arc::new(session));
    }

    /// A proxy has named the client of this connection.
    pub(crate) fn set_proxied(&mut self, client: ProxiedClient) {
        self.remote = canonical(client.route.source);
        self.local = Some(canonical(client.route.destination));
        self.forwarded_for = ip_value(self.remote.ip());
        self.secure = client.is_tls;
        self.facts = client.facts;
    }

    /// The addresses of this connection for the PROXY protocol, for a request of a client with this address.
    /// The port of a client that a trusted proxy named is 0.
    #[must_use]
    pub(crate) fn proxied_route(&self, client: IpAddr) -> ProxiedRoute {
        let source = match client == self.remote.ip() {
            true => self.remote,
            false => SocketAddr::new(client, 0),
        };
        let unknown: IpAddr = match source {
            SocketAddr::V4(_) => Ipv4Addr::UNSPECIFIED.into(),
            SocketAddr::V6(_) => Ipv6Addr::UNSPECIFIED.into(),
        };
        ProxiedRoute {
            source,
            destination: self.local.unwrap_or(SocketAddr::new(unknown, 0)),
        }
    }

    /// The connection as one of many exchanges on it sees it: with a watch of its own.
    #[must_use]
    pub(crate) fn exchange(&self) -> Self {
        let (watch, registration) = self.watch.begin_stream();
        Self {
            watch,
            listener: Rc::clone(&self.listener),
            remote: self.remote,
            local: self.local,
            facts: self.facts.clone(),
            forwarded_for: self.forwarded_for.clone(),
            secure: self.secure,
            tls: self.tls.clone(),
            registration: Some(registration),
            stream: self.watch.take_opened(),
        }
    }

    /// Whether it carries many exchanges at once.
    #[must_use]
    pub(crate) fn is_shared(&self) -> bool {
        self.registration.is_some()
    }

    /// Send the client an interim answer to the present request, if it takes one and the final answer
    /// has not begun. One that is too large is left out.
    pub(crate) fn send_interim(&self, status: StatusCode, headers: &HeaderMap) {
        if !self.watch.exchange.takes_interim.get() {
            return;
        }
        let (watch, bytes) = match (&self.registration, self.stream) {
            (None, _) => (&*self.watch, interim::http1(status, headers)),
            (Some(registration), Some(stream)) => {
                let frame = interim::http2(stream, status, headers);
                (&*registration.connection, frame)
            }
            (Some(_), None) => return,
        };
        if let Some(bytes) = bytes {
            watch.send_interim(bytes);
        }
    }
}

/// An IPv4 address that is mapped into IPv6 as IPv4.
fn canonical(address: SocketAddr) -> SocketAddr {
    SocketAddr::new(address.ip().to_canonical(), address.port())
}

fn ip_value(ip: IpAddr) -> HeaderValue {
    HeaderValue::from_str(&ip.to_string()).unwrap_or_else(|_| HeaderValue::from_static("unknown"))
}

/// A client's connection, with whatever its owner keeps beside it.
pub(crate) trait ClientHandle: Deref<Target = ClientConnection> + std::fmt::Debug {}
impl<T: Deref<Target = ClientConnection> + std::fmt::Debug> ClientHandle for T {}
