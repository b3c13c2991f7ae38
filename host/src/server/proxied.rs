//! The PROXY protocol header of a client connection, ahead of TLS and HTTP.
//!
//! A header counts only from a proxy that the listener names. One that does not come within the listener's
//! `header_timeout` ends the connection. The bytes are looked at in the socket's buffer until the header is
//! complete, and only the header is taken out: what follows stays for TLS or HTTP.
//! [`crate::http::proxy_protocol`] reads it.

use std::future::{Future as _, poll_fn};
use std::io;
use std::net::IpAddr;
use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;

use ipnet::IpNet;
use rustix::net::{RecvFlags, recv};
use tokio::io::Interest;
use tokio::net::TcpStream;

use crate::config::Listener;
use crate::http::proxy_protocol::{
    MAX_HEADER, ProxiedClient, ProxyHeader, ProxyHeaderError, parse,
};
use crate::http::watch::{TimeoutKind, Watch};

/// Whether a connection begins with a header.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum ProxyHeaderRule {
    /// It never does: a header is a malformed request.
    Never,
    /// It may.
    Optional,
    /// It must.
    Required,
    /// It must come from a proxy, and does not.
    Stranger,
}

/// Why there is no client.
#[derive(Debug, thiserror::Error)]
pub(super) enum ProxiedError {
    #[error(transparent)]
    Malformed(#[from] ProxyHeaderError),
    #[error("the connection does not begin with a PROXY protocol header")]
    Missing,
    #[error("the PROXY protocol header did not come within `header_timeout`")]
    Late,
    #[error("the connection ended within the PROXY protocol header")]
    Ended(#[from] io::Error),
}

/// The rule for a connection from this address. `trusted` are the proxies of a listener that names none.
pub(super) fn rule(listener: &Listener, trusted: &[IpNet], remote: IpAddr) -> ProxyHeaderRule {
    let Some(protocol) = &listener.proxy_protocol else {
        return ProxyHeaderRule::Never;
    };
    let proxies = match &*protocol.from {
        [] => trusted,
        own => own,
    };
    let remote = remote.to_canonical();
    let is_proxy = proxies.iter().any(|block| block.contains(&remote));
    match (is_proxy, protocol.required) {
        (true, true) => ProxyHeaderRule::Required,
        (true, false) => ProxyHeaderRule::Optional,
        (false, true) => ProxyHeaderRule::Stranger,
        (false, false) => ProxyHeaderRule::Never,
    }
}

/// Read the header. Gives the client; none if the connection is the proxy's own, or if it may begin without
/// a header and does.
///
/// # Errors
///
/// The connection is to be closed.
pub(super) async fn read(
    socket: &TcpStream,
    watch: &Arc<Watch>,
    rule: ProxyHeaderRule,
) -> Result<Option<ProxiedClient>, ProxiedError> {
    if rule == ProxyHeaderRule::Never {
        return Ok(None);
    }
    let mut reading = pin!(read_in_time(socket));
    let header = poll_fn(|cx| {
        watch.set_waker(cx.waker());
        if watch.is_cut() || watch.expired(TimeoutKind::Client) {
            return Poll::Ready(Err(ProxiedError::Late));
        }
        reading.as_mut().poll(cx)
    });
    match header.await? {
        ProxyHeader::Complete { length, client } => {
            take(socket, length)?;
            Ok(client)
        }
        ProxyHeader::Absent | ProxyHeader::Incomplete if rule == ProxyHeaderRule::Optional => {
            Ok(None)
        }
        ProxyHeader::Absent | ProxyHeader::Incomplete => Err(ProxiedError::Missing),
    }
}

/// Look at the bytes that have come, until they are a header or cannot become one.
async fn read_in_time(socket: &TcpStream) -> Result<ProxyHeader, ProxiedError> {
    loop {
        let ready = socket.ready(Interest::READABLE).await?;
        // An error of this kind also makes the next wait one for more bytes than have come.
        let incomplete = || io::Error::from(io::ErrorKind::WouldBlock);
        let looked = socket.try_io(Interest::READABLE, || match look(socket)? {
            Ok(ProxyHeader::Incomplete) => Err(incomplete()),
            other => Ok(other),
        });
        match looked {
            Ok(header) => return Ok(header?),
            Err(error) if error.kind() != io::ErrorKind::WouldBlock => return Err(error.into()),
            Err(_) if ready.is_read_closed() => {
                return Err(io::Error::from(io::ErrorKind::UnexpectedEof).into());
            }
            Err(_) => {}
        }
    }
}

/// The meaning of the bytes in the socket's buffer.
fn look(socket: &TcpStream) -> io::Result<Result<ProxyHeader, ProxyHeaderError>> {
    let mut space = [0; MAX_HEADER];
    let (count, _) = recv(socket, &mut space[..], RecvFlags::PEEK)?;
    if count == 0 {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    Ok(parse(space.get(..count).unwrap_or_default()))
}

/// Take a header out of the socket's buffer. All of it is there.
fn take(socket: &TcpStream, length: usize) -> io::Result<()> {
    let mut space = [0; MAX_HEADER];
    let mut left = length;
    while left > 0 {
        let part = space.get_mut(..left).unwrap_or_default();
        match socket.try_read(part)? {
            0 => return Err(io::ErrorKind::UnexpectedEof.into()),
            count => left -= count,
        }
    }
    Ok(())
}
