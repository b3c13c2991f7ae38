//! Tells a service manager how the gateway stands (`sd_notify(3)`), if it asks by `NOTIFY_SOCKET`:
//! `Type=notify` and `Type=notify-reload` of systemd.
//!
//! One datagram each time, which nobody waits for. What is told: it serves, it reloads, it stops.

use std::ffi::OsString;
use std::io;
use std::os::linux::net::SocketAddrExt as _;
use std::os::unix::ffi::OsStrExt as _;
use std::os::unix::net::{SocketAddr, UnixDatagram};

use rustix::time::{ClockId, clock_gettime};

/// It serves: after the start, and after each reload.
pub(crate) fn ready() {
    notify("READY=1");
}

/// It reads its configuration again. `ready` follows, whatever comes of it.
pub(crate) fn reloading() {
    let now = clock_gettime(ClockId::Monotonic);
    let microseconds = i128::from(now.tv_sec) * 1_000_000 + i128::from(now.tv_nsec) / 1000;
    notify(&format!("RELOADING=1\nMONOTONIC_USEC={microseconds}"));
}

/// It drains.
pub(crate) fn stopping() {
    notify("STOPPING=1");
}

fn notify(state: &str) {
    if let Some(name) = std::env::var_os("NOTIFY_SOCKET")
        && let Err(error) = send(&name, state)
    {
        tracing::debug!("the service manager cannot be told: {error}");
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
