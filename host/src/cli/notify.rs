//! Reports the gateway's state to a service manager (`sd_notify(3)`), if `NOTIFY_SOCKET` is set:
//! `Type=notify` and `Type=notify-reload` of systemd.
//!
//! It sends one datagram for each change (serving, reloading, stopping) and waits for nothing.

use std::ffi::OsString;
use std::io;
use std::os::linux::net::SocketAddrExt as _;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::net::{SocketAddr, UnixDatagram};

use rustix::time::{ClockId, clock_gettime};

/// Reports that the gateway serves: after the start, and after each reload.
pub(crate) fn ready() {
    notify("READY=1");
}

/// Reports a reload. `ready` follows, whatever its result.
pub(crate) fn reloading() {
    let now = clock_gettime(ClockId::Monotonic);
    let microseconds = i128::from(now.tv_sec) * 1_000_000 + i128::from(now.tv_nsec) / 1000;
    notify(&format!("RELOADING=1\nMONOTONIC_USEC={microseconds}"));
}

/// Reports a drain.
pub(crate) fn stopping() {
    notify("STOPPING=1");
}

fn notify(state: &str) {
    if let Some(name) = std::env::var_os("NOTIFY_SOCKET")
        && let Err(error) = send(&name, state)
    {
        tracing::debug!("cannot notify the service manager: {error}");
    }
}

fn send(name: &OsString, state: &str) -> io::Result<()> {
    let address = match name.as_bytes().strip_prefix(b"@") {
        Some(name) => SocketAddr::from_abstract_name(name)?,
        None => SocketAddr::from_pathname(name)?,
    };
    let socket = UnixDatagram::unbound()?;
    socket.set_nonblocking(true)?;
    socket.send_to_addr(state.as_bytes(), &address).map(drop)
}
