//! Windlass as a separate process.

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

/// The name of the configuration file in its folder.
const FILE: &str = "windlass.toml";

/// The result of a `windlass` command.
#[derive(Debug, Clone)]
pub struct Finished {
    /// The exit code; `None` if a signal ended the process.
    pub code: Option<i32>,
    pub output: String,
    pub errors: String,
}

/// Run `windlass` with these arguments.
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

/// The path of `windlass-under-test`, which Cargo builds together with the tests of this package.
/// Cargo gives its path only to test programs, and this file is part of a library. So this looks
/// for it beside the running test program.
///
/// # Panics
///
/// If it is not there.
#[must_use]
pub fn program() -> PathBuf {
    let test = std::env::current_exe().expect("the path of this program");
    let folders = test.ancestors().skip(1);
    let mut programs = folders.map(|folder| folder.join("windlass-under-test"));
    programs
        .find(|program| program.is_file())
        .expect("windlass-under-test beside the tests; run them by `cargo test`")
}

/// The folder for compiled components. All tests share it.
fn cache() -> PathBuf {
    let program = program();
    let folder = program.parent().expect("a folder");
    folder.join("windlass-tests-cache")
}

/// A configuration to start a gateway with, or to check.
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
    /// If it cannot be written.
    #[must_use]
    pub fn file(self, name: &str, content: impl AsRef<[u8]>) -> Self {
        fs::write(self.folder.path().join(name), content).expect("a file to be written");
        self
    }

    /// Change the folder of the configuration, for example by adding a link or a pipe.
    #[must_use]
    pub fn in_folder(self, make: impl FnOnce(&Path)) -> Self {
        make(self.folder.path());
        self
    }

    /// The folder of the configuration.
    #[must_use]
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    #[must_use]
    pub fn env(mut self, name: &str, value: &str) -> Self {
        self.environment.push((name.to_owned(), value.to_owned()));
        self
    }

    /// Run this shell command first, in the same process: for example `ulimit -n 256`.
    #[must_use]
    pub fn after(mut self, shell: &str) -> Self {
        self.shell = Some(shell.to_owned());
        self
    }

    fn command(&self, what: &str) -> Command {
        let mut command = match &self.shell {
            None => command([what, "--config", FILE]),
            Some(shell) => {
                let mut wrapped = Command::new("bash");
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

    /// Start the gateway, and wait until it listens.
    ///
    /// # Panics
    ///
    /// If it does not.
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

    /// Start a gateway that is expected to fail, and wait until it exits.
    ///
    /// # Panics
    ///
    /// If the command cannot be run.
    #[must_use]
    pub fn run_refused(&self) -> Finished {
        finish(&mut self.command("run"), None)
    }

    /// `windlass check`.
    ///
    /// # Panics
    ///
    /// If the command cannot be run.
    #[must_use]
    pub fn check(&self) -> Finished {
        finish(&mut self.command("check"), None)
    }
}

/// Run a command to its end, with this text as its standard input.
///
/// # Panics
///
/// If the command cannot be run.
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
    /// Run `windlass` with these arguments and this text as its standard input.
    ///
    /// # Panics
    ///
    /// If the command cannot be run.
    #[must_use]
    pub fn of(arguments: &[&str], input: Option<&str>) -> Self {
        finish(&mut command(arguments), input)
    }

    /// Run a prepared command with this text as its standard input.
    ///
    /// # Panics
    ///
    /// If the command cannot be run.
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
    // The log may be JSON.
    let message = format!("\"message\":\"{}", what.trim());
    let line = log.wait_for_line(|line| {
        (line.contains(what) && line.contains(" address=")) || line.contains(&message)
    });
    if let Some((_, rest)) = line.split_once("\"address\":\"") {
        let address = rest
            .split_once('"')
            .and_then(|(address, _)| address.parse().ok());
        return address.unwrap_or_else(|| panic!("no address in {line:?}"));
    }
    let words = line.split_whitespace();
    let mut addresses = words.filter_map(|word| word.strip_prefix("address="));
    let address = addresses.next().and_then(|address| address.parse().ok());
    address.unwrap_or_else(|| panic!("no address in {line:?}"))
}

/// A running gateway. Dropping this value ends the process.
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
    /// A gateway with this configuration. If it has no listener or no admin listener, one on a free
    /// port is appended; the lines above keep their numbers. Compiled components are cached in a
    /// folder that all tests share, unless the configuration names another one.
    ///
    /// # Panics
    ///
    /// If the file cannot be written.
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

    /// The address of the listener.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// The address of the admin listener.
    #[must_use]
    pub fn admin_address(&self) -> SocketAddr {
        self.admin
    }

    /// The folder of the configuration.
    #[must_use]
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// The number of the process.
    #[must_use]
    pub fn pid(&self) -> i32 {
        self.pid.as_raw_nonzero().get()
    }

    /// The lines of standard error: the log.
    #[must_use]
    pub fn log(&self) -> &Lines {
        &self.log
    }

    /// The lines of standard output: the access log, if it goes there.
    #[must_use]
    pub fn output(&self) -> &Lines {
        &self.output
    }

    /// Open a new connection to the gateway.
    #[must_use]
    pub fn client(&self) -> Client {
        Client::connect(self.address)
    }

    /// Send a request on a new connection.
    #[must_use]
    pub fn send(&self, request: &Request) -> Response {
        self.client().send(request)
    }

    /// Send a `GET` on a new connection.
    #[must_use]
    pub fn get(&self, target: &str) -> Response {
        self.send(&Request::get(target))
    }

    /// Send these bytes unchanged on a new connection, and read one response.
    #[must_use]
    pub fn send_raw(&self, bytes: impl AsRef<[u8]>) -> Response {
        let mut client = self.client();
        client.send_raw(bytes);
        client.read_response()
    }

    /// A load that repeats one request.
    #[must_use]
    pub fn load(&self, request: Request) -> Load {
        Load::of(request, self.address)
    }

    /// Send a `GET` to the admin listener.
    #[must_use]
    pub fn admin(&self, target: &str) -> Response {
        Client::connect(self.admin).send(&Request::get(target).header("connection", "close"))
    }

    /// The current content of `/metrics`.
    ///
    /// # Panics
    ///
    /// If it is empty.
    #[must_use]
    pub fn metrics(&self) -> Metrics {
        let answer = self.admin("/metrics");
        assert_eq!(answer.status, 200, "{}", answer.text());
        Metrics::parse(answer.text())
    }

    /// Scrape `/metrics` until `is` accepts the result.
    ///
    /// # Panics
    ///
    /// If the deadline passes first.
    pub fn metrics_when(&self, what: &str, is: impl Fn(&Metrics) -> bool) -> Metrics {
        crate::wait::until(what, || Some(self.metrics()).filter(&is))
    }

    /// Write a new configuration, send SIGHUP, and wait for the outcome. Returns the log lines
    /// since the signal; the last one gives the outcome.
    ///
    /// # Panics
    ///
    /// If no outcome is logged.
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
    /// If the gateway has ended.
    pub fn signal(&self, signal: Signal) {
        kill_process(self.pid, signal).expect("a process of ours");
    }

    /// Send a signal by its number, for one that [`Signal`] does not name.
    ///
    /// # Panics
    ///
    /// If there is no such signal.
    pub fn signal_number(&self, number: i32) {
        let pid = self.pid.as_raw_nonzero().to_string();
        let mut kill = Command::new("kill");
        kill.args([format!("-{number}"), pid]);
        assert!(kill.status().expect("`kill`").success());
    }

    /// Send SIGTERM, and wait for the gateway to end.
    ///
    /// # Panics
    ///
    /// If it does not end.
    #[must_use]
    pub fn terminate(&self) -> ExitStatus {
        self.signal(Signal::TERM);
        self.wait_for_end()
    }

    /// Wait for the gateway to end.
    ///
    /// # Panics
    ///
    /// If it does not.
    #[must_use]
    pub fn wait_for_end(&self) -> ExitStatus {
        let ended = self.child.find(DEADLINE, |ended| *ended);
        ended.unwrap_or_else(|| panic!("the gateway does not end:\n{}", self.log.text()))
    }

    /// A builder for another gateway in the same folder, on the same addresses.
    ///
    /// # Panics
    ///
    /// If the file cannot be read or written.
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

    /// Kill the gateway at once (SIGKILL). Returns a builder for another one in the same folder.
    ///
    /// # Panics
    ///
    /// If it does not end.
    #[must_use]
    pub fn kill(mut self) -> Builder {
        self.signal(Signal::KILL);
        let _ = self.wait_for_end();
        self.leave()
    }

    /// Stop the gateway gracefully (SIGTERM). Returns a builder for another one in the same folder.
    ///
    /// # Panics
    ///
    /// If it does not end.
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

    /// The resident memory of the process in bytes.
    ///
    /// # Panics
    ///
    /// If `/proc` cannot be read.
    #[must_use]
    pub fn rss(&self) -> u64 {
        self.memory("VmRSS:")
    }

    /// The peak resident memory of the process in bytes.
    ///
    /// # Panics
    ///
    /// If `/proc` cannot be read.
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
            // The process may have ended by itself just now.
            let _ = kill_process(self.pid, Signal::KILL);
        }
    }
}

/// Append the tables that every gateway needs and this test does not set.
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
