//! How a running gateway ends: it drains.

use std::process::ExitCode;
use std::sync::atomic::Ordering;
use std::time::Duration;

use super::run::{Started, ignore, reopen};
use super::signals::Wish;
use crate::observe::access_log::AccessLog;
use crate::server::Drained;

/// What a second wish to end leaves to running requests.
const HURRY: Duration = Duration::from_secs(1);

impl Started {
    /// Drain: answer what has begun, and end.
    pub(super) fn end(mut self) -> ExitCode {
        self.running.draining.store(true, Ordering::Relaxed);
        let limit = self.running.gateway.load().drain_timeout;
        tracing::info!(
            ?limit,
            "draining: new connections are refused, running requests are answered; a second SIGTERM shortens it to {HURRY:?}"
        );
        self.workers.drain(limit);
        let drained = self.wait_for_drain();
        self.running.foundation.close();
        if let Some(access) = self.access {
            access.finish();
        }
        tracing::info!(finished = drained.finished, cut = drained.cut, "ended");
        ExitCode::SUCCESS
    }

    /// Until the workers have ended.
    fn wait_for_drain(&mut self) -> Drained {
        let mut ended = self.workers.ended();
        loop {
            let access = self.access.as_ref();
            let heard = |wish| while_draining(wish, access).then_some(());
            match self.signals.wait_for(&mut ended, heard) {
                Ok(drained) => return drained.unwrap_or_default(),
                Err(()) => {
                    tracing::info!("asked to end a second time: what runs has {HURRY:?} left");
                    self.workers.drain(HURRY);
                }
            }
        }
    }
}

/// Obey a signal during a drain. Whether it is to end soon.
fn while_draining(wish: Wish, access: Option<&AccessLog>) -> bool {
    match wish {
        Wish::End => return true,
        Wish::Reopen => reopen(access),
        Wish::Reload => {
            reopen(access);
            tracing::info!("the gateway drains, and does not read its configuration again");
        }
        Wish::Nothing(number) => ignore(number),
    }
    false
}
