//! The numbers of an endpoint that everybody shares: its active requests, and how much it may take.
//!
//! They outlive balancers, configurations and the endpoint itself, so that whoever counts a request
//! needs no reference to any of them. They stand close together, so that a look at a thousand
//! endpoints is a look at a hundred cache lines. Promises: a [`Lease`] counts its request until it
//! drops, by an unwinding panic too; a maximum holds exactly, whoever takes leases.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use parking_lot::Mutex;

/// An endpoint's whole share. Permille.
pub(crate) const WHOLE: u32 = 1000;

/// Places that are made at once: four kibibytes.
const CELLS_PER_SLAB: usize = 512;
/// In `state`: the endpoint may be used when too few others are left.
const LAST_RESORT: u32 = 1 << 16;
/// In `state`: nothing but the results of requests has taken it out.
const EJECTED: u32 = 1 << 17;

/// Eight of these are a cache line. What others count on the same line costs no more than what they
/// count on the lines that a pick must read anyhow.
#[derive(Debug)]
pub(super) struct LoadCell {
    active: AtomicU32,
    /// The share, [`LAST_RESORT`] and [`EJECTED`].
    state: AtomicU32,
}

impl LoadCell {
    /// Active requests.
    pub(super) fn active(&self) -> u32 {
        self.active.load(Ordering::Relaxed)
    }

    /// How much of the endpoint's weight counts. Permille.
    pub(super) fn share(&self) -> u32 {
        self.state.load(Ordering::Relaxed) & (LAST_RESORT - 1)
    }

    /// The same, where too few are left: all that may be used are used whole.
    pub(super) fn last_resort_share(&self) -> u32 {
        match self.state.load(Ordering::Relaxed) & LAST_RESORT {
            0 => 0,
            _ => WHOLE,
        }
    }
}

/// Places that no endpoint has. They are made for the life of the process, as many as there ever
/// are endpoints at once, and used again: so a lease needs to hold nothing.
static FREE: Mutex<Vec<&'static LoadCell>> = Mutex::new(Vec::new());

/// An endpoint's place among the numbers. Copies are the same place.
#[derive(Debug, Clone)]
pub struct EndpointLoad(Arc<LoadCellOwner>);

#[derive(Debug)]
struct LoadCellOwner(&'static LoadCell);

impl Default for EndpointLoad {
    fn default() -> Self {
        Self::new()
    }
}

impl EndpointLoad {
    /// A place with no active requests and the whole share.
    #[must_use]
    pub fn new() -> Self {
        let mut free = FREE.lock();
        // Where requests still run that began with a former endpoint, the place is not free yet.
        let idle = free
            .iter()
            .rposition(|place| place.active.load(Ordering::Acquire) == 0);
        let place = match idle {
            Some(at) => free.remove(at),
            None => {
                let made = || LoadCell {
                    active: AtomicU32::new(0),
                    state: AtomicU32::new(0),
                };
                let slab: Vec<LoadCell> =
                    std::iter::repeat_with(made).take(CELLS_PER_SLAB).collect();
                // The first ones are taken first.
                free.extend(Vec::leak(slab).iter().rev());
                drop(free);
                return Self::new();
            }
        };
        drop(free);
        place.state.store(WHOLE | LAST_RESORT, Ordering::Relaxed);
        Self(Arc::new(LoadCellOwner(place)))
    }

    /// How much of its weight counts (permille; 0: it takes nothing), whether it may be used when too
    /// few others are left, and whether nothing but the results of requests has taken it out.
    pub(crate) fn set(&self, share: u32, last_resort: bool, ejected: bool) {
        let last_resort = if last_resort { LAST_RESORT } else { 0 };
        let ejected = if ejected { EJECTED } else { 0 };
        let state = share.min(WHOLE) | last_resort | ejected;
        self.0.0.state.store(state, Ordering::Relaxed);
    }

    /// Whether nothing but the results of requests has taken it out.
    #[must_use]
    pub(crate) fn is_ejected(&self) -> bool {
        self.0.0.state.load(Ordering::Relaxed) & EJECTED != 0
    }

    /// Active requests. Others change it at any time.
    #[must_use]
    pub(crate) fn active(&self) -> u32 {
        self.0.0.active()
    }

    /// How much of its weight counts. Permille; 0: it takes nothing.
    #[must_use]
    pub(crate) fn share(&self) -> u32 {
        self.0.0.share()
    }

    /// The same, where too few are left: all that may be used are used whole.
    pub(super) fn last_resort_share(&self) -> u32 {
        self.0.0.last_resort_share()
    }

    /// Where its numbers are.
    pub(super) fn cell(&self) -> &'static LoadCell {
        self.0.0
    }

    /// Count one request more, if that is not more than `most`.
    pub(super) fn lease(&self, most: u32, endpoint: usize) -> Option<Lease> {
        let place = self.0.0;
        // No maximum: one addition, where the loop below is repeated when others count at the same time.
        if most == u32::MAX {
            place.active.fetch_add(1, Ordering::Relaxed);
        } else {
            let more = |active: u32| (active < most).then(|| active.saturating_add(1));
            place
                .active
                .fetch_update(Ordering::Relaxed, Ordering::Relaxed, more)
                .ok()?;
        }
        Some(Lease {
            cell: place,
            endpoint,
        })
    }
}

impl Drop for LoadCellOwner {
    fn drop(&mut self) {
        self.0.state.store(0, Ordering::Relaxed);
        FREE.lock().push(self.0);
    }
}

/// One active request on an endpoint, from the pick until this drops.
#[derive(Debug)]
#[must_use = "the request is counted only while the lease lives"]
pub struct Lease {
    cell: &'static LoadCell,
    endpoint: usize,
}

impl Lease {
    /// The endpoint, by its place among the members of the balancer that picked it.
    #[must_use]
    pub(crate) fn endpoint(&self) -> usize {
        self.endpoint
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        self.cell.active.fetch_sub(1, Ordering::Release);
    }
}
