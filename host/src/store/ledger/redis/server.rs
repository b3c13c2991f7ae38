//! A Redis or Valkey, and a few connections to it.
//!
//! Promises: connecting, asking and being answered each end after the time-out that was set; a
//! connection that failed is not used again; the next call connects anew; no text of it holds the
//! password.
//!
//! Deliberately absent: clusters that redirect (all keys have one hash tag, so one address of a
//! proxy or of the node serves them), sentinels, and waiting for a server to come back: the next
//! call tries.

use std::fmt;
use std::sync::OnceLock;
use std::time::Duration;

use ::redis::{
    Client, Cmd, Connection, ConnectionAddr, ErrorKind, IntoConnectionInfo, RedisError,
    RedisResult, ServerErrorKind, cmd,
};
use parking_lot::Mutex;
use zeroize::Zeroizing;

use super::super::LedgerError;

/// Connections that are kept for the next call.
const MOST_IDLE: usize = 4;

/// Where a Redis or Valkey is, and how to speak to it.
#[derive(Clone)]
pub struct RedisSettings {
    /// `redis://host:port/database`, `rediss://` for TLS (with the system's certificates, or
    /// those of `SSL_CERT_FILE`), `unix:///path`.
    pub url: String,
    /// The password, unless the URL has it.
    pub password: Option<Zeroizing<String>>,
    /// Before the names of all keys, as their hash tag: 1 to 64 of `[A-Za-z0-9_.:-]`. Gateways
    /// with one prefix share everything.
    pub prefix: String,
    /// The longest that connecting, asking or being answered may take, each.
    pub timeout: Duration,
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
pub(in crate::store) struct Server {
    client: Client,
    name: String,
    prefix: String,
    timeout: Duration,
    idle: Mutex<Vec<Line>>,
}

/// A connection.
struct Line {
    connection: Connection,
    /// Names the server's process: another one since may have lost what was written.
    process: Option<String>,
}

/// What a call learned beside its answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::store) struct Answer<T> {
    /// What was asked for.
    pub value: T,
    /// The server's process that answered, where it tells.
    pub process: Option<String>,
}

impl fmt::Debug for Server {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Server")
            .field("name", &self.name)
            .field("prefix", &self.prefix)
            .finish_non_exhaustive()
    }
}

impl Server {
    /// Read the settings. Connects to nothing.
    ///
    /// # Errors
    /// The URL or the prefix makes no sense.
    pub(in crate::store) fn new(settings: &RedisSettings) -> Result<Self, LedgerError> {
        let wrong = |what: &str| LedgerError::Failed {
            name: "redis".to_owned(),
            cause: what.to_owned(),
        };
        let plain = |letter: char| letter.is_ascii_alphanumeric() || "_.:-".contains(letter);
        if !(1..=64).contains(&settings.prefix.len()) || !settings.prefix.chars().all(plain) {
            return Err(wrong("the prefix must be 1 to 64 of `[A-Za-z0-9_.:-]`"));
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
            prefix: format!("{{{}}}:", settings.prefix),
            timeout: settings.timeout,
            idle: Mutex::default(),
        })
    }

    /// What it is, for logs: its address.
    pub(in crate::store) fn name(&self) -> &str {
        &self.name
    }

    /// The name of a key in it.
    pub(in crate::store) fn key(&self, name: &str) -> String {
        [&self.prefix, name].concat()
    }

    /// Ask what may be asked twice: once more on a new connection where one from earlier turns out
    /// to be dead.
    pub(in crate::store) fn read<T>(
        &self,
        mut ask: impl FnMut(&mut Connection) -> RedisResult<T>,
    ) -> Result<Answer<T>, LedgerError> {
        if let Some(line) = self.idle.lock().pop() {
            match self.run(line, &mut ask) {
                Err(error) if is_dead(&error) => {}
                outcome => return outcome.map_err(|error| self.fault(&error)),
            }
        }
        self.fresh()
            .and_then(|line| self.run(line, &mut ask))
            .map_err(|error| self.fault(&error))
    }

    /// Ask what must not happen twice: a connection from earlier is tried out before.
    pub(in crate::store) fn write<T>(
        &self,
        mut ask: impl FnMut(&mut Connection) -> RedisResult<T>,
    ) -> Result<T, LedgerError> {
        self.write_to(|connection, _| ask(connection))
    }

    /// The same for who wants to know the server's process before.
    pub(in crate::store) fn write_to<T>(
        &self,
        mut ask: impl FnMut(&mut Connection, &str) -> RedisResult<T>,
    ) -> Result<T, LedgerError> {
        let line = self.idle.lock().pop();
        let alive = line.map(|mut line| {
            let answer = cmd("PING").query::<String>(&mut line.connection);
            answer.map(|_| line)
        });
        let line = match alive {
            Some(Ok(line)) => Ok(line),
            // One that stands still does so for everybody: it was waited for long enough.
            Some(Err(error)) if error.is_timeout() => Err(error),
            Some(Err(_)) | None => self.fresh(),
        };
        line.and_then(|line| {
            let process = line.process.clone().unwrap_or_default();
            self.run(line, &mut |connection: &mut Connection| {
                ask(connection, &process)
            })
        })
        .map(|answer| answer.value)
        .map_err(|error| self.fault(&error))
    }

    fn run<T>(
        &self,
        mut line: Line,
        ask: &mut impl FnMut(&mut Connection) -> RedisResult<T>,
    ) -> RedisResult<Answer<T>> {
        let outcome = ask(&mut line.connection);
        let process = line.process.clone();
        // After any other fault an answer may still come, and would be taken for the next one's.
        if outcome.as_ref().err().is_none_or(is_answer) {
            let mut idle = self.idle.lock();
            if idle.len() < MOST_IDLE {
                idle.push(line);
            }
        } else {
            // The others are of the same age.
            self.idle.lock().clear();
        }
        outcome.map(|value| Answer { value, process })
    }

    fn fresh(&self) -> RedisResult<Line> {
        let mut connection = self.client.get_connection_with_timeout(self.timeout)?;
        connection.set_read_timeout(Some(self.timeout))?;
        connection.set_write_timeout(Some(self.timeout))?;
        let told = cmd("INFO").arg("server").query::<String>(&mut connection);
        let process = match told {
            Ok(text) => text
                .lines()
                .find_map(|line| line.strip_prefix("run_id:"))
                .map(|run| run.trim().to_owned()),
            // It may forbid the command; then restarts are noticed by the data alone.
            Err(error) if is_answer(&error) => None,
            Err(error) => return Err(error),
        };
        Ok(Line {
            connection,
            process,
        })
    }

    /// What went wrong, for people.
    pub(in crate::store) fn fault(&self, error: &RedisError) -> LedgerError {
        let name = self.name.clone();
        let cause = error.to_string();
        match error.kind() {
            ErrorKind::Io
            | ErrorKind::Server(
                ServerErrorKind::BusyLoading
                | ServerErrorKind::MasterDown
                | ServerErrorKind::ClusterDown
                | ServerErrorKind::TryAgain
                | ServerErrorKind::ReadOnly,
            ) => LedgerError::Unreachable { name, cause },
            _ if error.code() == Some("SCHEMA") => LedgerError::Corrupt {
                name,
                what: format!(
                    "what it holds has the schema version {}, and this program knows no newer one \
                     than {}; run the version that wrote it, or another `prefix`",
                    error.detail().unwrap_or("unknown"),
                    super::SCHEMA,
                ),
            },
            _ => LedgerError::Failed { name, cause },
        }
    }
}

/// Whether the server answered, if only to refuse.
fn is_answer(error: &RedisError) -> bool {
    matches!(error.kind(), ErrorKind::Server(_) | ErrorKind::Extension)
}

/// Whether the connection was closed before.
fn is_dead(error: &RedisError) -> bool {
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
pub(in crate::store) struct Script {
    parts: &'static [&'static str],
    script: OnceLock<::redis::Script>,
}

impl Script {
    /// Of these pieces of text, one after the other.
    pub(in crate::store) const fn new(parts: &'static [&'static str]) -> Self {
        Self {
            parts,
            script: OnceLock::new(),
        }
    }

    /// A call of it.
    pub(in crate::store) fn call(&self) -> ::redis::ScriptInvocation<'_> {
        let script = self
            .script
            .get_or_init(|| ::redis::Script::new(&self.parts.concat()));
        script.prepare_invoke()
    }
}

/// A command.
pub(in crate::store) fn command(name: &str) -> Cmd {
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
        let server = Server::new(&settings).unwrap();
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
        assert!(matches!(error, LedgerError::Unreachable { .. }), "{error}");
        assert_eq!(server.key("meta"), "{windlass}:meta");
    }

    #[test]
    fn what_makes_no_sense_is_refused_and_not_repeated() {
        for url in ["hunter2", "http://hunter2@x", "redis://x/hunter2"] {
            let error = Server::new(&settings(url)).unwrap_err().to_string();
            assert!(error.contains("URL makes no sense"), "{error}");
            assert!(!error.contains("hunter2"), "{error}");
        }
        for prefix in ["", "a}b", "a b"] {
            let mut settings = settings("redis://127.0.0.1:1");
            settings.prefix = prefix.to_owned();
            assert!(Server::new(&settings).is_err());
        }
    }
}
