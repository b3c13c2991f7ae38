//! Logins of registries: the configuration's, or those that `docker login` left.
//!
//! A password is wiped when it is dropped, and is in no error, log or `Debug` text. A credential helper of Docker is a
//! program that may hang, so it has a time limit.

use std::fmt;
use std::fs::File;
use std::io::{self, BufReader};
use std::path::PathBuf;
use std::sync::mpsc;
use std::time::Duration;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use docker_credential::{CredentialRetrievalError, DockerCredential};
use http::HeaderValue;
use zeroize::Zeroizing;

/// For a credential helper of Docker.
const HELPER_TIMEOUT: Duration = Duration::from_secs(10);

/// The server in Docker's file that stands for Docker Hub.
const DOCKER_HUB: &str = "https://index.docker.io/v1/";

/// The user and the password of a login.
#[derive(Clone)]
pub(crate) enum Login {
    Password {
        username: String,
        password: Zeroizing<String>,
    },
    /// A token of OAuth 2 that is exchanged for others.
    Refresh(Zeroizing<String>),
}

impl fmt::Debug for Login {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Login(..)")
    }
}

/// Why there is no login.
#[derive(Debug, thiserror::Error)]
pub(crate) enum LoginError {
    #[error("Docker's configuration file cannot be used: {0}")]
    DockerFile(&'static str),
    #[error("Docker's credential helper gave no login for `{0}`")]
    Helper(String),
    #[error("the login cannot be sent: it has characters that no header field can have")]
    Characters,
}

impl LoginError {
    /// How to mend it.
    pub(super) fn help(&self) -> String {
        match self {
            Self::Characters => "look for line ends in the password's file".to_owned(),
            Self::DockerFile(_) | Self::Helper(_) => {
                "run `docker login` again, or write `username` and `password` into a `[[plugins.registry]]` with this `host`".to_owned()
            }
        }
    }
}

impl Login {
    /// The field of Basic credentials (RFC 7617).
    pub(super) fn basic(&self) -> Result<HeaderValue, LoginError> {
        let text = match self {
            Self::Password { username, password } => {
                Zeroizing::new(format!("{username}:{}", password.as_str()))
            }
            Self::Refresh(token) => Zeroizing::new(format!("<token>:{}", token.as_str())),
        };
        let coded = Zeroizing::new(BASE64_STANDARD.encode(text.as_bytes()));
        header("Basic", &coded)
    }

    /// The login that Docker has for a registry. None: it has none.
    pub(super) fn of_docker(registry: &str) -> Result<Option<Self>, LoginError> {
        let server = match registry {
            "docker.io" => DOCKER_HUB.to_owned(),
            other => other.to_owned(),
        };
        // The library calls a file that is not there one that cannot be read.
        let Some(file) = docker_file() else {
            return Ok(None);
        };
        let file = match File::open(file) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(_) => return Err(LoginError::DockerFile("it cannot be read")),
        };
        let (sender, receiver) = mpsc::channel();
        let asked = server.clone();
        // It ends with its helper, also if nobody waits any more.
        let _ = std::thread::spawn(move || {
            let file = BufReader::new(file);
            let found = docker_credential::get_credential_from_reader(file, &asked);
            let _ = sender.send(found);
        });
        match receiver.recv_timeout(HELPER_TIMEOUT) {
            Ok(found) => from_docker(&server, found),
            Err(_) => Err(LoginError::Helper(server)),
        }
    }
}

/// `config.json` in `$DOCKER_CONFIG` or `~/.docker`.
fn docker_file() -> Option<PathBuf> {
    let folder = |name: &str| std::env::var_os(name).filter(|value| !value.is_empty());
    let folder = match folder("DOCKER_CONFIG") {
        Some(folder) => PathBuf::from(folder),
        None => PathBuf::from(folder("HOME")?).join(".docker"),
    };
    Some(folder.join("config.json"))
}

fn from_docker(
    server: &str,
    found: Result<DockerCredential, CredentialRetrievalError>,
) -> Result<Option<Login>, LoginError> {
    use CredentialRetrievalError as Error;
    match found {
        Ok(DockerCredential::UsernamePassword(username, password)) => Ok(Some(Login::Password {
            username,
            password: Zeroizing::new(password),
        })),
        Ok(DockerCredential::IdentityToken(token)) => {
            Ok(Some(Login::Refresh(Zeroizing::new(token))))
        }
        Err(Error::NoCredentialConfigured | Error::ConfigNotFound) => Ok(None),
        // That is what every helper says of a server that it does not know.
        Err(Error::HelperFailure { stdout, .. }) if stdout.contains("credentials not found") => {
            Ok(None)
        }
        Err(
            Error::HelperFailure { .. }
            | Error::HelperCommunicationError
            | Error::MalformedHelperResponse,
        ) => Err(LoginError::Helper(server.to_owned())),
        Err(Error::ConfigReadError) => Err(LoginError::DockerFile("it is not valid JSON")),
        Err(Error::CredentialDecodingError) => Err(LoginError::DockerFile(
            "an `auth` of it is not valid base64",
        )),
        Err(Error::CredentialMismatchError) => Err(LoginError::DockerFile(
            "its `auth` and its `username` and `password` differ",
        )),
    }
}

/// A field of `authorization` that is marked as secret.
pub(super) fn header(scheme: &str, text: &str) -> Result<HeaderValue, LoginError> {
    let text = Zeroizing::new(format!("{scheme} {text}"));
    let mut value = HeaderValue::from_str(&text).map_err(|_| LoginError::Characters)?;
    value.set_sensitive(true);
    Ok(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_login_is_never_shown() {
        let login = Login::Password {
            username: "u".to_owned(),
            password: Zeroizing::new("s3cr3t".to_owned()),
        };
        let field = login.basic().unwrap();
        assert_eq!(field, "Basic dTpzM2NyM3Q=");
        assert!(!format!("{login:?} {field:?}").contains("s3cr3t"));
        assert!(!format!("{field:?}").contains("dTpz"));
    }

    #[test]
    fn only_what_is_not_there_is_no_login() {
        use CredentialRetrievalError as Error;
        let helper = |stdout: &str| Error::HelperFailure {
            helper: "h".to_owned(),
            stdout: stdout.to_owned(),
            stderr: "s3cr3t".to_owned(),
        };
        for none in [
            Error::NoCredentialConfigured,
            Error::ConfigNotFound,
            helper("credentials not found in native keychain"),
        ] {
            assert!(from_docker("r", Err(none)).unwrap().is_none());
        }
        for wrong in [
            helper("s3cr3t"),
            Error::ConfigReadError,
            Error::MalformedHelperResponse,
        ] {
            let error = from_docker("r", Err(wrong)).unwrap_err();
            assert!(!error.to_string().contains("s3cr3t"), "{error}");
        }
    }
}
