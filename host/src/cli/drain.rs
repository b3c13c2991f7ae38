//! The end of a running gateway: it drains, and a successor on the same machine may take over its
//! addresses.
//!
//! [`super::run`] calls it after SIGTERM.

use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use super::notify;
use super::run::{RunningGateway, ignore, reopen};
use super::signals::OperatorSignal;
use crate::admin::{AdminStop, QueueOwner};
use crate::observe::access_log::AccessLogWriter;
use crate::runtime::sockets::handover::SocketOffer;
use crate::server::Drained;

/// The time for active requests after a second SIGTERM.
const SECOND_SIGNAL_GRACE: Duration = Duration::from_secs(1);

impl RunningGateway {
    /// Drains: answers the requests that have begun, and ends.
    pub(super) fn drain(mut self) -> ExitCode {
        self.running.draining.store(true, Ordering::Relaxed);
        notify::stopping();
        let gateway = self.running.gateway.load_full();
        let (delay, limit) = (gateway.drain_delay, gateway.drain_timeout);
        drop(gateway);
        let running = Arc::clone(&self.running);
        // Releasing the storage may block, and the drain must not wait for it.
        let leave = std::thread::Builder::new().name("windlass-leave".into());
        if let Err(error) = leave.spawn(move || running.foundation.release_storage()) {
            tracing::error!(
                "the storage stays in use until the drain ends, because the system gives no thread: {error}; a successor waits for it"
            );
        }
        let hurry = self.delay(delay);
        for (listener, address) in self.workers.numbered_addresses() {
            if self.offer.withdraw(address) {
                self.workers.hand_over(listener);
            }
        }
        tracing::info!(
            ?limit,
            "draining: new connections are refused, active requests are answered; a second SIGTERM shortens the drain to {SECOND_SIGNAL_GRACE:?}"
        );
        self.workers.drain(if hurry {
            SECOND_SIGNAL_GRACE.min(limit)
        } else {
            limit
        });
        let drained = self.wait_for_drain();
        self.running.foundation.close();
        if let Some(access) = self.access {
            // The workers have ended, so all lines are handed over.
            access.sink.finish();
        }
        tracing::info!(finished = drained.finished, cut = drained.cut, "ended");
        ExitCode::SUCCESS
    }

    /// Continues to accept requests until the delay is over or a successor serves. Returns whether
    /// the operator asked a second time.
    fn delay(&mut self, delay: Duration) -> bool {
        let listeners = self.workers.take_duplicates();
        let admin = self.admin_stop.as_mut().map(AdminStop::duplicate);
        let all = listeners.into_iter().chain(admin);
        self.offer = self.signals.enter_runtime(|| SocketOffer::start(all));
        if delay.is_zero() {
            return false;
        }
        tracing::info!(
            ?delay,
            "draining soon: /readyz answers 503, and requests are accepted for this delay or until a successor serves"
        );
        let (access, taken) = (self.access.as_ref(), self.offer.taken());
        let over = async { tokio::time::timeout(delay, taken).await };
        let on_signal = |signal| drain_sooner(signal, access).then_some(());
        match self.signals.wait_for(over, on_signal) {
            Ok(Ok(())) => {
                self.hand_over();
                false
            }
            Ok(Err(_)) => false,
            Err(()) => true,
        }
    }

    /// Waits until the workers have ended.
    fn wait_for_drain(&mut self) -> Drained {
        let mut ended = self.workers.wait_for_end();
        loop {
            let access = self.access.as_ref();
            let is_offered = !self.offer.is_taken();
            let offer = &mut self.offer;
            let waited = async {
                tokio::select! {
                    drained = &mut ended => Some(drained.unwrap_or_default()),
                    () = offer.taken(), if is_offered => None,
                }
            };
            let on_signal = |signal| drain_sooner(signal, access).then_some(());
            match self.signals.wait_for(waited, on_signal) {
                Ok(Some(drained)) => return drained,
                Ok(None) => self.hand_over(),
                Err(()) => {
                    tracing::info!(
                        "asked to end a second time: active requests have {SECOND_SIGNAL_GRACE:?} left"
                    );
                    self.workers.drain(SECOND_SIGNAL_GRACE);
                }
            }
        }
    }

    /// Gives the addresses to a successor that serves.
    fn hand_over(&mut self) {
        if let Some(stop) = &self.admin_stop {
            let owner = if self.offer.withdraw(stop.address) {
                QueueOwner::Successor
            } else {
                QueueOwner::ThisProcess
            };
            stop.stop(owner);
        }
        tracing::info!("a successor serves on the addresses of this gateway");
    }
}

/// Obeys a signal during a drain. Returns whether the drain is to end soon.
fn drain_sooner(signal: OperatorSignal, access: Option<&AccessLogWriter>) -> bool {
    match signal {
        OperatorSignal::End => return true,
        OperatorSignal::Reopen => reopen(access),
        OperatorSignal::Reload => {
            reopen(access);
            tracing::info!("reload ignored: the gateway is draining");
        }
        OperatorSignal::Nothing(number) => ignore(number),
    }
    false
}
