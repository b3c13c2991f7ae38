//! `windlass plugin dev`: an ordinary gateway in this process, which is reloaded whenever the plugin was built anew.
//!
//! [`crate::plugin_dev`] watches, builds and prints; [`crate::cli::run`] starts the gateway and reloads it.

use std::error::Error;
use std::path::PathBuf;
use std::process::{Command, ExitCode};
use std::sync::Arc;
use std::time::{Duration, Instant};

use arc_swap::ArcSwap;
use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};
use windlass_plugin_kits::{Built, Plugin};

use crate::cli::output::eprint_line;
use crate::cli::run::{self, Launch, RunningGateway};
use crate::cli::signals::{OperatorSignal, Signals};
use crate::cli::{BAD_CONFIG, terminal};
use crate::config::Config;
use crate::error::Causes;
use crate::observe::access_log::AccessLogWriter;
use crate::observe::log_level::LogLevelSwitch;
use crate::plugin_dev::{
    DevChange, DevConfig, DevOptions, EchoEndpoint, ExchangePrinter, SourceWatch, print_line,
};
use crate::runtime::sockets::activation::ActivatedSockets;
use crate::wasm::recorder::Recorder;

/// The options of `windlass plugin dev`.
#[derive(Debug, clap::Args)]
pub(in crate::cli) struct DevArguments {
    /// The plugin's folder.
    #[arg(default_value = ".", value_name = "FOLDER")]
    folder: PathBuf,
    /// The port of loopback that the gateway listens on; 0: a free one.
    #[arg(long, default_value_t = 8080)]
    port: u16,
    /// A server to send the requests to, in place of the endpoint that answers with the request that
    /// it got.
    #[arg(long, value_name = "URL", value_parser = DevOptions::endpoint_of)]
    upstream: Option<(String, bool)>,
    /// Run the cases of `cases.toml` after each build, as `windlass plugin test --cases-only` does.
    #[arg(long)]
    test: bool,
}

/// Runs until it is interrupted.
pub(super) fn run(arguments: &DevArguments) -> ExitCode {
    match begin(arguments) {
        Ok((session, changes)) => session.run(changes),
        Err(error) => {
            eprint_line!("windlass: {}", Causes(&*error));
            ExitCode::FAILURE
        }
    }
}

/// The state that lasts from the first build to the end.
struct Session {
    config: Arc<ArcSwap<DevConfig>>,
    name: String,
    /// The component and its cases, if they are run after each build.
    tests: Option<(PathBuf, PathBuf)>,
}

fn begin(
    arguments: &DevArguments,
) -> Result<(Session, UnboundedReceiver<DevChange>), Box<dyn Error>> {
    let plugin = Plugin::open(&arguments.folder)?;
    let endpoint = match &arguments.upstream {
        Some(endpoint) => endpoint.clone(),
        None => (EchoEndpoint::start()?.address.to_string(), false),
    };
    let config = DevConfig::new(DevOptions {
        folder: plugin.folder().to_owned(),
        name: plugin.name().to_owned(),
        component: plugin.component(),
        port: arguments.port,
        endpoint,
    });
    let session = Session {
        config: Arc::new(ArcSwap::from_pointee(config)),
        name: plugin.name().to_owned(),
        tests: arguments.test.then(|| (plugin.component(), plugin.cases())),
    };
    let (changed, changes) = unbounded_channel();
    print_line(&format!("building `{}`", session.name));
    SourceWatch::begin(plugin)?.run(changed)?;
    Ok((session, changes))
}

/// The outcome of a change that the author saved.
struct Saved {
    at: Instant,
    /// How long the build took, if there was one.
    build: Option<Duration>,
}

impl Session {
    fn run(self, mut changes: UnboundedReceiver<DevChange>) -> ExitCode {
        let mut log_level = None;
        while let Some(change) = changes.blocking_recv() {
            let Some(saved) = self.take(change) else {
                continue;
            };
            let config = match self.config.load().read() {
                Ok(config) => config,
                Err(problems) => {
                    eprint_line!("{problems}");
                    print_line("waiting for a change");
                    continue;
                }
            };
            let log_level =
                Arc::clone(log_level.get_or_insert_with(|| Arc::new(terminal::log(&config.log))));
            match self.start(config, log_level) {
                Ok(gateway) => {
                    self.greet(&gateway, &saved);
                    self.test();
                    let code = self.serve(gateway, changes);
                    terminal::finish();
                    return code;
                }
                // The author can correct it: the filter rejects its settings, or does not load.
                Err(code) if code == ExitCode::from(BAD_CONFIG) => {
                    print_line("waiting for a change");
                }
                Err(code) => {
                    terminal::finish();
                    return code;
                }
            }
        }
        ExitCode::FAILURE
    }

    /// Takes a change into the configuration. None: there is nothing new to run.
    fn take(&self, change: DevChange) -> Option<Saved> {
        match change {
            DevChange::Built { built, saved } => {
                let Built {
                    component,
                    debug,
                    document,
                    took,
                } = built;
                let config = DevConfig::clone(&self.config.load());
                let config = config.with_component(debug.unwrap_or(component), document);
                self.config.store(Arc::new(config));
                Some(Saved {
                    at: saved,
                    build: Some(took),
                })
            }
            DevChange::Settings { saved } => Some(Saved {
                at: saved,
                build: None,
            }),
            DevChange::Failed { error } => {
                print_line(&format!("the build failed: {}", Causes(&error)));
                None
            }
        }
    }

    fn start(
        &self,
        config: Config,
        log_level: Arc<LogLevelSwitch>,
    ) -> Result<RunningGateway, ExitCode> {
        let failed = |error: &dyn Error| {
            eprint_line!("windlass: {}", Causes(error));
            ExitCode::FAILURE
        };
        let signals = Signals::listen().map_err(|error| failed(&error))?;
        let (recorder, records) = Recorder::new();
        let (reader, writer) = std::io::pipe().map_err(|error| failed(&error))?;
        let access = AccessLogWriter::to_pipe(writer).map_err(|error| failed(&error))?;
        ExchangePrinter::start(reader, records, recorder.clone())
            .map_err(|error| failed(&error))?;
        let config_now = Arc::clone(&self.config);
        let launch = Launch {
            bound: None,
            activated: ActivatedSockets::default(),
            read: Arc::new(move || config_now.load().read()),
            recorder: Some(recorder),
            access: Some(access),
        };
        run::start(launch, config, signals, log_level)
    }

    fn greet(&self, gateway: &RunningGateway, saved: &Saved) {
        let name = &self.name;
        print_line(&format!(
            "built in {}",
            seconds(saved.build.unwrap_or_default())
        ));
        for address in gateway.workers.addresses() {
            print_line(&format!(
                "`{name}` runs at http://{address}; try: curl -i http://{address}/"
            ));
        }
        print_line("watching for changes; Ctrl-C ends");
    }

    /// Runs the cases in a process of its own, whose report the author sees.
    fn test(&self) {
        let Some((component, cases)) = &self.tests else {
            return;
        };
        let run = std::env::current_exe().and_then(|program| {
            let mut command = Command::new(program);
            command.args(["plugin", "test"]).args([component, cases]);
            command.arg("--cases-only").status()
        });
        if let Err(error) = run {
            print_line(&format!("the cases cannot be run: {error}"));
        }
    }

    /// Reloads after each change, until a signal ends the gateway.
    fn serve(
        &self,
        mut gateway: RunningGateway,
        mut changes: UnboundedReceiver<DevChange>,
    ) -> ExitCode {
        loop {
            let ends = |signal| (signal == OperatorSignal::End).then_some(());
            let Ok(change) = gateway.signals.wait_for(changes.recv(), ends) else {
                return gateway.drain();
            };
            let Some(change) = change else {
                return gateway.drain();
            };
            let Some(saved) = self.take(change) else {
                print_line("the filter from before stays in use");
                continue;
            };
            let before = gateway.reloads();
            let start = Instant::now();
            if !gateway.reload() {
                return gateway.drain();
            }
            if gateway.reloads() == before {
                print_line("the filter from before stays in use");
                continue;
            }
            let all = seconds(saved.at.elapsed());
            let load = seconds(start.elapsed());
            let build = saved.build.map(|took| format!("build {}, ", seconds(took)));
            print_line(&format!(
                "reloaded {all} after the save ({}load {load})",
                build.unwrap_or_default()
            ));
            self.test();
        }
    }
}

fn seconds(time: Duration) -> String {
    format!("{:.2} s", time.as_secs_f64())
}
