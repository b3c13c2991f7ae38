//! A reload: SIGHUP, or a change that `windlass plugin dev` notices.
//!
//! The next gateway is built on a thread of its own, at a low priority, and its new listeners are bound there.
//! Only then do the workers get it. Whatever fails before leaves the old one in use.

use std::sync::Arc;

use tokio::sync::oneshot;

use super::run::{ReadConfig, RunningGateway, ignore, reopen, report_problems};
use super::signals::OperatorSignal;
use super::{notify, terminal};
use crate::admin::{AdminTls, Running};
use crate::build::ProcessResources;
use crate::config::LogLevel;
use crate::error::Causes;
use crate::proxy::gateway::Gateway;
use crate::server::{BindError, NextListeners, PresentListeners, Workers};

/// The priority of a reload below that of requests (setpriority(2)).
const NICE: i32 = 10;

impl RunningGateway {
    /// Reopens logs, builds the next gateway in the background, and puts it in use; any error
    /// keeps the old one. Repeats that if another reload was asked for meanwhile. Returns whether
    /// the gateway continues: a stop does not wait for a reload.
    pub(super) fn reload(&mut self) -> bool {
        loop {
            notify::reloading();
            reopen(self.access.as_ref());
            let (access, mut again) = (self.access.as_ref(), false);
            let on_signal = |signal| {
                match signal {
                    OperatorSignal::Reload => again = true,
                    OperatorSignal::Reopen => reopen(access),
                    OperatorSignal::Nothing(number) => ignore(number),
                    OperatorSignal::End => return Some(()),
                }
                None
            };
            let (running, workers) = (&self.running, &mut self.workers);
            let present = workers.present_listeners();
            let built = build_in_background(Arc::clone(&self.read), Arc::clone(running), present);
            let used = apply_build(built, running, workers, self.tls.as_ref());
            let ended = self.signals.wait_for(used, on_signal).is_err();
            if !ended {
                notify::ready();
            }
            if ended || !again {
                return !ended;
            }
        }
    }
}

/// The result of a build.
struct NextGateway {
    gateway: Arc<Gateway>,
    listeners: NextListeners,
    level: LogLevel,
}

/// Builds on a thread of its own. If the process ends, nobody waits for it.
fn build_in_background(
    read: ReadConfig,
    running: Arc<Running>,
    present: PresentListeners,
) -> oneshot::Receiver<Option<NextGateway>> {
    let (done, built) = oneshot::channel();
    let build = move || {
        lower_priority();
        // The receiver may have given up.
        let _ = done.send(build(&read, &running.foundation, present));
    };
    let thread = std::thread::Builder::new().name("windlass-reload".into());
    if let Err(error) = thread.spawn(build) {
        tracing::error!(
            "the reload did not start, because the system gives no thread: {error}; send SIGHUP again"
        );
    }
    built
}

/// Puts the next gateway in use.
async fn apply_build(
    built: oneshot::Receiver<Option<NextGateway>>,
    running: &Running,
    workers: &mut Workers,
    tls: Option<&AdminTls>,
) {
    let reloads = &running.reloads;
    let next = match built.await {
        Ok(Some(next)) => put_in_use(next, workers).await,
        Ok(None) | Err(_) => None,
    };
    let Some((gateway, level)) = next else {
        reloads.count(false);
        tracing::error!(
            generation = running.gateway.load().number,
            "the new configuration has errors and is not used; the old one stays in use; correct it and send SIGHUP again"
        );
        return;
    };
    if let (Some(tls), Some(next)) = (tls, &gateway.admin_tls) {
        tls.replace(Arc::clone(next));
    }
    running.log_level.configure(level);
    running.foundation.put_in_use(&gateway);
    let number = gateway.number;
    running.gateway.store(gateway);
    reloads.count(true);
    tracing::info!(generation = number, "a new configuration is in use");
}

/// Gives the next gateway and its listeners to the workers. `None`: they go on with the old one.
async fn put_in_use(next: NextGateway, workers: &mut Workers) -> Option<(Arc<Gateway>, LogLevel)> {
    let used = workers.put_in_use(&next.gateway, next.listeners).await;
    match used {
        Ok(()) => Some((next.gateway, next.level)),
        Err(error) => {
            report_unbound(&error);
            None
        }
    }
}

/// Prints why a listener of the new configuration cannot be bound.
fn report_unbound(error: &BindError) {
    terminal::text(&format!("windlass: {}\n", Causes(error)));
}

/// Builds the next gateway, and binds its new listeners.
fn build(
    read: &ReadConfig,
    foundation: &ProcessResources,
    present: PresentListeners,
) -> Option<NextGateway> {
    let config = match read() {
        Ok(config) => config,
        Err(problems) => {
            report_problems(&problems);
            return None;
        }
    };
    let mut problems = config.warnings.clone();
    let level = config.log.level;
    let gateway = foundation.build(config, &mut problems);
    report_problems(&problems);
    let gateway = gateway?;
    match present.bind(&gateway.listeners) {
        Ok(listeners) => Some(NextGateway {
            gateway,
            listeners,
            level,
        }),
        Err(error) => {
            report_unbound(&error);
            None
        }
    }
}

/// Compiling must not take a core from the workers. On Linux the priority belongs to the thread.
fn lower_priority() {
    let thread = rustix::thread::gettid();
    if let Err(error) = rustix::process::setpriority_process(Some(thread), NICE) {
        tracing::debug!("cannot lower the priority of the reload's thread: {error}");
    }
}
