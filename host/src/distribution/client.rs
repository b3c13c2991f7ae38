//! HTTP for plugins: one request at a time, with an end, a bound, and redirects under rules.
//!
//! Registries and release pages send downloads elsewhere (a storage, a CDN), so redirects of a download are followed,
//! also to another host: the digest is what protects the content. Three things keep that harmless: at most
//! [`MOST_REDIRECTS`] of them, never from TLS to plain HTTP, and no login beyond the first host. Other requests follow
//! none.

use std::time::{Duration, Instant};

use http::{HeaderMap, HeaderValue, Method, Response, StatusCode, Uri, header};
use ureq::{Agent, Body};

use super::ServerSettings;
use crate::http::tls::{TlsError, agent};

/// The most redirects of a download.
const MOST_REDIRECTS: usize = 5;

/// The largest head of an answer. Bytes.
const MAX_HEAD: usize = 64 * 1024;

/// The largest part of an error's body that is read. Bytes.
const MAX_ERROR: u64 = 16 * 1024;

/// Why a server did not give what it was asked for.
#[derive(Debug, thiserror::Error)]
pub(crate) enum TransferError {
    /// The trusted certificates cannot be used.
    #[error(transparent)]
    Trust(#[from] TlsError),
    /// The server could not be reached, or its answer ended early.
    #[error("`{url}`: {cause}")]
    Call { url: String, cause: ureq::Error },
    #[error("`{url}` did not answer in time: `[plugins] timeout` is over")]
    Timeout { url: String },
    /// The server answered with another status.
    #[error("`{url}` answered with status {code}{said}", code = .status.as_u16())]
    Status {
        url: String,
        status: StatusCode,
        /// The registry's words about it, with a separator before them.
        said: String,
    },
    #[error("`{url}` sends more than {limit} bytes")]
    TooLarge { url: String, limit: u64 },
    #[error("`{url}` redirects more than {MOST_REDIRECTS} times")]
    TooManyRedirects { url: String },
    #[error("`{url}` redirects to `{to}`, which has no TLS")]
    Downgrade { url: String, to: String },
    #[error("`{url}` answered with a `location` that is not a URL of HTTP")]
    Location { url: String },
    /// A registry's answer is not what the specification says.
    #[error("`{url}` {what}")]
    Protocol { url: String, what: &'static str },
}

impl TransferError {
    /// How to mend it.
    #[must_use]
    pub(crate) fn help(&self) -> Option<String> {
        Some(match self {
            Self::Trust(error) => error.help().to_owned(),
            Self::Status { status, .. } => match *status {
                StatusCode::NOT_FOUND => {
                    "look whether it was pushed, and whether its name and digest are right; some registries say this of what one may not read".to_owned()
                }
                StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => LOGIN_HELP.to_owned(),
                _ => return None,
            },
            Self::Call { cause, .. } => return call_help(cause),
            Self::Timeout { .. } => {
                "look whether the server is slow, or raise `[plugins] timeout`".to_owned()
            }
            Self::TooManyRedirects { .. } | Self::Downgrade { .. } | Self::Location { .. } => {
                "write the URL that has the file itself".to_owned()
            }
            Self::TooLarge { .. } => {
                "raise `[plugins] max_size` (at most 256MiB), or make the plugin smaller".to_owned()
            }
            Self::Protocol { .. } => return None,
        })
    }
}

/// How to log in.
pub(super) const LOGIN_HELP: &str = "log in: `username` and `password` of a `[[plugins.registry]]` with this `host`, or `docker login`; and look whether that user may read it";

fn call_help(cause: &ureq::Error) -> Option<String> {
    match cause {
        ureq::Error::Rustls(_) | ureq::Error::Tls(_) => Some(
            "if its certificate is your own, name who signed it: `ca` of a `[[plugins.registry]]` with this `host`".to_owned(),
        ),
        ureq::Error::Io(error) if error.kind() == std::io::ErrorKind::InvalidData => Some(
            "if it has no TLS, write `plain_http = true` into a `[[plugins.registry]]` with this `host`; if its certificate is your own, name who signed it: `ca`".to_owned(),
        ),
        _ => None,
    }
}

/// The host of a URL, with its port if one is written.
pub(super) fn host_of(url: &str) -> &str {
    let rest = url.split_once("://").map_or(url, |(_, rest)| rest);
    rest.split(['/', '?', '#']).next().unwrap_or_default()
}

/// Whether a host, with or without a port, is this machine.
pub(super) fn is_local(host: &str) -> bool {
    let bare = match host.strip_prefix('[') {
        Some(rest) => rest.split(']').next().unwrap_or_default(),
        None => host.split(':').next().unwrap_or_default(),
    };
    let address = bare.parse::<std::net::IpAddr>();
    bare == "localhost" || address.is_ok_and(|address| address.is_loopback())
}

/// A URL for logs and errors, without its query: those of storages have a signature in it.
pub(super) fn shown(url: &str) -> String {
    url.split(['?', '#']).next().unwrap_or_default().to_owned()
}

/// A request.
pub(super) struct Ask<'a> {
    pub(super) method: Method,
    pub(super) url: &'a str,
    pub(super) accept: &'static str,
    pub(super) login: Option<&'a HeaderValue>,
    /// The body with its type.
    pub(super) body: Option<(&'static str, &'a [u8])>,
}

impl<'a> Ask<'a> {
    pub(super) fn get(url: &'a str) -> Self {
        Self {
            method: Method::GET,
            url,
            accept: "*/*",
            login: None,
            body: None,
        }
    }
}

/// Talks to one server, and to those that it sends downloads to, until an end.
#[derive(Debug)]
pub(super) struct HttpClient {
    agent: Agent,
    end: Instant,
}

impl HttpClient {
    /// For a server, whose URLs begin as this one.
    pub(super) fn new(
        server: &ServerSettings,
        url: &str,
        end: Instant,
    ) -> Result<Self, TransferError> {
        let needs_roots = url.starts_with("https:");
        let config = Agent::config_builder()
            .http_status_as_error(false)
            .max_redirects(0)
            .max_redirects_will_error(false)
            .max_response_header_size(MAX_HEAD)
            .user_agent(concat!("windlass/", env!("CARGO_PKG_VERSION")))
            .tls_config(agent::tls_config(server.ca.as_deref(), needs_roots)?);
        // A proxy of the environment is for what is elsewhere.
        let config = match is_local(host_of(url)) {
            true => config.proxy(None),
            false => config,
        };
        Ok(Self {
            agent: config.build().new_agent(),
            end,
        })
    }

    /// Sends a request. Any status is an answer.
    pub(super) fn call(&self, ask: &Ask<'_>) -> Result<Response<Body>, TransferError> {
        let left = self.end.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Err(TransferError::Timeout {
                url: shown(ask.url),
            });
        }
        let mut request = http::Request::builder()
            .method(ask.method.clone())
            .uri(ask.url)
            .header(header::ACCEPT, ask.accept);
        if let Some(login) = ask.login {
            request = request.header(header::AUTHORIZATION, login);
        }
        let failed = |cause| failed(ask.url, cause);
        let left = Some(left.max(Duration::from_millis(1)));
        match ask.body {
            Some((kind, body)) => {
                let request = request.header(header::CONTENT_TYPE, kind).body(body);
                let request = request.map_err(|error| failed(error.into()))?;
                let request = self.agent.configure_request(request);
                let request = request.timeout_global(left).build();
                self.agent.run(request).map_err(failed)
            }
            None => {
                let request = request.body(());
                let request = request.map_err(|error| failed(error.into()))?;
                let request = self.agent.configure_request(request);
                let request = request.timeout_global(left).build();
                self.agent.run(request).map_err(failed)
            }
        }
    }

    /// The whole body of an answer.
    pub(super) fn body(
        url: &str,
        answer: &mut Response<Body>,
        limit: u64,
    ) -> Result<Vec<u8>, TransferError> {
        let body = answer.body_mut().with_config().limit(limit);
        body.read_to_vec().map_err(|cause| match cause {
            ureq::Error::BodyExceedsLimit(_) => TransferError::TooLarge {
                url: shown(url),
                limit,
            },
            cause => failed(url, cause),
        })
    }

    /// The file at a URL, wherever it redirects to. The login goes to the URL's own host only.
    pub(super) fn download(
        &self,
        url: &str,
        login: Option<&HeaderValue>,
        limit: u64,
    ) -> Result<Vec<u8>, TransferError> {
        let mut answer = self.call(&Ask {
            login,
            ..Ask::get(url)
        })?;
        let mut at = url.to_owned();
        for _ in 0..MOST_REDIRECTS {
            if !is_redirect(answer.status()) {
                break;
            }
            at = redirected(&at, answer.headers())?;
            let is_same = is_same_server(&at, url);
            answer = self.call(&Ask {
                login: login.filter(|_| is_same),
                ..Ask::get(&at)
            })?;
        }
        match answer.status() {
            StatusCode::OK => Self::body(&at, &mut answer, limit),
            status if is_redirect(status) => {
                Err(TransferError::TooManyRedirects { url: shown(url) })
            }
            _ => Err(refused(&at, answer)),
        }
    }
}

fn failed(url: &str, cause: ureq::Error) -> TransferError {
    let url = shown(url);
    match cause {
        ureq::Error::Timeout(_) => TransferError::Timeout { url },
        cause => TransferError::Call { url, cause },
    }
}

fn is_redirect(status: StatusCode) -> bool {
    matches!(status.as_u16(), 301 | 302 | 303 | 307 | 308)
}

fn scheme(url: &str) -> &str {
    url.split("://").next().unwrap_or_default()
}

/// Whether a login for one of these URLs may go to the other.
pub(super) fn is_same_server(one: &str, other: &str) -> bool {
    scheme(one) == scheme(other) && host_of(one) == host_of(other)
}

/// Where a redirect leads.
fn redirected(url: &str, fields: &HeaderMap) -> Result<String, TransferError> {
    let to = location(url, fields)?;
    if scheme(url) == "https" && scheme(&to) != "https" {
        return Err(TransferError::Downgrade {
            url: shown(url),
            to: shown(&to),
        });
    }
    Ok(to)
}

/// The URL in `location`.
pub(super) fn location(url: &str, fields: &HeaderMap) -> Result<String, TransferError> {
    let wrong = || TransferError::Location { url: shown(url) };
    let text = fields.get(header::LOCATION).and_then(|to| to.to_str().ok());
    let text = text.ok_or_else(wrong)?;
    let to = if text.starts_with("//") {
        format!("{}:{text}", scheme(url))
    } else if text.starts_with('/') {
        format!("{}://{}{text}", scheme(url), host_of(url))
    } else {
        text.to_owned()
    };
    let uri: Uri = to.parse().map_err(|_| wrong())?;
    let is_http = matches!(uri.scheme_str(), Some("http" | "https"));
    // A user in it would be a login that nobody configured.
    let is_plain = uri
        .authority()
        .is_some_and(|host| !host.as_str().contains('@'));
    (is_http && is_plain).then_some(to).ok_or_else(wrong)
}

/// The error of an answer that is not the one that was wanted, with what a registry says in its body.
pub(super) fn refused(url: &str, mut answer: Response<Body>) -> TransferError {
    let body = answer
        .body_mut()
        .with_config()
        .limit(MAX_ERROR)
        .read_to_vec();
    let body: Option<serde_json::Value> = serde_json::from_slice(&body.unwrap_or_default()).ok();
    let first = body.as_ref().and_then(|body| body.get("errors")?.get(0));
    let text = |name: &str| first?.get(name)?.as_str();
    let said = text("message").or_else(|| text("code")).unwrap_or_default();
    let said: String = said
        .chars()
        .take(200)
        .flat_map(char::escape_debug)
        .collect();
    TransferError::Status {
        url: shown(url),
        status: answer.status(),
        said: match said.as_str() {
            "" => said,
            said => format!(": {said}"),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn to(url: &str, location: &'static str) -> Result<String, String> {
        let mut fields = HeaderMap::new();
        fields.insert(header::LOCATION, HeaderValue::from_static(location));
        redirected(url, &fields).map_err(|error| error.to_string())
    }

    #[test]
    fn a_redirect_keeps_tls_and_has_no_user() {
        let url = "https://a.example:1/x?y";
        for (location, expected) in [
            ("/z", "https://a.example:1/z"),
            ("//b.example/z", "https://b.example/z"),
            ("https://b.example/z?s=1", "https://b.example/z?s=1"),
        ] {
            assert_eq!(to(url, location).as_deref(), Ok(expected));
        }
        for (location, error) in [
            (
                "http://a.example/z?s=1",
                "redirects to `http://a.example/z`, which has no TLS",
            ),
            ("https://u:p@b.example/", "not a URL of HTTP"),
            ("ftp://b.example/", "not a URL of HTTP"),
            ("z", "not a URL of HTTP"),
        ] {
            let found = to(url, location).unwrap_err();
            assert!(found.contains(error) && !found.contains("s=1"), "{found}");
        }
        assert!(to("http://localhost/x", "http://127.0.0.1/z").is_ok());
    }

    #[test]
    fn a_login_stays_with_its_server() {
        let url = "https://a.example/x";
        assert!(is_same_server(url, "https://a.example/y?z"));
        for other in [
            "http://a.example/x",
            "https://a.example:8443/x",
            "https://b.example/x",
        ] {
            assert!(!is_same_server(url, other), "{other}");
        }
    }

    #[test]
    fn hosts_of_this_machine() {
        for local in [
            "localhost",
            "localhost:5000",
            "127.0.0.1:1",
            "[::1]:5000",
            "[::1]",
        ] {
            assert!(is_local(local), "{local}");
        }
        for other in ["localhost.example", "10.0.0.1:1", "[fe80::1]", ""] {
            assert!(!is_local(other), "{other}");
        }
        assert_eq!(host_of("https://a.example:1/x?y"), "a.example:1");
        assert_eq!(host_of("https://a.example?y"), "a.example");
    }
}
