//! The epoch of guests. A thread advances it while there are instances, so that an endless loop is
//! noticed. In a gateway without filters the thread sleeps.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread::{self, Thread};
use std::time::Duration;

use wasmtime::Engine;

/// How often the epoch advances: how soon an endless loop is noticed, and how exact CPU limits
/// are.
pub(crate) const TICK: Duration = Duration::from_millis(1);
/// How often the thread looks whether its engine is still there, where there are no instances.
const REST: Duration = Duration::from_secs(1);

/// Advances while there is a [`Ticking`].
#[derive(Debug, Clone)]
pub(crate) struct Epoch {
    instances: Arc<AtomicUsize>,
    ticker: Thread,
}

impl Epoch {
    /// Start the thread. It ends with the engine.
    ///
    /// # Errors
    ///
    /// The system gives no thread.
    pub(crate) fn start(engine: &Engine) -> io::Result<Self> {
        let engine = engine.weak();
        let instances = Arc::new(AtomicUsize::new(0));
        let there = Arc::clone(&instances);
        let ticker = thread::Builder::new()
            .name("windlass-epoch".into())
            .spawn(move || {
                while let Some(engine) = engine.upgrade() {
                    if there.load(Ordering::SeqCst) == 0 {
                        // Dropped while it sleeps: the engine, and the room that it
                        // reserves, goes when its last user does.
                        drop(engine);
                        thread::park_timeout(REST);
                    } else {
                        engine.increment_epoch();
                        drop(engine);
                        thread::sleep(TICK);
                    }
                }
            })?;
        Ok(Self {
            instances,
            ticker: ticker.thread().clone(),
        })
    }

    /// There is one instance more, until what this gives is dropped.
    #[must_use]
    pub(crate) fn tick(&self) -> Ticking {
        if self.instances.fetch_add(1, Ordering::SeqCst) == 0 {
            // If the thread has just looked and is about to park, the park returns at once.
            self.ticker.unpark();
        }
        Ticking(Arc::clone(&self.instances))
    }
}

/// While this exists, the epoch advances.
#[derive(Debug)]
pub(crate) struct Ticking(Arc<AtomicUsize>);

#[cfg(test)]
impl Ticking {
    /// Without an epoch.
    pub(crate) fn alone() -> Self {
        Self(Arc::new(AtomicUsize::new(1)))
    }
}

impl Drop for Ticking {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::SeqCst);
    }
}
