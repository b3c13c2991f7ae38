//! How a running gateway ends: it drains, and a successor on the same machine may take its place.

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

/// What a second wish to end leaves to running requests.
const SECOND_SIGNAL_GRACE: Duration = Duration::from_secs(1);

impl RunningGateway {
    /// Drain: answer what has begun, and end.
    pub(super) fn drain(mut self) -> ExitCode {
        self.running.draining.store(true, Ordering::Relaxed);
        notify::stopping();
        let gateway = self.running.gateway.load_full();
        let (delay, limit) = (gateway.drain_delay, gateway.drain_timeout);
        drop(gateway);
        let running = Arc::clone(&self.running);
        // The store may make this wait, and the drain does not.
        let leave = std::thread::Builder::new().name("windlass-leave".into());
        if let Err(error) = leave.spawn(move || running.foundation.release_storage()) {
            tracing::error!("the store stays in use until the end of the drain: {error}");
        }
        let hurry = self.delay(delay);
        for (listener, address) in self.workers.addresses().iter().enumerate() {
            if self.offer.withdraw(*address) {
                self.workers.hand_over(listener);
            }
        }
        tracing::info!(
            ?limit,
            "draining: new connections are refused, running requests are answered; a second SIGTERM shortens it to {SECOND_SIGNAL_GRACE:?}"
        );
        self.workers.drain(if hurry {
            SECOND_SIGNAL_GRACE.min(limit)
        } else {
            limit
        });
        let drained = self.wait_for_drain();
        self.running.foundation.close();
        if let Some(access) = self.access {
            access.finish();
        }
        tracing::info!(finished = drained.finished, cut = drained.cut, "ended");
        ExitCode::SUCCESS
    }

    /// Go on taking requests until the time is over or a successor serves. Whether the operator asked
    /// a second time.
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
            "draining soon: /readyz says 503, and requests are taken for this time, or until a successor serves"
        );
        let (access, taken) = (self.access.as_ref(), self.offer.taken());
        let over = async { tokio::time::timeout(delay, taken).await };
        let heard = |wish| drain_sooner(wish, access).then_some(());
        match self.signals.wait_for(over, heard) {
            Ok(Ok(())) => {
                self.hand_over();
                false
            }
            Ok(Err(_)) => false,
            Err(()) => true,
        }
    }

    /// Until the workers have ended.
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
            let heard = |wish| drain_sooner(wish, access).then_some(());
            match self.signals.wait_for(waited, heard) {
                Ok(Some(drained)) => return drained,
                Ok(None) => self.hand_over(),
                Err(()) => {
                    tracing::info!(
                        "asked to end a second time: what runs has {SECOND_SIGNAL_GRACE:?} left"
                    );
                    self.workers.drain(SECOND_SIGNAL_GRACE);
                }
            }
        }
    }

    /// A successor serves: it has the addresses.
    fn hand_over(&mut self) {
        if let Some(stop) = &self.admin_stop {
            stop.stop(match self.offer.withdraw(stop.address()) {
                true => QueueOwner::Successor,
                false => QueueOwner::ThisProcess,
            });
        }
        tracing::info!("a successor serves, and has the addresses of this gateway");
    }
}

/// Obey a signal during a drain. Whether it is to end soon.
fn drain_sooner(wish: OperatorSignal, access: Option<&AccessLogWriter>) -> bool {
    match wish {
        OperatorSignal::End => return true,
        OperatorSignal::Reopen => reopen(access),
        OperatorSignal::Reload => {
            reopen(access);
            tracing::info!("the gateway drains, and does not read its configuration again");
        }
        OperatorSignal::Nothing(number) => ignore(number),
    }
    false
}
