//! The signals that an operator sends: SIGHUP, SIGTERM, SIGINT.
//!
//! Promises: from [`Signals::listen`] on none of them ends the process by itself, and one that
//! comes before it is waited for is not lost.

use std::future::Future;
use std::io;

use tokio::runtime::{Builder, Runtime};
use tokio::signal::unix::{Signal, SignalKind, signal};

/// What the operator wants.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wish {
    /// Read the configuration again (SIGHUP).
    Reload,
    /// Stop gently (SIGTERM, SIGINT).
    End,
}

/// The signals, and the runtime of whoever waits for them.
#[derive(Debug)]
pub struct Signals {
    runtime: Runtime,
    hangup: Signal,
    terminate: Signal,
    interrupt: Signal,
}

impl Signals {
    /// Take the signals over.
    ///
    /// # Errors
    ///
    /// The system gives no runtime, or refuses to tell of signals.
    pub fn listen() -> io::Result<Self> {
        let runtime = Builder::new_current_thread().enable_all().build()?;
        let entered = runtime.enter();
        let hangup = signal(SignalKind::hangup())?;
        let terminate = signal(SignalKind::terminate())?;
        let interrupt = signal(SignalKind::interrupt())?;
        drop(entered);
        Ok(Self {
            runtime,
            hangup,
            terminate,
            interrupt,
        })
    }

    /// Wait for the next one.
    pub fn wait(&mut self) -> Wish {
        self.runtime.block_on(async {
            tokio::select! {
                _ = self.terminate.recv() => Wish::End,
                _ = self.interrupt.recv() => Wish::End,
                _ = self.hangup.recv() => Wish::Reload,
            }
        })
    }

    /// Do something; what comes meanwhile waits.
    pub fn block_on<T>(&self, work: impl Future<Output = T>) -> T {
        self.runtime.block_on(work)
    }
}
