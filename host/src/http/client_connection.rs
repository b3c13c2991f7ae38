//! A client's connection, as its requests know it: its time-outs, its listener, its peer.
//!
//! Made by `server` when it accepts; the forwarded fields and interim answers are made from it. Deliberately
//! not here: its bytes, and the worker that serves it.

use std::net::{IpAddr, SocketAddr};
use std::rc::Rc;
use std::sync::Arc;

use http::{HeaderMap, HeaderValue, StatusCode};

use super::interim;
use super::watch::{ExchangeRegistration, Watch};
use crate::config::Listener;

/// A client's connection, as its requests know it.
#[derive(Debug)]
pub(crate) struct ClientConnection {
    /// Its time-outs and state.
    pub(crate) watch: Arc<Watch>,
    /// The listener that it came by.
    pub(crate) listener: Rc<Listener>,
    pub(crate) remote: SocketAddr,
    /// The remote IP as `X-Forwarded-For` names it, made once.
    pub(crate) forwarded_for: HeaderValue,
    pub(crate) secure: bool,
    /// Where it carries many exchanges (HTTP/2), the place of this one.
    pub(crate) registration: Option<ExchangeRegistration>,
    /// The stream of this exchange, where it has one.
    stream: Option<u32>,
}

impl ClientConnection {
    /// A connection from `remote`. An IPv4 address that is mapped into IPv6 is taken as IPv4.
    #[must_use]
    pub(crate) fn new(watch: Arc<Watch>, listener: Rc<Listener>, remote: SocketAddr) -> Self {
        let remote = SocketAddr::new(remote.ip().to_canonical(), remote.port());
        Self {
            watch,
            listener,
            remote,
            forwarded_for: ip_value(remote.ip()),
            secure: false,
            registration: None,
            stream: None,
        }
    }

    /// As one of many exchanges on it knows it: with a watch of its own.
    #[must_use]
    pub(crate) fn exchange(&self) -> Self {
        let (watch, place) = self.watch.exchange();
        Self {
            watch,
            listener: Rc::clone(&self.listener),
            remote: self.remote,
            forwarded_for: self.forwarded_for.clone(),
            secure: self.secure,
            registration: Some(place),
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
        if !self.watch.takes_interim() {
            return;
        }
        let (watch, bytes) = match (&self.registration, self.stream) {
            (None, _) => (&*self.watch, interim::http1(status, headers)),
            (Some(place), Some(stream)) => {
                let frame = interim::http2(stream, status, headers);
                (place.connection(), frame)
            }
            (Some(_), None) => return,
        };
        if let Some(bytes) = bytes {
            watch.send_interim(bytes);
        }
    }
}

fn ip_value(ip: IpAddr) -> HeaderValue {
    HeaderValue::from_str(&ip.to_string()).unwrap_or_else(|_| HeaderValue::from_static("unknown"))
}

/// A client to which an interim response can be sent.
pub(crate) trait SendInterim: std::fmt::Debug {
    /// Whether its connection carries many exchanges at once.
    fn is_shared(&self) -> bool;

    /// Send an interim response to the present request.
    fn send_interim(&self, status: StatusCode, headers: &HeaderMap);
}
