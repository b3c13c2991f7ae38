//! A redis-server for one test: on a free port, with its own folder, ended with the test.
//!
//! It uses nothing else of this crate, because the gateway's unit tests of shared storage use it
//! too.

use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use rustix::process::{Pid, Signal, kill_process};
use tempfile::TempDir;

const DEADLINE: Duration = Duration::from_secs(20);
/// How many ports are tried. Another program may take a free port before the server does.
const TRIES: usize = 5;

/// A running redis-server.
#[derive(Debug)]
pub struct RedisServer {
    address: SocketAddr,
    settings: Vec<String>,
    folder: TempDir,
    process: Option<Child>,
}

impl RedisServer {
    /// A server that loses everything when it restarts.
    ///
    /// # Panics
    ///
    /// If it does not start: `apt-get install redis-server` installs it.
    #[must_use]
    pub fn forgetful() -> Self {
        Self::start(&["--appendonly", "no", "--save", ""])
    }

    /// A server that keeps everything when it is killed, because the system has its writes. It does
    /// not wait for the disk: that protects only against a crash of the machine, and stalls while
    /// other programs use the disk.
    ///
    /// # Panics
    ///
    /// If it does not start: `apt-get install redis-server` installs it.
    #[must_use]
    pub fn durable() -> Self {
        Self::start(&["--appendonly", "yes", "--appendfsync", "no", "--save", ""])
    }

    /// A server with these settings.
    ///
    /// # Panics
    ///
    /// If it does not start: `apt-get install redis-server` installs it.
    #[must_use]
    pub fn start(settings: &[&str]) -> Self {
        let folder = TempDir::new().expect("a folder");
        let mut server = Self {
            address: SocketAddr::from((Ipv4Addr::LOCALHOST, 0)),
            settings: settings.iter().map(|&text| text.to_owned()).collect(),
            folder,
            process: None,
        };
        for _ in 0..TRIES {
            let free = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port");
            server.address = free.local_addr().expect("its address");
            drop(free);
            if server.try_run() {
                return server;
            }
        }
        panic!("redis-server does not start");
    }

    #[must_use]
    pub fn url(&self) -> String {
        format!("redis://{}", self.address)
    }

    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Send a command. Returns the first line of the reply.
    ///
    /// # Panics
    ///
    /// If the server does not reply.
    #[must_use]
    pub fn tell(&self, words: &[&str]) -> String {
        use std::io::{BufRead as _, BufReader, Write as _};
        let mut connection = TcpStream::connect(self.address).expect("redis-server");
        let _ = connection.set_read_timeout(Some(DEADLINE));
        let words = words.iter();
        let count = format!("*{}\r\n", words.len());
        let words = words.map(|word| format!("${}\r\n{word}\r\n", word.len()));
        let command = count + &words.collect::<Vec<_>>().concat();
        connection
            .write_all(command.as_bytes())
            .expect("redis-server");
        let mut answer = String::new();
        let read = BufReader::new(connection).read_line(&mut answer);
        read.expect("an answer of redis-server");
        answer
    }

    /// Make it a replica of another server.
    ///
    /// # Panics
    ///
    /// If the server does not reply.
    pub fn follow(&self, master: &Self) {
        let port = master.address.port().to_string();
        let _ = self.tell(&["REPLICAOF", "127.0.0.1", &port]);
    }

    /// Make it a master.
    ///
    /// # Panics
    ///
    /// If the server does not reply.
    pub fn lead(&self) {
        let _ = self.tell(&["REPLICAOF", "NO", "ONE"]);
    }

    /// Kill it, as a crash does.
    ///
    /// # Panics
    ///
    /// If it has already ended.
    pub fn kill(&mut self) {
        let mut process = self.process.take().expect("a running server");
        process.kill().expect("a process of ours");
        process.wait().expect("a process of ours");
    }

    /// Start it again on the same port, after [`kill`](Self::kill).
    ///
    /// # Panics
    ///
    /// If it does not start.
    pub fn restart(&mut self) {
        assert!(self.process.is_none(), "it runs");
        assert!(self.try_run(), "redis-server does not start again");
    }

    /// Stop the process with its connections open, until [`resume`](Self::resume).
    ///
    /// # Panics
    ///
    /// If it has ended.
    pub fn pause(&self) {
        self.signal(Signal::STOP);
    }

    /// Let the process continue.
    ///
    /// # Panics
    ///
    /// If it has ended.
    pub fn resume(&self) {
        self.signal(Signal::CONT);
    }

    fn signal(&self, signal: Signal) {
        let process = self.process.as_ref().expect("a running server");
        kill_process(Pid::from_child(process), signal).expect("a process of ours");
    }

    /// Run the server, and wait until it replies. False if it ended instead.
    fn try_run(&mut self) -> bool {
        let process = Command::new("redis-server")
            .args(["--bind", "127.0.0.1"])
            .args(["--port", &self.address.port().to_string()])
            .arg("--dir")
            .arg(self.folder.path())
            .args(&self.settings)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("redis-server; apt-get install redis-server");
        let process = self.process.insert(process);
        let end = Instant::now() + DEADLINE;
        while Instant::now() < end {
            if answers(self.address) {
                return true;
            }
            if process.try_wait().expect("a process of ours").is_some() {
                break;
            }
            std::thread::park_timeout(Duration::from_millis(2));
        }
        let _ = process.kill();
        let _ = process.wait();
        self.process = None;
        false
    }
}

/// Whether it replies, and has loaded its data.
fn answers(address: SocketAddr) -> bool {
    use std::io::{Read as _, Write as _};
    let ask = || -> std::io::Result<bool> {
        let mut connection = TcpStream::connect(address)?;
        connection.set_read_timeout(Some(Duration::from_secs(5)))?;
        connection.write_all(b"PING\r\n")?;
        let mut answer = [0; 5];
        connection.read_exact(&mut answer)?;
        // A server with a password replies `-NOAUTH`.
        Ok(&answer == b"+PONG" || &answer == b"-NOAU")
    };
    ask().unwrap_or(false)
}

impl Drop for RedisServer {
    fn drop(&mut self) {
        if let Some(process) = &mut self.process {
            let _ = process.kill();
            let _ = process.wait();
        }
    }
}
