//! A Redis or Valkey, and a few connections to it.
//!
//! Promises: connecting, asking and being answered each end after the time-out that was set; a
//! connection that failed is not used again; the next call connects anew; no text of it holds the
//! password. After a failover the calls follow the name of the server to its new master: a server
//! that answers as a replica, or that it cannot serve writes now, is left, and its name is resolved
//! anew. A connection is used for half a minute at most, so that a name which moves is followed even
//! if the old server goes on answering.
//!
//! Deliberately absent: clusters that redirect (all keys have one hash tag, so one address of a
//! proxy or of the node serves them), sentinels, and waiting for a server to come back: the next
//! call tries.

use std::fmt;
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use ::redis::{
    Client, Cmd, Connection, ConnectionAddr, ErrorKind, IntoConnectionInfo, RedisError,
    RedisResult, ServerErrorKind, Value, cmd,
};
use parking_lot::Mutex;
use zeroize::Zeroizing;

use super::StorageError;

/// The version of what is where. A later program's is refused.
pub(crate) const SCHEMA: u32 = 1;
/// Connections that are kept for the next call.
const MAX_IDLE: usize = 4;
/// How long a connection is used, so that a name that moved is followed.
const MAX_AGE: Duration = Duration::from_secs(30);
/// How long a server that said it is a master is taken for one without being asked again.
const MASTER_FOR: Duration = Duration::from_secs(1);

/// Where a Redis or Valkey is, and how to speak to it.
#[derive(Clone)]
pub(crate) struct RedisSettings {
    /// `redis://host:port/database`, `rediss://` for TLS (with the system's certificates, or
    /// those of `SSL_CERT_FILE`), `unix:///path`.
    pub(crate) url: String,
    /// The password, unless the URL has it.
    pub(crate) password: Option<Zeroizing<String>>,
    /// Before the names of all keys, as their hash tag: 1 to 80 of `[A-Za-z0-9_.:-]`. Gateways
    /// with one prefix share everything.
    pub(crate) prefix: String,
    /// The longest that connecting, asking or being answered may take, each.
    pub(crate) timeout: Duration,
}

impl fmt::Debug for RedisSettings {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The URL may hold a password.
        f.debug_struct("RedisSettings")
            .field("prefix", &self.prefix)
            .field("timeout", &self.timeout)
            .finish_non_exhaustive()
    }
}

/// A server, and connections to it that wait for their next use.
pub(crate) struct RedisPool {
    client: Client,
    name: String,
    prefix: String,
    timeout: Duration,
    idle: Mutex<Vec<RedisConnection>>,
}

/// A connection.
struct RedisConnection {
    connection: Connection,
    /// Names the server's process: another one since may have lost what was written.
    process: Option<String>,
    /// When it was made.
    made: Instant,
    /// When the server last said that it is a master.
    role_checked: Instant,
}

/// What a call learned beside its answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct RedisReply<T> {
    /// What was asked for.
    pub(crate) value: T,
    /// The server's process that answered, where it tells.
    pub(crate) process: Option<String>,
}

impl fmt::Debug for RedisPool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RedisPool")
            .field("name", &self.name)
            .field("prefix", &self.prefix)
            .finish_non_exhaustive()
    }
}

impl RedisPool {
    /// Read the settings. Connects to nothing.
    ///
    /// # Errors
    /// The URL or the prefix makes no sense.
    pub(crate) fn new(settings: &RedisSettings) -> Result<Self, StorageError> {
        let wrong = |what: &str| StorageError::Failed {
            name: "redis".to_owned(),
            cause: what.to_owned(),
        };
        let plain = |letter: char| letter.is_ascii_alphanumeric() || "_.:-".contains(letter);
        if !(1..=80).contains(&settings.prefix.len()) || !settings.prefix.chars().all(plain) {
            return Err(wrong("the prefix must be 1 to 80 of `[A-Za-z0-9_.:-]`"));
        }
        let info = settings.url.as_str().into_connection_info();
        // The cause is not repeated: it may quote the URL, and with it the password.
        let mut info = info.map_err(|_| {
            wrong("its URL makes no sense; write `redis://host:port`, or `rediss://` for TLS")
        })?;
        let mut login = info.redis_settings().clone().set_skip_set_lib_name();
        if let Some(password) = &settings.password {
            login = login.set_password(password.as_str());
        }
        let name = name_of(info.addr(), login.db());
        let tls = matches!(info.addr(), ConnectionAddr::TcpTls { .. });
        info = info.set_redis_settings(login);
        if tls {
            // Whoever came first chose; it is the same one everywhere in this program.
            let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
        }
        let client = Client::open(info).map_err(|_| wrong("its URL makes no sense"))?;
        Ok(Self {
            client,
            name,
            // The braces make it a hash tag: a cluster keeps all such keys on one node, as scripts need it.
            prefix: format!("{{{}}}:", settings.prefix),
            timeout: settings.timeout,
            idle: Mutex::default(),
        })
    }

    /// What it is, for logs: its address.
    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// The longest that connecting, asking or being answered may take, each.
    pub(crate) fn timeout(&self) -> Duration {
        self.timeout
    }

    /// The name of a key in it.
    pub(crate) fn key(&self, name: &str) -> String {
        [&self.prefix, name].concat()
    }

    /// Ask what may be asked twice: once more on a new connection where one from earlier turns out
    /// to be dead, or to lead to a server that is no master any more.
    pub(crate) fn read<T>(
        &self,
        mut ask: impl FnMut(&mut Connection) -> RedisResult<T>,
    ) -> Result<RedisReply<T>, StorageError> {
        self.try_twice(true, |connection, _| ask(connection))
    }

    /// The same for a call that writes, that the server carries out once however often it comes, and
    /// that is told the server's process before. A replica refuses it.
    pub(crate) fn repeat<T>(
        &self,
        ask: impl FnMut(&mut Connection, &str) -> RedisResult<T>,
    ) -> Result<RedisReply<T>, StorageError> {
        self.try_twice(false, ask)
    }

    fn try_twice<T>(
        &self,
        asks_role: bool,
        mut ask: impl FnMut(&mut Connection, &str) -> RedisResult<T>,
    ) -> Result<RedisReply<T>, StorageError> {
        let line = self.idle_connection().map(|mut line| {
            if asks_role && line.role_checked.elapsed() >= MASTER_FOR {
                line.check_role()?;
            }
            self.run(line, &mut ask)
        });
        match line {
            Some(Err(error)) if is_closed(&error) || is_not_master(&error) => {
                self.idle.lock().clear();
            }
            Some(outcome) => return outcome.map_err(|error| self.storage_error(&error)),
            None => {}
        }
        self.connect()
            .and_then(|line| self.run(line, &mut ask))
            .map_err(|error| self.storage_error(&error))
    }

    /// Ask what must not happen twice: a connection from earlier is tried out before. A server that
    /// refuses to write has written nothing, so that a new connection may try once more.
    pub(crate) fn write<T>(
        &self,
        mut ask: impl FnMut(&mut Connection) -> RedisResult<T>,
    ) -> Result<T, StorageError> {
        let mut ask = |connection: &mut Connection, _: &str| ask(connection);
        let alive = self
            .idle_connection()
            .map(|mut line| line.check_role().map(|()| line));
        let outcome = match alive {
            Some(Ok(line)) => self.run(line, &mut ask),
            // One that stands still does so for everybody: it was waited for long enough.
            Some(Err(error)) if error.is_timeout() => Err(error),
            Some(Err(_)) | None => {
                self.idle.lock().clear();
                self.connect().and_then(|line| self.run(line, &mut ask))
            }
        };
        let outcome = match outcome {
            Err(error) if is_not_master(&error) => {
                self.connect().and_then(|line| self.run(line, &mut ask))
            }
            outcome => outcome,
        };
        outcome
            .map(|answer| answer.value)
            .map_err(|error| self.storage_error(&error))
    }

    /// A connection that waits for its next use.
    fn idle_connection(&self) -> Option<RedisConnection> {
        // The lock is not to be held while it is asked.
        let mut idle = self.idle.lock();
        idle.retain(|line| line.made.elapsed() < MAX_AGE);
        idle.pop()
    }

    fn run<T>(
        &self,
        mut line: RedisConnection,
        ask: &mut impl FnMut(&mut Connection, &str) -> RedisResult<T>,
    ) -> RedisResult<RedisReply<T>> {
        let process = line.process.clone();
        let outcome = ask(&mut line.connection, process.as_deref().unwrap_or_default());
        // After any other fault an answer may still come, and would be taken for the next one's.
        let keep = |error: &RedisError| is_server_reply(error) && !is_not_master(error);
        if outcome.as_ref().err().is_none_or(keep) {
            let mut idle = self.idle.lock();
            if idle.len() < MAX_IDLE {
                idle.push(line);
            }
        } else {
            // The others are of the same age.
            self.idle.lock().clear();
        }
        outcome.map(|value| RedisReply { value, process })
    }

    fn connect(&self) -> RedisResult<RedisConnection> {
        let connection = self.client.get_connection_with_timeout(self.timeout)?;
        connection.set_read_timeout(Some(self.timeout))?;
        connection.set_write_timeout(Some(self.timeout))?;
        let mut line = RedisConnection::new(connection);
        line.check_role()?;
        let told = cmd("INFO")
            .arg("server")
            .query::<String>(&mut line.connection);
        line.process = match told {
            Ok(text) => text
                .lines()
                .find_map(|line| line.strip_prefix("run_id:"))
                .map(|run| run.trim().to_owned()),
            // It may forbid the command; then restarts are noticed by the data alone.
            Err(error) if is_server_reply(&error) => None,
            Err(error) => return Err(error),
        };
        Ok(line)
    }

    /// What went wrong, for people.
    pub(crate) fn storage_error(&self, error: &RedisError) -> StorageError {
        let name = self.name.clone();
        let cause = if error.is_timeout() {
            format!("no answer within {:?}", self.timeout)
        } else {
            error.to_string()
        };
        match error.kind() {
            ErrorKind::Io
            | ErrorKind::Server(
                ServerErrorKind::BusyLoading
                | ServerErrorKind::MasterDown
                | ServerErrorKind::ClusterDown
                | ServerErrorKind::TryAgain
                | ServerErrorKind::ReadOnly,
            ) => StorageError::Unreachable { name, cause },
            _ if matches!(error.code(), Some("NOREPLICAS" | "MISCONF")) => {
                StorageError::Unreachable { name, cause }
            }
            _ if error.code() == Some("SCHEMA") => {
                self.newer_schema_error(error.detail().unwrap_or("unknown"))
            }
            _ => StorageError::Failed { name, cause },
        }
    }

    /// A later program wrote what it holds.
    pub(crate) fn newer_schema_error(&self, version: &str) -> StorageError {
        StorageError::Corrupt {
            name: self.name.clone(),
            what: format!(
                "what it holds has the schema version {version}, and this program knows no newer one \
                 than {}; run the version that wrote it, or another `prefix`",
                SCHEMA,
            ),
        }
    }
}

impl RedisConnection {
    fn new(connection: Connection) -> Self {
        let now = Instant::now();
        Self {
            connection,
            process: None,
            made: now,
            role_checked: now,
        }
    }

    /// See that the server is there, and a master. A replica reads what its master had a while ago,
    /// or had before it was cut off from it.
    fn check_role(&mut self) -> RedisResult<()> {
        match cmd("ROLE").query::<Value>(&mut self.connection) {
            Ok(Value::Array(words)) => {
                if let Some(Value::BulkString(role)) = words.first()
                    && &**role == b"slave"
                {
                    let kind = ErrorKind::Server(ServerErrorKind::ReadOnly);
                    let text = "it is a replica, and the name of the store leads to it";
                    return Err((kind, text).into());
                }
            }
            // It tells no role: a write says what it is.
            Ok(_) => {}
            // It may forbid the command.
            Err(error) if is_server_reply(&error) && !is_not_master(&error) => {}
            Err(error) => return Err(error),
        }
        self.role_checked = Instant::now();
        Ok(())
    }
}

/// Whether the server says that it does not serve, or not as the master: after a failover its name
/// leads elsewhere. It has carried nothing out.
fn is_not_master(error: &RedisError) -> bool {
    match error.kind() {
        ErrorKind::Server(
            ServerErrorKind::ReadOnly
            | ServerErrorKind::MasterDown
            | ServerErrorKind::BusyLoading
            | ServerErrorKind::ClusterDown,
        ) => true,
        _ => matches!(
            error.code(),
            Some("NOREPLICAS" | "MISCONF" | "NOAUTH" | "WRONGPASS")
        ),
    }
}

/// Whether the server answered, if only to refuse.
fn is_server_reply(error: &RedisError) -> bool {
    matches!(error.kind(), ErrorKind::Server(_) | ErrorKind::Extension)
}

/// Whether the connection was closed before.
fn is_closed(error: &RedisError) -> bool {
    error.is_connection_dropped() && !error.is_timeout()
}

fn name_of(address: &ConnectionAddr, database: i64) -> String {
    let database = match database {
        0 => String::new(),
        number => format!(" (database {number})"),
    };
    format!("redis `{address}`{database}")
}

/// A Lua script, sent once and then named by its digest.
#[derive(Debug)]
pub(crate) struct RedisScript {
    parts: &'static [&'static str],
    script: OnceLock<::redis::Script>,
}

impl RedisScript {
    /// Of these pieces of text, one after the other.
    pub(crate) const fn new(parts: &'static [&'static str]) -> Self {
        Self {
            parts,
            script: OnceLock::new(),
        }
    }

    pub(crate) fn call(&self) -> ::redis::ScriptInvocation<'_> {
        let script = self
            .script
            .get_or_init(|| ::redis::Script::new(&self.parts.concat()));
        script.prepare_invoke()
    }
}

pub(crate) fn command(name: &str) -> Cmd {
    cmd(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings(url: &str) -> RedisSettings {
        RedisSettings {
            url: url.to_owned(),
            password: None,
            prefix: "windlass".to_owned(),
            timeout: Duration::from_millis(200),
        }
    }

    #[test]
    fn no_text_holds_the_password() {
        let mut settings = settings("redis://someone:hunter2@127.0.0.1:1/3");
        settings.password = Some(Zeroizing::new("hunter3".to_owned()));
        let server = RedisPool::new(&settings).unwrap();
        let error = server
            .read(|connection| cmd("PING").query::<String>(connection))
            .unwrap_err();
        let texts = [
            format!("{settings:?}"),
            format!("{server:?} {}", server.name()),
            format!("{error} {error:?}"),
        ];
        for text in texts {
            assert!(!text.contains("hunter"), "{text}");
        }
        assert_eq!(server.name(), "redis `127.0.0.1:1` (database 3)");
        assert!(matches!(error, StorageError::Unreachable { .. }), "{error}");
        assert_eq!(server.key("meta"), "{windlass}:meta");
    }

    #[test]
    fn what_makes_no_sense_is_refused_and_not_repeated() {
        for url in ["hunter2", "http://hunter2@x", "redis://x/hunter2"] {
            let error = RedisPool::new(&settings(url)).unwrap_err().to_string();
            assert!(error.contains("URL makes no sense"), "{error}");
            assert!(!error.contains("hunter2"), "{error}");
        }
        for prefix in ["", "a}b", "a b"] {
            let mut settings = settings("redis://127.0.0.1:1");
            settings.prefix = prefix.to_owned();
            assert!(RedisPool::new(&settings).is_err());
        }
    }
}
