//! The operator's signals, and all others that could end the process by surprise.
//!
//! SIGTERM, SIGINT and SIGQUIT drain; SIGHUP reloads and reopens logs; SIGUSR1 only reopens logs;
//! every other signal that would end or stop a process is ignored, with an entry in the log.
//!
//! It promises that from [`Signals::listen`] on none of them but the first three ends the process,
//! that from [`Signals::listen_for_end`] on these do not either, and that a signal that arrives
//! while nobody waits is not lost.

use std::future::{Future, poll_fn};
use std::io;
use std::ops::RangeInclusive;
use std::task::{Context, Poll};

use rustix::process::Signal as Number;
use rustix::termios::{LocalModes, tcgetattr};
use tokio::runtime::{Builder, Runtime};
use tokio::signal::unix::{Signal, SignalKind, signal};

/// The meaning of a signal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum OperatorSignal {
    /// Read the configuration again, and reopen logs (SIGHUP).
    Reload,
    /// Reopen logs (SIGUSR1).
    Reopen,
    /// Drain (SIGTERM, SIGINT, SIGQUIT); a second time: end soon.
    End,
    /// No meaning: a signal of this number is ignored.
    Nothing(i32),
}

/// Signals that end a process by default and have no meaning here. SIGPIPE is ignored already,
/// SIGTTOU needs a check (below), and SIGXCPU enforces a limit that somebody set.
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

/// Linux's real-time signals: those that the C library leaves to programs. glibc uses 32 and 33
/// for its threads; musl also reserves 34, and refuses it.
const REAL_TIME: RangeInclusive<i32> = 34..=64;

/// The signals, and the runtime that waits for them.
#[derive(Debug)]
pub(crate) struct Signals {
    runtime: Runtime,
    signals: TakenSignals,
}

/// Signals by reverse priority: the last one is checked first.
#[derive(Debug, Default)]
struct TakenSignals(Vec<(OperatorSignal, Signal)>);

impl Signals {
    /// Listens for all signals except those that end the gateway.
    ///
    /// # Errors
    ///
    /// The system gives no runtime, or refuses to deliver signals.
    pub(crate) fn listen() -> io::Result<Self> {
        let runtime = Builder::new_current_thread().enable_all().build()?;
        let entered = runtime.enter();
        let mut signals = TakenSignals::default();
        signals.take(OperatorSignal::Reload, SignalKind::hangup())?;
        signals.take(OperatorSignal::Reopen, SignalKind::user_defined1())?;
        let unused = UNUSED.iter().map(|number| number.as_raw());
        let terminal = may_take_output().then_some(Number::TTOU.as_raw());
        let real_time = REAL_TIME.filter(|_| cfg!(target_os = "linux"));
        for number in unused.chain(terminal).chain(real_time) {
            // A signal that this system does not have cannot end the process.
            let _ = signals.take(
                OperatorSignal::Nothing(number),
                SignalKind::from_raw(number),
            );
        }
        drop(entered);
        Ok(Self { runtime, signals })
    }

    /// Listens for the signals that end the gateway, too.
    ///
    /// # Errors
    ///
    /// The system refuses to deliver signals.
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

    /// Waits for the next signal.
    pub(crate) fn wait(&mut self) -> OperatorSignal {
        let signals = &mut self.signals;
        self.runtime.block_on(poll_fn(|cx| signals.poll(cx)))
    }

    /// Runs a function that needs the runtime.
    pub(crate) fn enter_runtime<T>(&self, make: impl FnOnce() -> T) -> T {
        let _entered = self.runtime.enter();
        make()
    }

    /// Waits for this work and for signals meanwhile. Calls `on_signal` with each signal; if that
    /// returns `Some`, gives up with it as the `Err`.
    pub(crate) fn wait_for<T, G>(
        &mut self,
        work: impl Future<Output = T>,
        mut on_signal: impl FnMut(OperatorSignal) -> Option<G>,
    ) -> Result<T, G> {
        let signals = &mut self.signals;
        self.runtime.block_on(async {
            let mut work = std::pin::pin!(work);
            poll_fn(|cx| {
                if let Poll::Ready(done) = work.as_mut().poll(cx) {
                    return Poll::Ready(Ok(done));
                }
                while let Poll::Ready(signal) = signals.poll(cx) {
                    if let Some(given_up) = on_signal(signal) {
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
    fn take(&mut self, meaning: OperatorSignal, kind: SignalKind) -> io::Result<()> {
        self.0.push((meaning, signal(kind)?));
        Ok(())
    }

    fn poll(&mut self, cx: &mut Context<'_>) -> Poll<OperatorSignal> {
        // The signals that end the gateway were added last, and come first.
        for (meaning, signal) in self.0.iter_mut().rev() {
            if let Poll::Ready(Some(())) = signal.poll_recv(cx) {
                return Poll::Ready(*meaning);
            }
        }
        Poll::Pending
    }
}

/// Whether SIGTTOU may be ignored. If the terminal stops the output of background jobs (`stty
/// tostop`), a process that ignores the signal would try its write again for ever.
fn may_take_output() -> bool {
    let terminal = tcgetattr(io::stderr());
    !terminal.is_ok_and(|modes| modes.local_modes.contains(LocalModes::TOSTOP))
}
