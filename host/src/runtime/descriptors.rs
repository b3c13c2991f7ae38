//! The files that the process may have open, sockets included.
//!
//! At the start the soft limit is raised to the hard one. Of what it is then, a part is kept back:
//! accepting from clients pauses while connections to endpoints, the admin's listener, health checks,
//! a reload and the store still have room, and connections to endpoints end before the rest is gone.
//! No count is needed of those that are open: the system always gives the lowest free number.
//! Deliberately not here: the limits of a single listener or pool.

use std::io;
use std::os::fd::{AsFd, AsRawFd};
use std::sync::atomic::{AtomicI32, AtomicU64, Ordering::Relaxed};

use rustix::io::Errno;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

/// The least and the most that is kept back for the gateway itself.
const GATEWAY_SHARE: (u64, u64) = (32, 512);

/// The files that a gateway has open by itself: standard streams, the store, a log, a listener.
const GATEWAY_FILES: u64 = 32;

/// The files that each worker has open by itself, listening sockets aside.
const PER_WORKER: u64 = 4;

/// Numbers from here on are not for clients.
static CLIENTS_END: AtomicI32 = AtomicI32::new(i32::MAX);
/// Numbers from here on are not for endpoints either.
static ENDPOINTS_END: AtomicI32 = AtomicI32::new(i32::MAX);
/// The limit; 0: uncertain, or none.
static LIMIT: AtomicU64 = AtomicU64::new(0);
/// How often accepting paused.
static PAUSES: AtomicU64 = AtomicU64::new(0);
/// When that was last logged. Milliseconds; 0: never.
static LAST_REPORT_MS: AtomicU64 = AtomicU64::new(0);
/// Between two lines about it. Milliseconds.
const REPORT_INTERVAL_MS: u64 = 60_000;

/// The parts of a limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct DescriptorShares {
    clients_end: u64,
    endpoints_end: u64,
}

impl DescriptorShares {
    fn new(limit: u64) -> Self {
        let own = (limit / 8).clamp(GATEWAY_SHARE.0, GATEWAY_SHARE.1);
        Self {
            clients_end: limit.saturating_sub(own + limit / 4),
            endpoints_end: limit.saturating_sub(own),
        }
    }
}

/// The limit that the soft one can be raised to; none: there is no limit.
#[must_use]
pub(crate) fn hard_limit() -> Option<u64> {
    getrlimit(Resource::Nofile).maximum
}

/// Raise the soft limit to the hard one, and keep a part of it back.
///
/// # Errors
///
/// The system refuses; then the soft limit holds.
pub(crate) fn raise_limit() -> io::Result<()> {
    let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
    let wanted = Rlimit {
        current: maximum,
        maximum,
    };
    let raised = match current == maximum {
        true => Ok(()),
        false => setrlimit(Resource::Nofile, wanted),
    };
    if let Some(limit) = getrlimit(Resource::Nofile).current {
        let parts = DescriptorShares::new(limit);
        let number = |number: u64| i32::try_from(number).unwrap_or(i32::MAX);
        CLIENTS_END.store(number(parts.clients_end), Relaxed);
        ENDPOINTS_END.store(number(parts.endpoints_end), Relaxed);
        LIMIT.store(limit, Relaxed);
    }
    Ok(raised?)
}

/// The limit in force; 0: none.
#[must_use]
pub(crate) fn limit() -> u64 {
    LIMIT.load(Relaxed)
}

/// How often accepting from clients paused, for lack of files.
#[must_use]
pub(crate) fn pauses() -> u64 {
    PAUSES.load(Relaxed)
}

/// Count a pause at this time (milliseconds of a clock that only goes forward). Gives how many there
/// were in all, if it is to be logged: once a minute at the most.
pub(crate) fn count_pause(now_ms: u64) -> Option<u64> {
    let pauses = PAUSES.fetch_add(1, Relaxed) + 1;
    let last_ms = LAST_REPORT_MS.load(Relaxed);
    if last_ms != 0 && now_ms < last_ms + REPORT_INTERVAL_MS {
        return None;
    }
    let mine = LAST_REPORT_MS.compare_exchange(last_ms, now_ms.max(1), Relaxed, Relaxed);
    mine.ok().map(|_| pauses)
}

/// Whether clients may have more sockets after this one.
#[must_use]
pub(crate) fn leaves_room_for_clients(newest: &impl AsFd) -> bool {
    newest.as_fd().as_raw_fd() < CLIENTS_END.load(Relaxed)
}

/// Whether clients may have one more socket. Opens one for a moment, of anything that is open.
#[must_use]
pub(crate) fn has_room_for_clients(any: &impl AsFd) -> bool {
    rustix::io::fcntl_dupfd_cloexec(any, 0).is_ok_and(|newest| leaves_room_for_clients(&newest))
}

/// Refuse a new socket to an endpoint that would take the last ones.
///
/// # Errors
///
/// It would.
pub(crate) fn check_for_endpoint(newest: &impl AsFd) -> io::Result<()> {
    if newest.as_fd().as_raw_fd() < ENDPOINTS_END.load(Relaxed) {
        return Ok(());
    }
    Err(Errno::MFILE.into())
}

/// Whether a socket could not be made for lack of files: the fault of this side.
#[must_use]
pub(crate) fn is_file_limit_error(error: &io::Error) -> bool {
    [Errno::MFILE, Errno::NFILE]
        .iter()
        .any(|errno| error.raw_os_error() == Some(errno.raw_os_error()))
}

/// How many files a gateway may need that has so many workers and listeners, and may have so many
/// connections of clients.
#[must_use]
pub(crate) fn needed(workers: u64, listeners: u64, connections: u64) -> u64 {
    // Of each listening socket there is a duplicate, for a successor.
    GATEWAY_FILES + workers * (PER_WORKER + 2 * listeners) + connections
}

/// How many connections of clients fit under a limit, before accepting pauses.
#[must_use]
pub(crate) fn room_for_clients(limit: u64) -> u64 {
    DescriptorShares::new(limit).clients_end
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_part_of_every_limit_is_kept_back() {
        for (limit, clients_end, endpoints_end) in [
            (256, 160, 224),
            (1024, 640, 896),
            (4096, 2560, 3584),
            (1_048_576, 785_920, 1_048_064),
            (16, 0, 0),
        ] {
            let parts = DescriptorShares {
                clients_end,
                endpoints_end,
            };
            assert_eq!(DescriptorShares::new(limit), parts, "{limit}");
        }
    }

    #[test]
    fn pauses_are_logged_once_a_minute_with_their_number() {
        assert_eq!(count_pause(5_000), Some(1));
        assert_eq!(count_pause(5_001), None);
        assert_eq!(count_pause(64_999), None);
        assert_eq!(count_pause(65_000), Some(4));
    }
}
