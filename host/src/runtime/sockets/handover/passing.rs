//! Listening sockets on their way from one process to another (`SCM_RIGHTS`).
//!
//! After [`ASKS`] the old gateway sends messages of one byte, which says how many sockets come with
//! it; one without sockets is the last.

use std::io::{self, IoSlice, IoSliceMut, Write as _};
use std::mem::MaybeUninit;
use std::net::{SocketAddr, TcpListener};
use std::os::fd::AsFd as _;
use std::os::unix::net::UnixStream;
use std::sync::Weak;
use std::time::Instant;

use rustix::cmsg_space;
use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer,
    SendAncillaryMessage, SendFlags, recvmsg, sendmsg,
};
use socket2::SockRef;
use tokio::io::Interest;

use super::{ASKS, PATIENCE};

/// The sockets of one message. The system takes no more than 253.
const MAX_SOCKETS: usize = 128;

/// The sockets that listen on this address, from a gateway that drains: one at least.
///
/// # Errors
///
/// It is of an older version and does not know the question, or it does not answer in time, or this
/// process may not have so many files.
pub(crate) fn receive_all(
    mut peer: &UnixStream,
    address: SocketAddr,
) -> io::Result<Vec<TcpListener>> {
    let end = Instant::now() + PATIENCE;
    peer.set_read_timeout(Some(PATIENCE))?;
    peer.write_all(&[ASKS])?;
    let mut sockets = Vec::new();
    while receive(peer, &mut sockets)? {
        if Instant::now() > end {
            return Err(io::ErrorKind::TimedOut.into());
        }
    }
    if sockets.is_empty() || !sockets.iter().all(|socket| is_listening(socket, address)) {
        return Err(io::ErrorKind::InvalidData.into());
    }
    Ok(sockets)
}

/// Receive one message. Whether it was not the last.
fn receive(peer: &UnixStream, sockets: &mut Vec<TcpListener>) -> io::Result<bool> {
    let mut byte = [0];
    let mut space = [MaybeUninit::uninit(); cmsg_space!(ScmRights(MAX_SOCKETS))];
    let mut control = RecvAncillaryBuffer::new(&mut space);
    let received = recvmsg(
        peer,
        &mut [IoSliceMut::new(&mut byte)],
        &mut control,
        RecvFlags::CMSG_CLOEXEC,
    )?;
    if received.bytes == 0 {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    let before = sockets.len();
    for message in control.drain() {
        if let RecvAncillaryMessage::ScmRights(files) = message {
            sockets.extend(files.map(TcpListener::from));
        }
    }
    let [count] = byte;
    // The system leaves out those for which this process has no room.
    if sockets.len() - before != usize::from(count) {
        return Err(io::ErrorKind::InvalidData.into());
    }
    Ok(count > 0)
}

fn is_listening(socket: &TcpListener, address: SocketAddr) -> bool {
    let own = socket.local_addr();
    own.is_ok_and(|own| (own.ip(), own.port()) == (address.ip(), address.port()))
        && SockRef::from(socket).is_listener().unwrap_or(false)
}

/// Send these sockets, unless they are closed already.
///
/// # Errors
///
/// The other one has ended.
pub(crate) async fn lend(
    stream: &tokio::net::UnixStream,
    sockets: &Weak<Vec<TcpListener>>,
) -> io::Result<()> {
    let mut sent = 0;
    loop {
        // They are kept no longer than one message takes, since they may have to be closed meanwhile.
        let next = || {
            let sockets = sockets.upgrade().unwrap_or_default();
            let rest = sockets.iter().skip(sent).take(MAX_SOCKETS);
            send(stream, &rest.collect::<Vec<_>>())
        };
        match stream.async_io(Interest::WRITABLE, next).await? {
            0 => return Ok(()),
            count => sent += count,
        }
    }
}

/// Send one message. Gives how many sockets went with it.
fn send(stream: &tokio::net::UnixStream, sockets: &[&TcpListener]) -> io::Result<usize> {
    let files: Vec<_> = sockets.iter().map(|socket| socket.as_fd()).collect();
    let count = u8::try_from(files.len()).map_err(io::Error::other)?;
    let mut space = [MaybeUninit::uninit(); cmsg_space!(ScmRights(MAX_SOCKETS))];
    let mut control = SendAncillaryBuffer::new(&mut space);
    if count > 0 && !control.push(SendAncillaryMessage::ScmRights(&files)) {
        return Err(io::ErrorKind::InvalidInput.into());
    }
    let flags = SendFlags::NOSIGNAL;
    sendmsg(stream, &[IoSlice::new(&[count])], &mut control, flags)?;
    Ok(files.len())
}
