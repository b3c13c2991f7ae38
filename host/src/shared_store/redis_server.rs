//! A Redis or Valkey server, and a small pool of connections to it.
//!
//! It promises that connecting, sending and waiting for an answer each end after the configured
//! timeout; that a failed connection is not used again and the next call opens another; and that
//! no text holds the password. After a failover the calls follow the server's name to its new
//! master: it leaves a server that answers as a replica, or that cannot serve writes now, and
//! resolves the name again. A connection is used for at most half a minute, so that it follows a
//! name that moves even if the old server still answers.
//!
//! It deliberately supports no clusters that redirect (all keys have one hash tag, so the address
//! of a proxy or of one node serves them) and no sentinels, and does not wait for a server to come
//! back: the next call tries.

use std::fmt;
use std::sync::OnceLock;
use std::time::{Duration, Instant};

use ::redis::{
    Client, Connection, ConnectionAddr, ErrorKind, IntoConnectionInfo, RedisError, RedisResult,
    ServerErrorKind, Value, cmd,
};
use parking_lot::Mutex;
use zeroize::Zeroizing;

use super::StorageError;

/// The version of what is where. A later program's is refused.
pub(crate) const SCHEMA: u32 = 1;
/// Idle connections that are kept for the next call.
const MAX_IDLE: usize = 4;
/// How long a connection is used, so that it follows a name that moves.
const MAX_AGE: Duration = Duration::from_secs(30);
/// How long a server that reported to be a master is trusted without asking again.
const MASTER_FOR: Duration = Duration::from_secs(1);

/// The address of a Redis or Valkey, and the settings of its connections.
#[derive(Clone)]
pub(crate) struct RedisSettings {
    /// `redis://host:port/database`, `rediss://` for TLS (with the system's certificates, or
    /// those of `SSL_CERT_FILE`), `unix:///path`.
    pub(crate) url: String,
    /// The password, unless the URL has it.
    pub(crate) password: Option<Zeroizing<String>>,
    /// The hash tag before the names of all keys: 1 to 80 of `[A-Za-z0-9_.:-]`. Gateways with one
    /// prefix share everything.
    pub(crate) prefix: String,
    /// The timeout of connecting, sending and waiting for an answer, each.
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

/// A server, and its idle connections.
pub(crate) struct RedisPool {
    client: Client,
    name: String,
    prefix: String,
    /// The timeout of connecting, sending and waiting for an answer, each.
    pub(crate) timeout: Duration,
    idle: Mutex<Vec<RedisConnection>>,
}

/// A connection, and the facts about its server.
struct RedisConnection {
    connection: Connection,
    /// Identifies the server's process: after a restart the server may have lost data.
    process: Option<String>,
    /// When it was opened.
    made: Instant,
    /// When the server last reported to be a master.
    role_checked: Instant,
}

/// The answer of a call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct RedisReply<T> {
    /// The value.
    pub(crate) value: T,
    /// The server's process that answered, if it reports that.
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
    /// Checks the settings. Connects to nothing.
    ///
    /// # Errors
    ///
    /// The URL or the prefix is invalid.
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
        // The cause is left out: it may quote the URL, and with it the password.
        let mut info = info.map_err(|_| {
            wrong("its URL is invalid; write `redis://host:port`, or `rediss://` for TLS")
        })?;
        let mut login = info.redis_settings().clone().set_skip_set_lib_name();
        if let Some(password) = &settings.password {
            login = login.set_password(password.as_str());
        }
        let name = name_of(info.addr(), login.db());
        let tls = matches!(info.addr(), ConnectionAddr::TcpTls { .. });
        info = info.set_redis_settings(login);
        if tls {
            // Fails if a provider is installed already; this program always installs the same one.
            let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
        }
        let client = Client::open(info)
            .map_err(|_| wrong("its URL is invalid; write `redis://host:port`"))?;
        Ok(Self {
            client,
            name,
            // The braces make it a hash tag: a cluster keeps all such keys on one node, which
            // scripts require.
            prefix: format!("{{{}}}:", settings.prefix),
            timeout: settings.timeout,
            idle: Mutex::default(),
        })
    }

    /// Its name for logs: the address.
    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// The full name of a key.
    pub(crate) fn key(&self, name: &str) -> String {
        [&self.prefix, name].concat()
    }

    /// Makes a call that may be repeated. It is repeated on a new connection if an idle one turns
    /// out to be dead, or its server is no longer the master.
    pub(crate) fn read<T>(
        &self,
        mut ask: impl FnMut(&mut Connection) -> RedisResult<T>,
    ) -> Result<RedisReply<T>, StorageError> {
        self.try_twice(true, |connection, _| ask(connection))
    }

    /// Like `read`, for a call that writes and that the server executes once however often it
    /// arrives. It gets the server's process. A replica refuses it.
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
        let connection = self.idle_connection().map(|mut connection| {
            if asks_role && connection.role_checked.elapsed() >= MASTER_FOR {
                connection.check_role()?;
            }
            self.run(connection, &mut ask)
        });
        match connection {
            Some(Err(error)) if is_closed(&error) || is_not_master(&error) => {
                self.idle.lock().clear();
            }
            Some(outcome) => return outcome.map_err(|error| self.storage_error(&error)),
            None => {}
        }
        self.connect()
            .and_then(|connection| self.run(connection, &mut ask))
            .map_err(|error| self.storage_error(&error))
    }

    /// Makes a call that must not be repeated. An idle connection is tested first. A server that
    /// refuses to write has written nothing, so a new connection may try once more.
    pub(crate) fn write<T>(
        &self,
        mut ask: impl FnMut(&mut Connection) -> RedisResult<T>,
    ) -> Result<T, StorageError> {
        let mut ask = |connection: &mut Connection, _: &str| ask(connection);
        let alive = self
            .idle_connection()
            .map(|mut connection| connection.check_role().map(|()| connection));
        let outcome = match alive {
            Some(Ok(connection)) => self.run(connection, &mut ask),
            // A server that hangs does so on every connection, and the timeout is over already.
            Some(Err(error)) if error.is_timeout() => Err(error),
            Some(Err(_)) | None => {
                self.idle.lock().clear();
                self.connect()
                    .and_then(|connection| self.run(connection, &mut ask))
            }
        };
        let outcome = match outcome {
            Err(error) if is_not_master(&error) => self
                .connect()
                .and_then(|connection| self.run(connection, &mut ask)),
            outcome => outcome,
        };
        outcome
            .map(|answer| answer.value)
            .map_err(|error| self.storage_error(&error))
    }

    /// An idle connection that is young enough.
    fn idle_connection(&self) -> Option<RedisConnection> {
        // The lock must be free while the server is asked.
        let mut idle = self.idle.lock();
        idle.retain(|connection| connection.made.elapsed() < MAX_AGE);
        idle.pop()
    }

    fn run<T>(
        &self,
        mut connection: RedisConnection,
        ask: &mut impl FnMut(&mut Connection, &str) -> RedisResult<T>,
    ) -> RedisResult<RedisReply<T>> {
        let process = connection.process.clone();
        let outcome = ask(
            &mut connection.connection,
            process.as_deref().unwrap_or_default(),
        );
        // After any other error an answer may still arrive, and would be taken for that of the
        // next call.
        let keep = |error: &RedisError| is_server_reply(error) && !is_not_master(error);
        if outcome.as_ref().err().is_none_or(keep) {
            let mut idle = self.idle.lock();
            if idle.len() < MAX_IDLE {
                idle.push(connection);
            }
        } else {
            // The other idle connections have the same age.
            self.idle.lock().clear();
        }
        outcome.map(|value| RedisReply { value, process })
    }

    fn connect(&self) -> RedisResult<RedisConnection> {
        let connection = self.client.get_connection_with_timeout(self.timeout)?;
        connection.set_read_timeout(Some(self.timeout))?;
        connection.set_write_timeout(Some(self.timeout))?;
        let now = Instant::now();
        let mut connection = RedisConnection {
            connection,
            process: None,
            made: now,
            role_checked: now,
        };
        connection.check_role()?;
        let info = cmd("INFO")
            .arg("server")
            .query::<String>(&mut connection.connection);
        connection.process = match info {
            Ok(text) => text
                .lines()
                .find_map(|connection| connection.strip_prefix("run_id:"))
                .map(|run| run.trim().to_owned()),
            // The server may forbid the command; then only the data shows restarts.
            Err(error) if is_server_reply(&error) => None,
            Err(error) => return Err(error),
        };
        Ok(connection)
    }

    /// The error for people.
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

    /// The error for data of a newer program.
    pub(crate) fn newer_schema_error(&self, version: &str) -> StorageError {
        StorageError::Corrupt {
            name: self.name.clone(),
            what: format!(
                "its data has the schema version {version}, and this program supports none newer \
                 than {SCHEMA}; run the version that wrote it, or another `prefix`",
            ),
        }
    }
}

impl RedisConnection {
    /// Checks that the server answers and is a master. A replica may return old data of its
    /// master, or data from before it was cut off.
    fn check_role(&mut self) -> RedisResult<()> {
        match cmd("ROLE").query::<Value>(&mut self.connection) {
            Ok(Value::Array(words)) => {
                if let Some(Value::BulkString(role)) = words.first()
                    && &**role == b"slave"
                {
                    let kind = ErrorKind::Server(ServerErrorKind::ReadOnly);
                    let text = "it is a replica, and the address of the storage leads to it";
                    return Err((kind, text).into());
                }
            }
            // The server reports no role: a write shows what it is.
            Ok(_) => {}
            // The server may forbid the command.
            Err(error) if is_server_reply(&error) && !is_not_master(&error) => {}
            Err(error) => return Err(error),
        }
        self.role_checked = Instant::now();
        Ok(())
    }
}

/// Whether the server reports that it does not serve, or not as the master. After a failover its
/// name leads elsewhere. It has executed nothing.
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

/// Whether the server answered, even with an error.
fn is_server_reply(error: &RedisError) -> bool {
    matches!(error.kind(), ErrorKind::Server(_) | ErrorKind::Extension)
}

/// Whether the connection was closed already.
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

/// A Lua script, which is sent once and then called by its digest.
#[derive(Debug)]
pub(crate) struct RedisScript {
    parts: &'static [&'static str],
    script: OnceLock<::redis::Script>,
}

impl RedisScript {
    /// Joins these parts to a script.
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
    fn invalid_settings_are_refused_and_not_repeated() {
        for url in ["hunter2", "http://hunter2@x", "redis://x/hunter2"] {
            let error = RedisPool::new(&settings(url)).unwrap_err().to_string();
            assert!(error.contains("URL is invalid"), "{error}");
            assert!(!error.contains("hunter2"), "{error}");
        }
        for prefix in ["", "a}b", "a b"] {
            let mut settings = settings("redis://127.0.0.1:1");
            settings.prefix = prefix.to_owned();
            assert!(RedisPool::new(&settings).is_err());
        }
    }
}
