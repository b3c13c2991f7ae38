//! The numbers of an endpoint that all workers share: its active requests, and the share it takes.
//!
//! They outlive balancers, configurations and the endpoint itself, so that whoever counts a request
//! needs no reference to any of them. They are close together, so that a look at a thousand
//! endpoints is a look at a hundred cache lines. Promises: a [`Lease`] counts its request until it
//! drops, by an unwinding panic too; a maximum holds exactly, whoever takes leases.

use std::ops::Deref;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use parking_lot::Mutex;

/// An endpoint's whole share. Permille.
pub(crate) const WHOLE: u32 = 1000;

/// Cells that are made at once: four kibibytes.
const CELLS_PER_SLAB: usize = 512;
/// In `state`: the endpoint may be used when too few others are left.
const LAST_RESORT: u32 = 1 << 16;
/// In `state`: nothing but the results of requests has taken it out.
const EJECTED: u32 = 1 << 17;

/// The numbers of one endpoint. Eight of these fill a cache line: counts of others on the same one
/// cost no more than counts on the lines that a pick must read anyhow.
#[derive(Debug, Default)]
pub struct LoadCell {
    active: AtomicU32,
    /// The share, [`LAST_RESORT`] and [`EJECTED`].
    state: AtomicU32,
}

impl LoadCell {
    /// Active requests. Others change it at any time.
    #[must_use]
    pub(crate) fn active(&self) -> u32 {
        self.active.load(Ordering::Relaxed)
    }

    /// The part of the endpoint's weight that counts. Permille; 0: it takes nothing. If health is
    /// ignored, because too few others are left, a last resort counts whole.
    #[must_use]
    pub(crate) fn share(&self, ignores_health: bool) -> u32 {
        let state = self.state.load(Ordering::Relaxed);
        match (ignores_health, state & LAST_RESORT) {
            (false, _) => state & (LAST_RESORT - 1),
            (true, 0) => 0,
            (true, _) => WHOLE,
        }
    }

    /// Whether nothing but the results of requests has taken it out.
    #[must_use]
    pub(crate) fn is_ejected(&self) -> bool {
        self.state.load(Ordering::Relaxed) & EJECTED != 0
    }

    /// Sets the part of its weight that counts (permille; 0: it takes nothing), whether it may be
    /// used when too few others are left, and whether nothing but the results of requests has taken
    /// it out.
    pub(crate) fn set(&self, share: u32, last_resort: bool, ejected: bool) {
        let last_resort = if last_resort { LAST_RESORT } else { 0 };
        let ejected = if ejected { EJECTED } else { 0 };
        let state = share.min(WHOLE) | last_resort | ejected;
        self.state.store(state, Ordering::Relaxed);
    }
}

/// Cells that no endpoint has. They are made for the life of the process, as many as there ever
/// are endpoints at once, and used again: so a lease needs no reference count.
static FREE: Mutex<Vec<&'static LoadCell>> = Mutex::new(Vec::new());

/// An endpoint's cell. Copies share it.
#[derive(Debug, Clone)]
pub struct EndpointLoad(Arc<LoadCellOwner>);

#[derive(Debug)]
struct LoadCellOwner(&'static LoadCell);

impl Default for EndpointLoad {
    fn default() -> Self {
        Self::new()
    }
}

impl Deref for EndpointLoad {
    type Target = LoadCell;

    fn deref(&self) -> &LoadCell {
        self.0.0
    }
}

impl EndpointLoad {
    /// A cell with no active requests and the whole share.
    #[must_use]
    pub fn new() -> Self {
        let mut free = FREE.lock();
        // While requests run that began with a former endpoint, its cell is not free yet.
        let idle = free
            .iter()
            .rposition(|cell| cell.active.load(Ordering::Acquire) == 0);
        let Some(idle) = idle else {
            let slab = std::iter::repeat_with(LoadCell::default).take(CELLS_PER_SLAB);
            // The first ones are taken first.
            free.extend(Vec::leak(slab.collect()).iter().rev());
            drop(free);
            return Self::new();
        };
        let cell = free.remove(idle);
        drop(free);
        cell.state.store(WHOLE | LAST_RESORT, Ordering::Relaxed);
        Self(Arc::new(LoadCellOwner(cell)))
    }

    /// The cell, for the rows that a pick reads.
    pub(super) fn cell(&self) -> &'static LoadCell {
        self.0.0
    }

    /// Counts one request more, if that is not more than `most`.
    pub(super) fn lease(&self, most: u32, endpoint: usize) -> Option<Lease> {
        let cell = self.cell();
        // No maximum: one addition, where the loop below is repeated when others count at the same time.
        if most == u32::MAX {
            cell.active.fetch_add(1, Ordering::Relaxed);
        } else {
            let more = |active: u32| (active < most).then(|| active.saturating_add(1));
            cell.active
                .fetch_update(Ordering::Relaxed, Ordering::Relaxed, more)
                .ok()?;
        }
        Some(Lease { cell, endpoint })
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
    /// The endpoint, by its index among the members of the balancer that picked it.
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
