//! `windlass run`: start, obey signals, end.

use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use arc_swap::ArcSwap;

use super::signals::{Signals, Wish};
use super::{BAD_CONFIG, fits, terminal};
use crate::admin::{Admin, Reloads, Running, Tls};
use crate::config::{self, Config};
use crate::descriptors;
use crate::gateway::{Foundation, Gateway};
use crate::observe::access_log::{AccessLog, Target};
use crate::server::{self, Workers};

/// How much less important than requests the making of a configuration is (setpriority(2)).
const NICE: i32 = 10;

/// As many workers as the configuration says, else one for each core.
pub fn workers(config: &Config) -> NonZeroUsize {
    config
        .server
        .workers
        .unwrap_or_else(|| std::thread::available_parallelism().unwrap_or(NonZeroUsize::MIN))
}

/// A gateway that takes requests.
pub struct Started {
    path: PathBuf,
    running: Arc<Running>,
    workers: Workers,
    access: Option<AccessLog>,
    /// The admin listener's, where it has one.
    tls: Option<Tls>,
    signals: Signals,
}

/// Run the gateway until it is told to end.
pub fn run(path: &Path) -> ExitCode {
    let config = match Config::read(path) {
        Ok(config) => config,
        Err(problems) => {
            eprint!("{problems}");
            return ExitCode::from(BAD_CONFIG);
        }
    };
    terminal::log(&config.log);
    match start(path, config) {
        Ok(started) => started.serve(),
        Err(code) => code,
    }
}

/// Everything between a configuration and the first request. What goes wrong is told on standard
/// error.
pub fn start(path: &Path, config: Config) -> Result<Started, ExitCode> {
    let failed = |error: &dyn std::error::Error| {
        let mut text = error.to_string();
        let mut cause = error.source();
        while let Some(error) = cause {
            text = format!("{text}: {error}");
            cause = error.source();
        }
        eprintln!("windlass: {text}");
        ExitCode::FAILURE
    };
    let count = workers(&config);
    if let Err(error) = descriptors::raise_limit() {
        tracing::warn!("the soft limit of open files cannot be raised to the hard one: {error}");
    }
    let foundation = Foundation::new(&config, count).map_err(|error| failed(&error))?;
    let bound = server::bind(&config.listeners, count).map_err(|error| failed(&error))?;
    let admin = config.admin.as_ref();
    let admin = admin
        .map(|admin| Admin::bind(admin, &config.secrets))
        .transpose();
    let admin = admin.map_err(|error| failed(&error))?;
    let tls = admin.as_ref().and_then(Admin::tls);
    let access = open_log(&config.log.access).map_err(|error| failed(&error))?;
    let mut problems = config.warnings.clone();
    fits::check(&config, count, &mut problems);
    let gateway = foundation.build(config, &mut problems);
    if !problems.is_empty() {
        eprint!("{problems}");
    }
    let gateway = gateway.ok_or(ExitCode::from(BAD_CONFIG))?;
    foundation.restore().map_err(|error| failed(&error))?;
    foundation.put_in_use(&gateway);
    // Before anybody is told that the gateway takes requests, and may then end it.
    let signals = Signals::listen().map_err(|error| failed(&error))?;
    let workers = bound
        .start(&gateway, access.as_ref())
        .map_err(|error| failed(&error))?;
    let running = Arc::new(Running {
        registrar: foundation.registrar().cloned(),
        foundation: Arc::new(foundation),
        workers: workers.commons().to_vec(),
        draining: AtomicBool::new(false),
        reloads: Reloads::default(),
        log_dropped: access.as_ref().map(AccessLog::dropped).unwrap_or_default(),
        gateway: ArcSwap::new(gateway),
    });
    for address in workers.addresses() {
        tracing::info!(%address, workers = count.get(), "takes requests");
    }
    if let Some(admin) = admin {
        let address = admin.address();
        admin
            .start(Arc::clone(&running))
            .map_err(|error| failed(&error))?;
        tracing::info!(%address, "answers the operator: /metrics, /livez, /readyz");
    }
    Ok(Started {
        path: path.to_owned(),
        running,
        workers,
        access,
        tls,
        signals,
    })
}

/// Why the access log is not there.
#[derive(Debug, thiserror::Error)]
#[error("the access log `{path}` cannot be written")]
struct LogError {
    path: String,
    source: std::io::Error,
}

fn open_log(to: &config::AccessLog) -> Result<Option<AccessLog>, LogError> {
    let target = match to {
        config::AccessLog::Off => return Ok(None),
        config::AccessLog::Stdout => Target::Stdout,
        config::AccessLog::Stderr => Target::Stderr,
        config::AccessLog::File(path) => Target::File(path.clone()),
    };
    let opened = AccessLog::open(&target);
    let path = match target {
        Target::File(path) => path.display().to_string(),
        Target::Stdout | Target::Stderr => "standard output".to_owned(),
    };
    opened.map(Some).map_err(|source| LogError { path, source })
}

impl Started {
    /// Obey signals until one says to end.
    pub fn serve(mut self) -> ExitCode {
        loop {
            match self.signals.wait() {
                Wish::Reload => self.signals.block_on(self.reload()),
                Wish::End => return self.end(),
            }
        }
    }

    /// Build the next gateway aside, and put it in use; any error keeps the old one.
    async fn reload(&self) {
        let path = self.path.clone();
        let running = Arc::clone(&self.running);
        let built = tokio::task::spawn_blocking(move || {
            lower_priority();
            build(&path, &running.foundation)
        });
        let reloads = &self.running.reloads;
        match built.await {
            Ok(Some((gateway, files))) => {
                if let (Some(tls), Some(files)) = (&self.tls, files) {
                    read_again(tls, &files);
                }
                self.workers.put_in_use(&gateway).await;
                self.running.foundation.put_in_use(&gateway);
                let number = gateway.number;
                self.running.gateway.store(gateway);
                reloads.done.fetch_add(1, Ordering::Relaxed);
                tracing::info!(generation = number, "a new configuration is in use");
            }
            Ok(None) | Err(_) => {
                reloads.refused.fetch_add(1, Ordering::Relaxed);
                tracing::error!(
                    generation = self.running.gateway.load().number,
                    "the new configuration has errors and is not used; the old one stays in use"
                );
            }
        }
    }

    /// Drain: answer what has begun, and end.
    fn end(self) -> ExitCode {
        self.running.draining.store(true, Ordering::Relaxed);
        let limit = self.running.gateway.load().drain_timeout;
        tracing::info!(
            ?limit,
            "draining: new connections are refused, running requests are answered"
        );
        let drained = self.workers.drain(limit);
        self.running.foundation.close();
        drop(self.access);
        tracing::info!(finished = drained.finished, cut = drained.cut, "ended");
        ExitCode::SUCCESS
    }
}

/// A certificate that cannot be used is no reason to keep the old configuration.
fn read_again(tls: &Tls, files: &config::ListenerTls) {
    if let Err(error) = tls.read_again(&files.certificate, &files.key) {
        tracing::error!(
            "the new certificate of `[admin] tls` is not used, and the old one stays in use: {error}"
        );
    }
}

/// The next gateway, and where the admin listener's certificate is.
fn build(
    path: &Path,
    foundation: &Foundation,
) -> Option<(Arc<Gateway>, Option<config::ListenerTls>)> {
    let config = match Config::read(path) {
        Ok(config) => config,
        Err(problems) => {
            eprint!("{problems}");
            return None;
        }
    };
    let mut problems = config.warnings.clone();
    let files = config.admin.as_ref().and_then(|admin| admin.tls.clone());
    let gateway = foundation.build(config, &mut problems);
    if !problems.is_empty() {
        eprint!("{problems}");
    }
    gateway.map(|gateway| (gateway, files))
}

/// Compiling must not take a core from the workers. On Linux the priority is the thread's own.
fn lower_priority() {
    let thread = rustix::thread::gettid();
    if let Err(error) = rustix::process::setpriority_process(Some(thread), NICE) {
        tracing::debug!("the priority of the reload's thread stays as it is: {error}");
    }
}
