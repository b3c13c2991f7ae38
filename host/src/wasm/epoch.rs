//! The epoch of guests: a thread moves it on while there are instances, so that an endless loop is
//! noticed. A gateway without filters is not woken a thousand times a second for nothing.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread::{self, Thread};
use std::time::Duration;

use wasmtime::Engine;

/// How often the epoch moves on: how soon an endless loop is noticed, and how exact CPU limits
/// are.
pub(crate) const TICK: Duration = Duration::from_millis(1);
/// How often the thread looks whether its engine is still there, where there are no instances.
const REST: Duration = Duration::from_secs(1);

/// Moves on while anything holds a [`Ticking`].
#[derive(Debug)]
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
                        // Not held while it sleeps: the engine, and the room that it
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
            // Not missed where the thread has looked and is about to park: then the park returns at once.
            self.ticker.unpark();
        }
        Ticking(Arc::clone(&self.instances))
    }
}

/// As long as this is there, the epoch moves on.
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
