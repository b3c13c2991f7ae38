//! `windlass run`: starts the gateway, obeys signals, and ends.
//!
//! [`start`] builds everything between a configuration and the first request;
//! [`RunningGateway::serve`] reloads and reopens logs; [`super::drain`] ends the process.

use std::error::Error;
use std::num::NonZeroUsize;
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use arc_swap::ArcSwap;
use tokio::sync::oneshot;

use super::signals::{OperatorSignal, Signals};
use super::{BAD_CONFIG, file_limit, notify, terminal};
use crate::admin::{AdminListener, AdminStop, AdminTls, Reloads, Running};
use crate::build::ProcessResources;
use crate::config::{self, Config, LogLevel, Problems};
use crate::error::Causes;
use crate::observe::access_log::AccessLogWriter;
use crate::observe::log_level::LogLevelSwitch;
use crate::observe::sink::{RotationRule, Target, cure};
use crate::proxy::gateway::Gateway;
use crate::runtime::descriptors;
use crate::runtime::sockets::handover::{Announced, Predecessor, SocketOffer};
use crate::server::{self, BindError, NextListeners, PresentListeners, Workers};
use crate::wasm::recorder::Recorder;

/// The priority of a reload below that of requests (setpriority(2)).
const NICE: i32 = 10;

/// The number of workers: the configuration's, or one for each core.
pub(crate) fn workers(config: &Config) -> NonZeroUsize {
    config
        .server
        .workers
        .unwrap_or_else(|| std::thread::available_parallelism().unwrap_or(NonZeroUsize::MIN))
}

/// Reads the configuration, at the start and at each reload.
pub(super) type ReadConfig = Arc<dyn Fn() -> Result<Config, Problems> + Send + Sync>;

/// The differences between the commands that run a gateway.
pub(super) struct Launch {
    /// Reads the configuration anew, for a reload.
    pub(super) read: ReadConfig,
    /// Takes a record of each phase of each filter.
    pub(super) recorder: Option<Recorder>,
    /// The access log, in place of that of the configuration.
    pub(super) access: Option<AccessLogWriter>,
}

impl Launch {
    /// A gateway for the configuration in this file.
    fn of_file(path: &Path) -> Self {
        let path = path.to_owned();
        Self {
            read: Arc::new(move || Config::read(&path)),
            recorder: None,
            access: None,
        }
    }
}

/// A gateway that serves.
pub(crate) struct RunningGateway {
    read: ReadConfig,
    pub(super) running: Arc<Running>,
    pub(super) workers: Workers,
    pub(super) access: Option<AccessLogWriter>,
    /// The certificate of the admin listener, if it has TLS.
    tls: Option<AdminTls>,
    pub(super) signals: Signals,
    pub(super) admin_stop: Option<AdminStop>,
    /// The addresses for a successor, which a drain offers.
    pub(super) offer: SocketOffer,
}

/// Runs the gateway until a signal ends it.
pub(crate) fn run(path: &Path) -> ExitCode {
    run_with(path, || Config::read(path), || {})
}

/// Runs a gateway with the configuration that `read` returns. Calls `serving` when it serves.
pub(super) fn run_with(
    path: &Path,
    read: impl FnOnce() -> Result<Config, Problems>,
    serving: impl FnOnce(),
) -> ExitCode {
    // A signal for a reload or for log rotation that arrives early must not end the process.
    let signals = match Signals::listen() {
        Ok(signals) => signals,
        Err(error) => {
            eprintln!("windlass: cannot listen for signals: {error}");
            return ExitCode::FAILURE;
        }
    };
    let config = match read() {
        Ok(config) => config,
        Err(problems) => {
            eprint!("{problems}");
            return ExitCode::from(BAD_CONFIG);
        }
    };
    let log_level = Arc::new(terminal::log(&config.log));
    let code = match start(Launch::of_file(path), config, signals, log_level) {
        Ok(started) => {
            serving();
            started.serve()
        }
        Err(code) => code,
    };
    terminal::finish();
    code
}

/// Builds everything between a configuration and the first request. Prints errors on standard
/// error.
pub(super) fn start(
    launch: Launch,
    config: Config,
    mut signals: Signals,
    log_level: Arc<LogLevelSwitch>,
) -> Result<RunningGateway, ExitCode> {
    let count = workers(&config);
    if let Err(error) = descriptors::raise_limit() {
        tracing::warn!(
            "the soft limit of open files cannot be raised to the hard limit: {error}; raise the soft limit if the gateway runs out of files"
        );
    }
    let foundation = match launch.recorder {
        Some(recorder) => ProcessResources::for_author(&config, count, recorder),
        None => ProcessResources::new(&config, count),
    };
    let foundation = foundation.map_err(failed)?;
    let mut predecessor = Predecessor::default();
    let bind = || server::bind(&config.listeners, count, &mut predecessor);
    let bound = signals.enter_runtime(bind).map_err(failed)?;
    let admin = config.admin.as_ref();
    let bind = |admin| AdminListener::bind(admin, &config.secrets, &mut predecessor);
    let admin = signals.enter_runtime(|| admin.map(bind).transpose());
    let admin = admin.map_err(failed)?;
    let access = match launch.access {
        Some(access) => Some(access),
        None => open_log(&config.log).map_err(failed)?,
    };
    let mut problems = config.warnings.clone();
    file_limit::check(&config, count, &mut problems);
    if problems.is_fatal() {
        report_problems(&problems);
        return Err(ExitCode::FAILURE);
    }
    let gateway = foundation.build(config, &mut problems);
    report_problems(&problems);
    let gateway = gateway.ok_or(ExitCode::from(BAD_CONFIG))?;
    foundation.restore().map_err(failed)?;
    foundation.put_in_use(&gateway);
    // Before the gateway reports that it serves, because from then on it may be asked to end.
    signals.listen_for_end().map_err(failed)?;
    // Before the workers accept: a successor that comes too late must not touch sockets that it
    // shares with the one that goes on.
    match predecessor.announce() {
        Announced::ToNobody => {}
        Announced::Heard => {
            tracing::info!(
                "the gateway that drains on these addresses was asked to stop listening"
            );
        }
        Announced::TooLate => return Err(failed(SuccessorExists)),
    }
    let workers = bound.start(&gateway, access.as_ref()).map_err(failed)?;
    let tls = gateway.admin_tls.clone().map(AdminTls::new);
    let running = Arc::new(Running {
        service: foundation.service().cloned(),
        foundation: Arc::new(foundation),
        workers: workers.shared().to_vec(),
        draining: AtomicBool::new(false),
        reloads: Reloads::default(),
        log_dropped: access
            .as_ref()
            .map(|access| access.sink.lost_lines())
            .unwrap_or_default(),
        own_log_dropped: terminal::lost_lines(),
        log_level,
        gateway: ArcSwap::new(gateway),
    });
    for address in workers.addresses() {
        tracing::info!(%address, workers = count.get(), "listening");
    }
    let mut admin_stop = None;
    if let Some(admin) = admin {
        let address = admin.address;
        let stop = admin.start(Arc::clone(&running), tls.clone());
        admin_stop = Some(stop.map_err(failed)?);
        tracing::info!(%address, "admin listening: /metrics, /livez, /readyz");
    }
    notify::ready();
    Ok(RunningGateway {
        read: launch.read,
        running,
        workers,
        access,
        tls,
        signals,
        admin_stop,
        offer: SocketOffer::default(),
    })
}

/// Prints why the gateway does not start.
fn failed(error: impl Error) -> ExitCode {
    terminal::text(&format!("windlass: {}\n", Causes(&error)));
    ExitCode::FAILURE
}

/// Two gateways were started as successors of one.
#[derive(Debug, thiserror::Error)]
#[error(
    "another gateway has taken over the addresses of the one that drains; start one successor at a time, after its predecessor was asked to stop"
)]
struct SuccessorExists;

/// Why the access log cannot be opened.
#[derive(Debug, thiserror::Error)]
#[error("the access log `{name}` cannot be written: {error}; {cure}")]
struct LogError {
    name: String,
    error: std::io::Error,
    cure: &'static str,
}

fn open_log(log: &config::Log) -> Result<Option<AccessLogWriter>, LogError> {
    let target = match &log.access {
        config::AccessLog::Off => return Ok(None),
        config::AccessLog::Stdout => Target::Stdout,
        config::AccessLog::Stderr => Target::Stderr,
        config::AccessLog::File(path) => Target::of(path),
    };
    let name = target.name();
    let rule = log.rotate.map(|rotate| RotationRule {
        size: Some(rotate.size),
        age: rotate.age,
        keep: rotate.keep,
    });
    AccessLogWriter::open(target, rule)
        .map(Some)
        .map_err(|error| LogError {
            name,
            cure: cure(&error),
            error,
        })
}

impl RunningGateway {
    /// Obeys signals until one ends the gateway.
    pub(crate) fn serve(mut self) -> ExitCode {
        loop {
            match self.signals.wait() {
                OperatorSignal::Reload => {
                    if !self.reload() {
                        return self.drain();
                    }
                }
                OperatorSignal::Reopen => reopen(self.access.as_ref()),
                OperatorSignal::Nothing(number) => ignore(number),
                OperatorSignal::End => return self.drain(),
            }
        }
    }

    /// How many reloads put a new configuration in use.
    pub(super) fn reloads(&self) -> u64 {
        self.running.reloads.done.load(Ordering::Relaxed)
    }

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

/// Reopens the access log, whose file may have been moved away.
pub(super) fn reopen(access: Option<&AccessLogWriter>) {
    let Some(access) = access else {
        return;
    };
    let name = access.target.name();
    match access.reopen() {
        Ok(()) => tracing::info!(name, "the access log was reopened"),
        Err(error) => tracing::error!(
            name,
            "the access log could not be reopened, and the old file stays in use: {error}; {}, and send SIGUSR1 again",
            cure(&error)
        ),
    }
}

pub(super) fn ignore(number: i32) {
    tracing::info!(
        number,
        "an unused signal was ignored; SIGTERM drains, SIGHUP reloads, SIGUSR1 reopens logs"
    );
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

/// Prints the errors and warnings of a configuration, if there are any.
fn report_problems(problems: &Problems) {
    if !problems.is_empty() {
        terminal::text(&problems.to_string());
    }
}

/// Compiling must not take a core from the workers. On Linux the priority belongs to the thread.
fn lower_priority() {
    let thread = rustix::thread::gettid();
    if let Err(error) = rustix::process::setpriority_process(Some(thread), NICE) {
        tracing::debug!("cannot lower the priority of the reload's thread: {error}");
    }
}
