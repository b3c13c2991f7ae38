//! `windlass run`: start, obey signals, end.

use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use arc_swap::ArcSwap;
use tokio::sync::oneshot;

use super::signals::{OperatorSignal, Signals};
use super::{BAD_CONFIG, file_limit, notify, terminal};
use crate::admin::{AdminListener, AdminStop, AdminTls, Reloads, Running};
use crate::build::ProcessResources;
use crate::config::{self, Config, Problems};
use crate::observe::access_log::AccessLogWriter;
use crate::observe::sink::{Target, cure};
use crate::proxy::gateway::Gateway;
use crate::runtime::descriptors;
use crate::runtime::sockets::handover::{Predecessor, SocketOffer};
use crate::server::{self, Workers};

/// How much less important than requests the making of a configuration is (setpriority(2)).
const NICE: i32 = 10;

/// As many workers as the configuration says, else one for each core.
pub(crate) fn workers(config: &Config) -> NonZeroUsize {
    config
        .server
        .workers
        .unwrap_or_else(|| std::thread::available_parallelism().unwrap_or(NonZeroUsize::MIN))
}

/// A gateway that takes requests.
pub(crate) struct RunningGateway {
    path: PathBuf,
    pub(super) running: Arc<Running>,
    pub(super) workers: Workers,
    pub(super) access: Option<AccessLogWriter>,
    /// The admin listener's, where it has one.
    tls: Option<AdminTls>,
    pub(super) signals: Signals,
    pub(super) admin_stop: Option<AdminStop>,
    /// The addresses, for a successor; made by a drain.
    pub(super) offer: SocketOffer,
}

/// Run the gateway until it is told to end.
pub(crate) fn run(path: &Path) -> ExitCode {
    // A rotation of logs, or a reload, that comes too early ends nothing.
    let signals = match Signals::listen() {
        Ok(signals) => signals,
        Err(error) => {
            eprintln!("windlass: cannot take signals: {error}");
            return ExitCode::FAILURE;
        }
    };
    let config = match Config::read(path) {
        Ok(config) => config,
        Err(problems) => {
            eprint!("{problems}");
            return ExitCode::from(BAD_CONFIG);
        }
    };
    terminal::log(&config.log);
    let code = match start(path, config, signals) {
        Ok(started) => started.serve(),
        Err(code) => code,
    };
    terminal::finish();
    code
}

/// Everything between a configuration and the first request. What goes wrong is told on standard
/// error.
pub(crate) fn start(
    path: &Path,
    config: Config,
    mut signals: Signals,
) -> Result<RunningGateway, ExitCode> {
    let failed = |error: &dyn std::error::Error| {
        let mut text = error.to_string();
        let mut cause = error.source();
        while let Some(error) = cause {
            text = format!("{text}: {error}");
            cause = error.source();
        }
        terminal::text(&format!("windlass: {text}\n"));
        ExitCode::FAILURE
    };
    let count = workers(&config);
    if let Err(error) = descriptors::raise_limit() {
        tracing::warn!("the soft limit of open files cannot be raised to the hard one: {error}");
    }
    let foundation = ProcessResources::new(&config, count).map_err(|error| failed(&error))?;
    let mut predecessor = Predecessor::default();
    let bind = || server::bind(&config.listeners, count, &mut predecessor);
    let bound = signals
        .enter_runtime(bind)
        .map_err(|error| failed(&error))?;
    let admin = config.admin.as_ref();
    let bind = |admin| AdminListener::bind(admin, &config.secrets, &mut predecessor);
    let admin = signals.enter_runtime(|| admin.map(bind).transpose());
    let admin = admin.map_err(|error| failed(&error))?;
    let tls = admin.as_ref().and_then(AdminListener::tls);
    let access = open_log(&config.log.access).map_err(|error| failed(&error))?;
    let mut problems = config.warnings.clone();
    file_limit::check(&config, count, &mut problems);
    if problems.is_fatal() {
        report_problems(&problems);
        return Err(ExitCode::FAILURE);
    }
    let gateway = foundation.build(config, &mut problems);
    report_problems(&problems);
    let gateway = gateway.ok_or(ExitCode::from(BAD_CONFIG))?;
    foundation.restore().map_err(|error| failed(&error))?;
    foundation.put_in_use(&gateway);
    // Before anybody is told that the gateway takes requests, and may then end it.
    signals.listen_for_end().map_err(|error| failed(&error))?;
    if predecessor.has_other_successor() {
        return Err(failed(&SuccessorExists));
    }
    let workers = bound
        .start(&gateway, access.as_ref())
        .map_err(|error| failed(&error))?;
    let running = Arc::new(Running {
        service: foundation.service().cloned(),
        foundation: Arc::new(foundation),
        workers: workers.shared().to_vec(),
        draining: AtomicBool::new(false),
        reloads: Reloads::default(),
        log_dropped: access
            .as_ref()
            .map(AccessLogWriter::dropped)
            .unwrap_or_default(),
        own_log_dropped: terminal::lost_lines(),
        gateway: ArcSwap::new(gateway),
    });
    for address in workers.addresses() {
        tracing::info!(%address, workers = count.get(), "takes requests");
    }
    let mut admin_stop = None;
    if let Some(admin) = admin {
        let address = admin.address();
        let stop = admin.start(Arc::clone(&running));
        admin_stop = Some(stop.map_err(|error| failed(&error))?);
        tracing::info!(%address, "answers the operator: /metrics, /livez, /readyz");
    }
    if predecessor.announce() {
        tracing::info!("the gateway that drains here was told to stop listening");
    }
    notify::ready();
    Ok(RunningGateway {
        path: path.to_owned(),
        running,
        workers,
        access,
        tls,
        signals,
        admin_stop,
        offer: SocketOffer::default(),
    })
}

/// Two gateways were started to succeed one.
#[derive(Debug, thiserror::Error)]
#[error(
    "another gateway has taken over the addresses of the one that drains; start one successor at a time, after the one before it was told to stop"
)]
struct SuccessorExists;

/// Why the access log is not there.
#[derive(Debug, thiserror::Error)]
#[error("the access log `{name}` cannot be written: {error}; {cure}")]
struct LogError {
    name: String,
    error: std::io::Error,
    cure: &'static str,
}

fn open_log(to: &config::AccessLog) -> Result<Option<AccessLogWriter>, LogError> {
    let target = match to {
        config::AccessLog::Off => return Ok(None),
        config::AccessLog::Stdout => Target::Stdout,
        config::AccessLog::Stderr => Target::Stderr,
        config::AccessLog::File(path) => Target::of(path),
    };
    let name = target.name();
    AccessLogWriter::open(target)
        .map(Some)
        .map_err(|error| LogError {
            name,
            cure: cure(&error),
            error,
        })
}

impl RunningGateway {
    /// Obey signals until one says to end.
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

    /// Open logs anew, then build the next gateway aside, and put it in use; any error keeps the old
    /// one. Once more for each time that it was asked for meanwhile. Whether the gateway goes on: a
    /// stop does not wait for a reload.
    fn reload(&mut self) -> bool {
        loop {
            notify::reloading();
            reopen(self.access.as_ref());
            let (access, mut again) = (self.access.as_ref(), false);
            let heard = |wish| {
                match wish {
                    OperatorSignal::Reload => again = true,
                    OperatorSignal::Reopen => reopen(access),
                    OperatorSignal::Nothing(number) => ignore(number),
                    OperatorSignal::End => return Some(()),
                }
                None
            };
            let (running, workers) = (&self.running, &self.workers);
            let built = build_in_background(self.path.clone(), Arc::clone(running));
            let used = apply_build(built, running, workers, self.tls.as_ref());
            let ended = self.signals.wait_for(used, heard).is_err();
            if !ended {
                notify::ready();
            }
            if ended || !again {
                return !ended;
            }
        }
    }
}

/// The file of the access log may have been moved away.
pub(super) fn reopen(access: Option<&AccessLogWriter>) {
    let Some(access) = access else {
        return;
    };
    let name = access.target().name();
    match access.reopen() {
        Ok(()) => tracing::info!(name, "the access log is opened anew"),
        Err(error) => tracing::error!(
            name,
            "the access log cannot be opened anew, and the old file stays in use: {error}; {}, and send SIGUSR1 again",
            cure(&error)
        ),
    }
}

pub(super) fn ignore(number: i32) {
    tracing::info!(
        number,
        "a signal that the gateway has no use for is ignored: SIGTERM drains, SIGHUP reloads, SIGUSR1 opens logs anew"
    );
}

/// What a file gave: the next gateway, and where the admin listener's certificate is.
type BuildResult = Option<(Arc<Gateway>, Option<config::ListenerTls>)>;

/// Build on a thread of its own, which nobody waits for if the process ends.
fn build_in_background(path: PathBuf, running: Arc<Running>) -> oneshot::Receiver<BuildResult> {
    let (done, built) = oneshot::channel();
    let build = move || {
        lower_priority();
        // Whoever asked may have stopped waiting.
        let _ = done.send(build(&path, &running.foundation));
    };
    let thread = std::thread::Builder::new().name("windlass-reload".into());
    if let Err(error) = thread.spawn(build) {
        tracing::error!("the system gives no thread for a reload: {error}");
    }
    built
}

/// Put in use what was built.
async fn apply_build(
    built: oneshot::Receiver<BuildResult>,
    running: &Running,
    workers: &Workers,
    tls: Option<&AdminTls>,
) {
    let reloads = &running.reloads;
    let Ok(Some((gateway, files))) = built.await else {
        reloads.refused.fetch_add(1, Ordering::Relaxed);
        tracing::error!(
            generation = running.gateway.load().number,
            "the new configuration has errors and is not used; the old one stays in use"
        );
        return;
    };
    if let (Some(tls), Some(files)) = (tls, files) {
        reload_certificate(tls, &files);
    }
    workers.put_in_use(&gateway).await;
    running.foundation.put_in_use(&gateway);
    let number = gateway.number;
    running.gateway.store(gateway);
    reloads.done.fetch_add(1, Ordering::Relaxed);
    tracing::info!(generation = number, "a new configuration is in use");
}

/// A certificate that cannot be used is no reason to keep the old configuration.
fn reload_certificate(tls: &AdminTls, files: &config::ListenerTls) {
    if let Err(error) = tls.reload(&files.certificate, &files.key) {
        tracing::error!(
            "the new certificate of `[admin] tls` is not used, and the old one stays in use: {error}; {}",
            error.help()
        );
    }
}

/// The next gateway, and where the admin listener's certificate is.
fn build(path: &Path, foundation: &ProcessResources) -> BuildResult {
    let config = match Config::read(path) {
        Ok(config) => config,
        Err(problems) => {
            report_problems(&problems);
            return None;
        }
    };
    let mut problems = config.warnings.clone();
    let files = config.admin.as_ref().and_then(|admin| admin.tls.clone());
    let gateway = foundation.build(config, &mut problems);
    report_problems(&problems);
    gateway.map(|gateway| (gateway, files))
}

/// Errors and warnings of a configuration, where there are any.
fn report_problems(problems: &Problems) {
    if !problems.is_empty() {
        terminal::text(&problems.to_string());
    }
}

/// Compiling must not take a core from the workers. On Linux the priority is the thread's own.
fn lower_priority() {
    let thread = rustix::thread::gettid();
    if let Err(error) = rustix::process::setpriority_process(Some(thread), NICE) {
        tracing::debug!("the priority of the reload's thread stays as it is: {error}");
    }
}
