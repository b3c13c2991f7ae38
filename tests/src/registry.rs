//! A docker-registry for one test: on a free port, with its own folder, ended with the test.

use std::fs;
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use tempfile::TempDir;

const DEADLINE: Duration = Duration::from_secs(20);
/// How many ports are tried. Another program may take a free port before the server does.
const TRIES: usize = 5;

/// `ops` with the password `s3cr3t`, in bcrypt, the only form that it takes.
const USERS: &str = "ops:$2b$04$abcdefghijklmnopqrstuu35fBIWlNgF8BcAW/t2cO158N8svSFHy\n";

/// A running docker-registry.
#[derive(Debug)]
pub struct RegistryServer {
    address: SocketAddr,
    folder: TempDir,
    process: Option<Child>,
}

impl RegistryServer {
    /// A registry that everybody may use, without TLS.
    ///
    /// # Panics
    ///
    /// If it does not start: `apt-get install docker-registry` installs it.
    #[must_use]
    pub fn open() -> Self {
        Self::start(None)
    }

    /// A registry with this certificate and key, both in PEM, that only the user `ops` with the password `s3cr3t` may
    /// use.
    ///
    /// # Panics
    ///
    /// If it does not start: `apt-get install docker-registry` installs it.
    #[must_use]
    pub fn private(certificate: &str, key: &str) -> Self {
        Self::start(Some((certificate, key)))
    }

    fn start(tls: Option<(&str, &str)>) -> Self {
        let folder = TempDir::new().expect("a folder");
        let write = |name: &str, text: &str| {
            fs::write(folder.path().join(name), text).expect("a file");
        };
        if let Some((certificate, key)) = tls {
            write("registry.pem", certificate);
            write("registry.key", key);
            write("users", USERS);
        }
        let mut server = Self {
            address: SocketAddr::from((Ipv4Addr::LOCALHOST, 0)),
            folder,
            process: None,
        };
        for _ in 0..TRIES {
            let free = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port");
            server.address = free.local_addr().expect("its address");
            drop(free);
            if server.try_run(tls.is_some()) {
                return server;
            }
        }
        panic!("docker-registry does not start");
    }

    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Run the server, and wait until it accepts connections. False if it ended instead.
    fn try_run(&mut self, is_private: bool) -> bool {
        let (address, folder) = (self.address, self.folder.path().display());
        let guard = format!(
            "  tls: {{ certificate: {folder}/registry.pem, key: {folder}/registry.key }}\n\
             auth: {{ htpasswd: {{ realm: test, path: {folder}/users }} }}\n"
        );
        let guard = if is_private { guard.as_str() } else { "" };
        let config = format!(
            "version: 0.1\nlog: {{ level: error, accesslog: {{ disabled: true }} }}\n\
             storage: {{ filesystem: {{ rootdirectory: {folder}/data }}, delete: {{ enabled: true }} }}\n\
             http:\n  addr: {address}\n{guard}"
        );
        let file = self.folder.path().join("config.yml");
        fs::write(&file, config).expect("a file");
        let process = Command::new("docker-registry")
            .arg("serve")
            .arg(file)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("docker-registry; apt-get install docker-registry");
        let process = self.process.insert(process);
        let end = Instant::now() + DEADLINE;
        while Instant::now() < end {
            if TcpStream::connect(address).is_ok() {
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

impl Drop for RegistryServer {
    fn drop(&mut self) {
        if let Some(process) = &mut self.process {
            let _ = process.kill();
            let _ = process.wait();
        }
    }
}
