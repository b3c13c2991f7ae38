//! The gateway as a process of its own.

use std::ffi::OsStr;
use std::fs;
use std::io::Write as _;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::Arc;

use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

use crate::client::{Client, Request, Response};
use crate::lines::Lines;
use crate::load::Load;
use crate::metrics::Metrics;
use crate::wait::{DEADLINE, Watched};

/// The configuration's name in its folder.
const FILE: &str = "windlass.toml";

/// A command of the gateway that has ended.
#[derive(Debug, Clone)]
pub struct Finished {
    /// Its exit code; none if a signal ended it.
    pub code: Option<i32>,
    /// Its standard output.
    pub output: String,
    /// Its standard error.
    pub errors: String,
}

/// `windlass` with these arguments.
#[must_use]
pub fn command(arguments: impl IntoIterator<Item = impl AsRef<OsStr>>) -> Command {
    let mut command = Command::new(program());
    command.args(arguments);
    set_up(&mut command);
    command
}

fn set_up(command: &mut Command) {
    command
        .env("XDG_CACHE_HOME", cache())
        .env_remove("WINDLASS_LOG")
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
}

/// `windlass-under-test`, which Cargo builds with the tests of this package. This file is compiled
/// into a library, which Cargo tells nothing of it; but a test's program has its own place beside.
fn program() -> PathBuf {
    let test = std::env::current_exe().expect("the path of this program");
    let folders = test.ancestors().skip(1);
    let mut programs = folders.map(|folder| folder.join("windlass-under-test"));
    programs
        .find(|program| program.is_file())
        .expect("windlass-under-test beside the tests; run them by `cargo test`")
}

/// The folder of compiled components, which all tests share.
fn cache() -> PathBuf {
    let program = program();
    let folder = program.parent().expect("a folder");
    folder.join("windlass-tests-cache")
}

/// A gateway to be started, or a configuration to be checked.
#[derive(Debug)]
pub struct Builder {
    folder: Arc<TempDir>,
    environment: Vec<(String, String)>,
    shell: Option<String>,
}

impl Builder {
    /// Put a file beside the configuration.
    ///
    /// # Panics
    ///
    /// When it cannot be written.
    #[must_use]
    pub fn file(self, name: &str, content: impl AsRef<[u8]>) -> Self {
        fs::write(self.folder.path().join(name), content).expect("a file to be written");
        self
    }

    /// Do something in the folder of the configuration: make a link, or a pipe.
    #[must_use]
    pub fn in_folder(self, make: impl FnOnce(&Path)) -> Self {
        make(self.folder.path());
        self
    }

    /// Set an environment variable for the gateway.
    #[must_use]
    pub fn env(mut self, name: &str, value: &str) -> Self {
        self.environment.push((name.to_owned(), value.to_owned()));
        self
    }

    /// Run this in a shell before the gateway, in its process: for limits (`ulimit -n 256`).
    #[must_use]
    pub fn after(mut self, shell: &str) -> Self {
        self.shell = Some(shell.to_owned());
        self
    }

    fn command(&self, what: &str) -> Command {
        let mut command = match &self.shell {
            None => command([what, "--config", FILE]),
            Some(shell) => {
                let mut wrapped = Command::new("sh");
                wrapped
                    .args(["-c", &format!("{shell}; exec \"$0\" \"$@\"")])
                    .arg(program())
                    .args([what, "--config", FILE]);
                set_up(&mut wrapped);
                wrapped
            }
        };
        command.current_dir(self.folder.path());
        command.envs(self.environment.iter().map(|(name, value)| (name, value)));
        command
    }

    /// Start it, and wait until it takes requests.
    ///
    /// # Panics
    ///
    /// When it does not.
    #[must_use]
    pub fn start(self) -> Gateway {
        let mut child = self.command("run").spawn().expect("the gateway to start");
        let log = Lines::of(child.stderr.take().expect("its standard error"));
        let output = Lines::of(child.stdout.take().expect("its standard output"));
        let mut gateway = Gateway {
            pid: Pid::from_child(&child),
            child: Arc::new(Watched::new(None)),
            folder: self.folder,
            environment: self.environment,
            log,
            output,
            address: SocketAddr::from(([0; 4], 0)),
            admin: SocketAddr::from(([0; 4], 0)),
        };
        watch(child, Arc::clone(&gateway.child));
        gateway.address = address(&gateway.log, " listening ");
        gateway.admin = address(&gateway.log, "admin listening");
        gateway
    }

    /// Try to start it, and wait until it gives up.
    ///
    /// # Panics
    ///
    /// When it cannot be run.
    #[must_use]
    pub fn run_refused(&self) -> Finished {
        finish(&mut self.command("run"), None)
    }

    /// `windlass check`.
    ///
    /// # Panics
    ///
    /// When it cannot be run.
    #[must_use]
    pub fn check(&self) -> Finished {
        finish(&mut self.command("check"), None)
    }
}

/// Run a command to its end, with a text for its standard input.
///
/// # Panics
///
/// When it cannot be run.
pub(crate) fn finish(command: &mut Command, input: Option<&str>) -> Finished {
    if input.is_some() {
        command.stdin(Stdio::piped());
    }
    let mut child = command.spawn().expect("the command to start");
    if let (Some(input), Some(mut pipe)) = (input, child.stdin.take()) {
        pipe.write_all(input.as_bytes())
            .expect("its standard input");
    }
    let ended = child.wait_with_output().expect("the command to end");
    Finished {
        code: ended.status.code(),
        output: String::from_utf8_lossy(&ended.stdout).into_owned(),
        errors: String::from_utf8_lossy(&ended.stderr).into_owned(),
    }
}

impl Finished {
    /// Run `windlass` with these arguments, and a text for its standard input.
    ///
    /// # Panics
    ///
    /// When it cannot be run.
    #[must_use]
    pub fn of(arguments: &[&str], input: Option<&str>) -> Self {
        finish(&mut command(arguments), input)
    }

    /// Run a command that is made already, with a text for its standard input.
    ///
    /// # Panics
    ///
    /// When it cannot be run.
    #[must_use]
    pub fn of_command(command: &mut Command, input: &str) -> Self {
        finish(command, Some(input))
    }
}

/// Reap the process when it ends.
fn watch(mut child: Child, ended: Arc<Watched<Option<ExitStatus>>>) {
    std::thread::spawn(move || {
        let status = child.wait().expect("a process of ours");
        ended.change(|ended| *ended = Some(status));
    });
}

fn address(log: &Lines, what: &str) -> SocketAddr {
    let line = log.wait_for_line(|line| line.contains(what) && line.contains(" address="));
    let words = line.split_whitespace();
    let mut addresses = words.filter_map(|word| word.strip_prefix("address="));
    let address = addresses.next().and_then(|address| address.parse().ok());
    address.unwrap_or_else(|| panic!("no address in {line:?}"))
}

/// A running gateway. It ends with this value.
#[derive(Debug)]
pub struct Gateway {
    pid: Pid,
    child: Arc<Watched<Option<ExitStatus>>>,
    folder: Arc<TempDir>,
    environment: Vec<(String, String)>,
    log: Lines,
    output: Lines,
    address: SocketAddr,
    admin: SocketAddr,
}

impl Gateway {
    /// With this configuration, to which a listener and an admin listener on free ports are added
    /// if it has none. What is added comes after the text, so its lines keep their numbers. Compiled
    /// components are kept in a folder that all tests share, unless it says otherwise.
    ///
    /// # Panics
    ///
    /// When the file cannot be written.
    #[must_use]
    pub fn with_config(toml: impl AsRef<str>) -> Builder {
        let folder = Arc::new(TempDir::new().expect("a folder"));
        fs::write(folder.path().join(FILE), complete(toml.as_ref())).expect("a file");
        Builder {
            folder,
            environment: Vec::new(),
            shell: None,
        }
    }

    /// Where it takes requests.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Where it answers the operator.
    #[must_use]
    pub fn admin_address(&self) -> SocketAddr {
        self.admin
    }

    /// The folder of its configuration.
    #[must_use]
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// Its own lines: standard error.
    #[must_use]
    pub fn log(&self) -> &Lines {
        &self.log
    }

    /// Its standard output: the access log, where it goes there.
    #[must_use]
    pub fn output(&self) -> &Lines {
        &self.output
    }

    /// A new connection to it.
    #[must_use]
    pub fn client(&self) -> Client {
        Client::connect(self.address)
    }

    /// Send a request on a connection of its own.
    #[must_use]
    pub fn send(&self, request: &Request) -> Response {
        self.client().send(request)
    }

    /// `GET` on a connection of its own.
    #[must_use]
    pub fn get(&self, target: &str) -> Response {
        self.send(&Request::get(target))
    }

    /// Send bytes as they are on a connection of their own, and read one answer.
    #[must_use]
    pub fn send_raw(&self, bytes: impl AsRef<[u8]>) -> Response {
        let mut client = self.client();
        client.send_raw(bytes);
        client.read_response()
    }

    /// A load of one request.
    #[must_use]
    pub fn load(&self, request: Request) -> Load {
        Load::of(request, self.address)
    }

    /// `GET` on the operator's listener.
    #[must_use]
    pub fn admin(&self, target: &str) -> Response {
        Client::connect(self.admin).send(&Request::get(target).header("connection", "close"))
    }

    /// What `/metrics` shows now.
    ///
    /// # Panics
    ///
    /// When it shows nothing.
    #[must_use]
    pub fn metrics(&self) -> Metrics {
        let answer = self.admin("/metrics");
        assert_eq!(answer.status, 200, "{}", answer.text());
        Metrics::parse(answer.text())
    }

    /// Scrape `/metrics` until it is as wanted.
    ///
    /// # Panics
    ///
    /// When the deadline passes before.
    pub fn metrics_when(&self, what: &str, is: impl Fn(&Metrics) -> bool) -> Metrics {
        crate::wait::until(what, || Some(self.metrics()).filter(&is))
    }

    /// Write a new configuration, send SIGHUP, and wait for the outcome: the log's lines from the
    /// signal on, the last of which says it.
    ///
    /// # Panics
    ///
    /// When there is no outcome.
    pub fn reload(&self, toml: impl AsRef<str>) -> Vec<String> {
        fs::write(self.folder.path().join(FILE), complete(toml.as_ref())).expect("a file");
        let before = self.log.count();
        self.signal(Signal::HUP);
        self.log.wait_from(before, |line| {
            line.contains("a new configuration is in use")
                || line.contains("the new configuration has errors")
        });
        self.log.all().split_off(before)
    }

    /// Send a signal.
    ///
    /// # Panics
    ///
    /// When the gateway has ended.
    pub fn signal(&self, signal: Signal) {
        kill_process(self.pid, signal).expect("a process of ours");
    }

    /// Send a signal that has no name.
    ///
    /// # Panics
    ///
    /// When there is no such signal.
    pub fn signal_number(&self, number: i32) {
        let pid = self.pid.as_raw_nonzero().to_string();
        let mut kill = Command::new("kill");
        kill.args([format!("-{number}"), pid]);
        assert!(kill.status().expect("`kill`").success());
    }

    /// Send SIGTERM, and wait for the end.
    ///
    /// # Panics
    ///
    /// When it does not end.
    #[must_use]
    pub fn terminate(&self) -> ExitStatus {
        self.signal(Signal::TERM);
        self.wait_for_end()
    }

    /// Wait for the end.
    ///
    /// # Panics
    ///
    /// When it does not come.
    #[must_use]
    pub fn wait_for_end(&self) -> ExitStatus {
        let ended = self.child.find(DEADLINE, |ended| *ended);
        ended.unwrap_or_else(|| panic!("the gateway does not end:\n{}", self.log.text()))
    }

    /// What starts another one in the same folder, with the addresses that this one has.
    ///
    /// # Panics
    ///
    /// When the file cannot be read or written.
    #[must_use]
    pub fn successor(&self) -> Builder {
        let file = self.folder.path().join(FILE);
        let mut toml = fs::read_to_string(&file).expect("a file");
        for (table, address) in [("[[listener]]", self.address), ("[admin]", self.admin)] {
            let old = format!("{table}\naddress = \"127.0.0.1:0\"");
            toml = toml.replace(&old, &format!("{table}\naddress = \"{address}\""));
        }
        fs::write(&file, toml).expect("a file");
        Builder {
            folder: Arc::clone(&self.folder),
            environment: self.environment.clone(),
            shell: None,
        }
    }

    /// End it at once, whatever it does (SIGKILL); gives what starts another one in the same
    /// folder.
    ///
    /// # Panics
    ///
    /// When it does not end.
    #[must_use]
    pub fn kill(mut self) -> Builder {
        self.signal(Signal::KILL);
        let _ = self.wait_for_end();
        self.leave()
    }

    /// End it gently (SIGTERM); gives what starts another one in the same folder.
    ///
    /// # Panics
    ///
    /// When it does not end.
    #[must_use]
    pub fn end(mut self) -> Builder {
        let _ = self.terminate();
        self.leave()
    }

    fn leave(&mut self) -> Builder {
        Builder {
            folder: Arc::clone(&self.folder),
            environment: std::mem::take(&mut self.environment),
            shell: None,
        }
    }

    /// Its memory now: what is resident. Bytes.
    ///
    /// # Panics
    ///
    /// When the system does not tell (`/proc`).
    #[must_use]
    pub fn rss(&self) -> u64 {
        self.memory("VmRSS:")
    }

    /// The most memory that was ever resident. Bytes.
    ///
    /// # Panics
    ///
    /// When the system does not tell (`/proc`).
    #[must_use]
    pub fn peak_rss(&self) -> u64 {
        self.memory("VmHWM:")
    }

    fn memory(&self, name: &str) -> u64 {
        let pid = self.pid.as_raw_nonzero();
        let status = fs::read_to_string(format!("/proc/{pid}/status")).expect("/proc");
        let line = status.lines().find_map(|line| line.strip_prefix(name));
        let number = line.and_then(|line| line.split_whitespace().next()?.parse::<u64>().ok());
        number.expect("a number of KiB") * 1024
    }
}

impl Drop for Gateway {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("--- what the gateway wrote ---\n{}", self.log.text());
        }
        if self.child.with(Option::is_none) {
            // It may have ended this very moment.
            let _ = kill_process(self.pid, Signal::KILL);
        }
    }
}

/// Add what a test needs and does not care for.
fn complete(toml: &str) -> String {
    let has = |table: &str| toml.lines().any(|line| line.trim() == table);
    let mut whole = toml.to_owned();
    for table in ["[[listener]]", "[admin]"] {
        if !has(table) {
            whole += "\n";
            whole += table;
            whole += "\naddress = \"127.0.0.1:0\"\n";
        }
    }
    whole
}
