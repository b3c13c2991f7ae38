//! The signals of an operator, and all others that could end the process by surprise.
//!
//! SIGTERM, SIGINT and SIGQUIT drain; SIGHUP reloads and opens logs anew; SIGUSR1 only opens logs
//! anew; every other signal that ends or stops a process unless it is taken is ignored, with a line
//! in the log. Promises: from [`Signals::listen`] on none of those but the first three ends the
//! process, and from [`Signals::listen_for_end`] on these do not either; what comes while nobody waits is
//! not lost.

use std::future::{Future, poll_fn};
use std::io;
use std::ops::RangeInclusive;
use std::task::{Context, Poll};

use rustix::process::Signal as Number;
use rustix::termios::{LocalModes, tcgetattr};
use tokio::runtime::{Builder, Runtime};
use tokio::signal::unix::{Signal, SignalKind, signal};

/// What the operator wants.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum OperatorSignal {
    /// Read the configuration again, and open logs anew (SIGHUP).
    Reload,
    /// Open logs anew (SIGUSR1).
    Reopen,
    /// Stop gently (SIGTERM, SIGINT, SIGQUIT); a second time: soon.
    End,
    /// Nothing: a signal of this number that the gateway has no use for.
    Nothing(i32),
}

/// Signals that end a process which does not take them, and mean nothing here. SIGPIPE is ignored
/// already, SIGTTOU is looked at below, and SIGXCPU is a limit that somebody set.
const UNUSED: &[Number] = &[
    Number::USR2,
    Number::ALARM,
    Number::VTALARM,
    Number::PROF,
    Number::XFSZ,
    Number::TTIN,
    #[cfg(target_os = "linux")]
    Number::IO,
    #[cfg(target_os = "linux")]
    Number::POWER,
    #[cfg(target_os = "linux")]
    Number::STKFLT,
];

/// Linux's real-time signals: those that the C library leaves to programs. 32 and 33 are what glibc
/// speaks to its threads with; musl keeps 34 as well, and refuses it.
const REAL_TIME: RangeInclusive<i32> = 34..=64;

/// The signals, and the runtime of whoever waits for them.
#[derive(Debug)]
pub(crate) struct Signals {
    runtime: Runtime,
    signals: TakenSignals,
}

/// The first that has come is looked at first.
#[derive(Debug, Default)]
struct TakenSignals(Vec<(OperatorSignal, Signal)>);

impl Signals {
    /// Take over all but those that end the gateway.
    ///
    /// # Errors
    ///
    /// The system gives no runtime, or refuses to tell of signals.
    pub(crate) fn listen() -> io::Result<Self> {
        let runtime = Builder::new_current_thread().enable_all().build()?;
        let entered = runtime.enter();
        let mut taken = TakenSignals::default();
        taken.take(OperatorSignal::Reload, SignalKind::hangup())?;
        taken.take(OperatorSignal::Reopen, SignalKind::user_defined1())?;
        let unused = UNUSED.iter().map(|number| number.as_raw());
        let terminal = may_take_output().then_some(Number::TTOU.as_raw());
        let real_time = REAL_TIME.filter(|_| cfg!(target_os = "linux"));
        for number in unused.chain(terminal).chain(real_time) {
            // One that this system does not have ends nothing.
            let _ = taken.take(
                OperatorSignal::Nothing(number),
                SignalKind::from_raw(number),
            );
        }
        drop(entered);
        Ok(Self {
            runtime,
            signals: taken,
        })
    }

    /// Take over those that end the gateway, too.
    ///
    /// # Errors
    ///
    /// The system refuses to tell of signals.
    pub(crate) fn listen_for_end(&mut self) -> io::Result<()> {
        let _entered = self.runtime.enter();
        for kind in [
            SignalKind::terminate(),
            SignalKind::interrupt(),
            SignalKind::quit(),
        ] {
            self.signals.take(OperatorSignal::End, kind)?;
        }
        Ok(())
    }

    /// Wait for the next one.
    pub(crate) fn wait(&mut self) -> OperatorSignal {
        let taken = &mut self.signals;
        self.runtime.block_on(poll_fn(|cx| taken.poll(cx)))
    }

    /// Make something that needs the runtime.
    pub(crate) fn enter_runtime<T>(&self, make: impl FnOnce() -> T) -> T {
        let _entered = self.runtime.enter();
        make()
    }

    /// Wait for this, and for signals meanwhile: `heard` is told of each, and gives up by `Some`.
    /// `Err` is what it gave up with.
    pub(crate) fn wait_for<T, G>(
        &mut self,
        work: impl Future<Output = T>,
        mut heard: impl FnMut(OperatorSignal) -> Option<G>,
    ) -> Result<T, G> {
        let taken = &mut self.signals;
        self.runtime.block_on(async {
            let mut work = std::pin::pin!(work);
            poll_fn(|cx| {
                if let Poll::Ready(done) = work.as_mut().poll(cx) {
                    return Poll::Ready(Ok(done));
                }
                while let Poll::Ready(wish) = taken.poll(cx) {
                    if let Some(given_up) = heard(wish) {
                        return Poll::Ready(Err(given_up));
                    }
                }
                Poll::Pending
            })
            .await
        })
    }
}

impl TakenSignals {
    fn take(&mut self, wish: OperatorSignal, kind: SignalKind) -> io::Result<()> {
        self.0.push((wish, signal(kind)?));
        Ok(())
    }

    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<OperatorSignal> {
        // Those that end the gateway were taken last, and go first.
        for (wish, signal) in self.0.iter_mut().rev() {
            if let Poll::Ready(Some(())) = signal.poll_recv(cx) {
                return Poll::Ready(*wish);
            }
        }
        Poll::Pending
    }
}

/// Whether SIGTTOU can be taken. On a terminal that stops the output of background jobs
/// (`stty tostop`) a process that takes it would try its write again for ever.
fn may_take_output() -> bool {
    let terminal = tcgetattr(io::stderr());
    !terminal.is_ok_and(|modes| modes.local_modes.contains(LocalModes::TOSTOP))
}
