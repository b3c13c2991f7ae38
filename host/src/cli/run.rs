//! `windlass run`: starts the gateway, obeys signals, and ends.
//!
//! [`start`] builds everything between a configuration and the first request, after the sockets if the process
//! has to become another user ([`super::account`]);
//! [`RunningGateway::serve`] obeys signals; [`super::reload`] takes another configuration, and [`super::drain`]
//! ends the process.

use std::error::Error;
use std::num::NonZeroUsize;
use std::path::Path;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use arc_swap::ArcSwap;

use super::account::SystemAccount;
use super::signals::{OperatorSignal, Signals};
use super::{BAD_CONFIG, file_limit, notify, terminal};
use crate::admin::{AdminListener, AdminStop, AdminTls, Reloads, Running};
use crate::build::ProcessResources;
use crate::config::{self, Config, Problems};
use crate::error::Causes;
use crate::observe::access_log::AccessLogWriter;
use crate::observe::log_level::LogLevelSwitch;
use crate::observe::sink::{RotationRule, Target, cure};
use crate::runtime::descriptors;
use crate::runtime::sockets::activation::ActivatedSockets;
use crate::runtime::sockets::handover::{Announced, Predecessor, SocketOffer};
use crate::server::{self, BoundListeners, Workers};
use crate::wasm::recorder::Recorder;

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
    /// The sockets, if they were bound before the process became another user.
    pub(super) bound: Option<BoundSockets>,
    /// The sockets that the service manager passed, if none are bound yet.
    pub(super) activated: ActivatedSockets,
}

impl Launch {
    /// A gateway for the configuration in this file.
    fn of_file(path: &Path) -> Self {
        let path = path.to_owned();
        Self {
            read: Arc::new(move || Config::read(&path)),
            recorder: None,
            access: None,
            bound: None,
            activated: ActivatedSockets::default(),
        }
    }
}

/// A gateway that serves.
pub(crate) struct RunningGateway {
    pub(super) read: ReadConfig,
    pub(super) running: Arc<Running>,
    pub(super) workers: Workers,
    pub(super) access: Option<AccessLogWriter>,
    /// The certificate of the admin listener, if it has TLS.
    pub(super) tls: Option<AdminTls>,
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
    // Before there are other threads, since it changes the environment.
    let activated = ActivatedSockets::from_environment();
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
    let mut launch = Launch::of_file(path);
    match become_account(&config, activated, &signals) {
        Ok(EarlySockets::Bound(bound)) => launch.bound = Some(*bound),
        Ok(EarlySockets::Later(activated)) => launch.activated = activated,
        Err(code) => return code,
    }
    let log_level = Arc::new(terminal::log(&config.log));
    if launch.bound.is_some() {
        tracing::info!("running as the user of `[server]` from now on");
    }
    let code = match start(launch, config, signals, log_level) {
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
    let bound = match launch.bound {
        Some(bound) => bound,
        None => bind(&config, launch.activated, &signals, None)?,
    };
    let BoundSockets {
        listeners: bound,
        admin,
        predecessor,
        activated,
    } = bound;
    activated.close_unused();
    if rustix::process::geteuid().is_root() {
        tracing::warn!(
            "Windlass and its filters run as root; set `[server] user`, or start it as another user"
        );
    }
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

/// The sockets of a gateway that does not serve yet.
pub(super) struct BoundSockets {
    listeners: BoundListeners,
    admin: Option<AdminListener>,
    predecessor: Predecessor,
    /// Those that no listener has taken.
    activated: ActivatedSockets,
}

/// Binds all listeners, for a gateway that will be this user.
fn bind(
    config: &Config,
    mut activated: ActivatedSockets,
    signals: &Signals,
    user: Option<u32>,
) -> Result<BoundSockets, ExitCode> {
    let mut predecessor = Predecessor::of_user(user);
    let count = workers(config);
    let listeners = || server::bind(&config.listeners, count, &mut predecessor, &mut activated);
    let listeners = signals.enter_runtime(listeners).map_err(failed)?;
    let admin = config.admin.as_ref();
    let bind = |admin| AdminListener::bind(admin, &config.secrets, &mut predecessor);
    let admin = signals.enter_runtime(|| admin.map(bind).transpose());
    Ok(BoundSockets {
        listeners,
        admin: admin.map_err(failed)?,
        predecessor,
        activated,
    })
}

/// The sockets before the process has threads.
enum EarlySockets {
    Bound(Box<BoundSockets>),
    /// They are bound later: the process stays the user that it is.
    Later(ActivatedSockets),
}

/// Becomes the user of `[server]`, if there is one and it is another, after all sockets are bound.
fn become_account(
    config: &Config,
    activated: ActivatedSockets,
    signals: &Signals,
) -> Result<EarlySockets, ExitCode> {
    let Some(account) = SystemAccount::of(&config.server).map_err(failed)? else {
        return Ok(EarlySockets::Later(activated));
    };
    let bound = bind(config, activated, signals, Some(account.uid()))?;
    account.assume().map_err(failed)?;
    Ok(EarlySockets::Bound(Box::new(bound)))
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

/// Prints the errors and warnings of a configuration, if there are any.
pub(super) fn report_problems(problems: &Problems) {
    if !problems.is_empty() {
        terminal::text(&problems.to_string());
    }
}
