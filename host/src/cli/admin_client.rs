//! Talking to a gateway's admin API.
//!
//! It promises that the token is never an argument (other users of the machine see those), never
//! follows a redirect, and travels in the clear to nowhere but this machine; and that every call
//! ends.
//!
//! Exit codes: 0 done, 1 it could not be done (nobody answers, the gateway cannot), 2 the command
//! line or what it asks for makes no sense, or rows of an import were left out, 3 there is no such
//! key or plan, 4 the token does not suffice; 141 nobody reads standard output any more.

mod show;

use std::fs;
use std::io::{BufRead as _, BufReader};
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::Value;
use ureq::Agent;
use ureq::tls::{Certificate, PemItem, RootCerts, TlsConfig};
use zeroize::Zeroizing;

use super::output::{self, OutputError, tell};

pub(crate) use show::{at, cell, json, list, record, table, when};

/// From the end of a call to the head of its answer: an import has its own pace after that.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(120);

const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// The largest answer: a whole store is written out as it comes. Bytes.
const MAX_ANSWER: u64 = 1 << 40;

/// Where systems keep the certificates that they trust.
const BUNDLES: [&str; 4] = [
    "/etc/ssl/certs/ca-certificates.crt",
    "/etc/pki/tls/certs/ca-bundle.crt",
    "/etc/ssl/ca-bundle.pem",
    "/etc/ssl/cert.pem",
];

/// What stands in a query as it is.
const PLAIN: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'_')
    .remove(b'.')
    .remove(b'~');

/// Which gateway, and as whom.
#[derive(Debug, clap::Args)]
pub(crate) struct ConnectionArguments {
    /// The gateway's admin listener; else `WINDLASS_ADMIN_URL`, else `http://127.0.0.1:9080`.
    #[arg(long, global = true, value_name = "URL", help_heading = "Gateway")]
    url: Option<String>,
    /// A file with the bearer token; else `WINDLASS_ADMIN_TOKEN`.
    #[arg(long, global = true, value_name = "FILE", help_heading = "Gateway")]
    token_file: Option<PathBuf>,
    /// A PEM file with the certificates to trust; else those of the system.
    #[arg(long, global = true, value_name = "FILE", help_heading = "Gateway")]
    ca: Option<PathBuf>,
    /// Write the API's JSON to standard output, as it is.
    #[arg(long, global = true, help_heading = "Gateway")]
    pub(crate) json: bool,
}

/// Why it is not done.
#[derive(Debug)]
pub(crate) enum CommandError {
    /// The command line, or a file that it names, makes no sense.
    Usage(String),
    /// Nobody answers, or not in a way that makes sense.
    Unreachable(String),
    /// The gateway says why not.
    Problem(u16, Value),
    /// It is done in part, and that was told.
    PartlyDone,
    /// There is no such thing, and that was told.
    NotFound,
    /// Standard output was not written.
    Output(OutputError),
    /// It is done, and what was to be shown once was not.
    SecretNotShown(String),
}

impl From<OutputError> for CommandError {
    fn from(why: OutputError) -> Self {
        Self::Output(why)
    }
}

impl CommandError {
    /// Tell it on standard error.
    pub(crate) fn report(&self) -> ExitCode {
        match self {
            Self::Usage(text) => {
                tell!("windlass: {text}");
                ExitCode::from(2)
            }
            Self::Unreachable(text) | Self::SecretNotShown(text) => {
                tell!("windlass: {text}");
                ExitCode::from(1)
            }
            Self::PartlyDone => ExitCode::from(2),
            Self::NotFound => ExitCode::from(3),
            // As the system's own tools: who closes it wants no more.
            Self::Output(OutputError::Closed) => ExitCode::from(output::CLOSED),
            Self::Output(why @ OutputError::Failed(_)) => {
                tell!("windlass: {why}");
                ExitCode::from(1)
            }
            Self::Problem(status, body) => {
                report_problem(*status, body);
                ExitCode::from(code(*status))
            }
        }
    }
}

/// The exit code for a status.
fn code(status: u16) -> u8 {
    // Time-outs and throttles pass: another try may do.
    if matches!(status, 408 | 429) {
        return 1;
    }
    match status {
        401 | 403 => 4,
        404 => 3,
        400..=499 => 2,
        _ => 1,
    }
}

fn report_problem(status: u16, body: &Value) {
    let text = |name: &str| body.get(name).and_then(Value::as_str).unwrap_or("");
    let detail = match text("detail") {
        "" => "the gateway gave no reason",
        detail => detail,
    };
    tell!("windlass: {detail}");
    let each = |name: &str| {
        body.get(name)
            .and_then(Value::as_array)
            .into_iter()
            .flatten()
    };
    for part in each("errors").filter(|_| {
        at(body, "errors")
            .as_array()
            .is_some_and(|all| all.len() > 1)
    }) {
        tell!(
            "  `{}` {}",
            cell(at(part, "field")),
            cell(at(part, "message"))
        );
    }
    report_warnings(each("warnings"));
    let (word, id) = (text("code"), text("request-id"));
    tell!("  ({status} {word}, request {id} in the gateway's log)");
    if status == 401 {
        tell!("  the token comes from WINDLASS_ADMIN_TOKEN or --token-file");
    }
}

/// Rows of an import that were left out.
pub(crate) fn report_warnings<'a>(warnings: impl Iterator<Item = &'a Value>) {
    for row in warnings {
        let (line, column) = (cell(at(row, "line")), cell(at(row, "column")));
        tell!(
            "  line {line}, column {column}: {}",
            cell(at(row, "message"))
        );
    }
}

/// What a call takes beside its path.
#[derive(Default)]
pub(crate) struct ApiRequest<'a> {
    /// Names and values after the `?`.
    pub(crate) query: Vec<(&'a str, String)>,
    /// Fields.
    pub(crate) headers: Vec<(&'a str, String)>,
    /// The body's type, and the body.
    pub(crate) body: Option<(&'a str, Vec<u8>)>,
    /// The same for one that is read as it goes.
    pub(crate) stream: Option<(&'a str, Box<dyn std::io::Read>)>,
}

impl ApiRequest<'_> {
    /// With a JSON body.
    #[must_use]
    pub(crate) fn json(body: &Value) -> Self {
        Self {
            body: Some(("application/json", body.to_string().into_bytes())),
            ..Self::default()
        }
    }
}

/// A gateway's admin API.
#[derive(Debug)]
pub(crate) struct AdminClient {
    agent: Agent,
    base: String,
    token: Option<Zeroizing<String>>,
}

/// Do something with the gateway that the command line means.
pub(crate) fn run(
    place: &ConnectionArguments,
    work: impl FnOnce(&AdminClient) -> Result<(), CommandError>,
) -> ExitCode {
    match AdminClient::new(place).and_then(|remote| work(&remote)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => failure.report(),
    }
}

impl AdminClient {
    /// The one that the command line means.
    pub(crate) fn new(place: &ConnectionArguments) -> Result<Self, CommandError> {
        let url = place.url.clone();
        let url = url.or_else(|| std::env::var("WINDLASS_ADMIN_URL").ok());
        let url = url.filter(|url| !url.is_empty());
        let url = url.unwrap_or_else(|| "http://127.0.0.1:9080".to_owned());
        let base = url.trim_end_matches('/').to_owned();
        let token = token(place)?;
        check(&base, token.is_some())?;
        let mut config = Agent::config_builder()
            .http_status_as_error(false)
            .max_redirects(0)
            .proxy(None)
            .user_agent(concat!("windlass/", env!("CARGO_PKG_VERSION")))
            .timeout_connect(Some(CONNECT_TIMEOUT))
            .timeout_recv_response(Some(ANSWER_TIMEOUT));
        if base.starts_with("https:") {
            let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
            let tls = TlsConfig::builder()
                .unversioned_rustls_crypto_provider(provider)
                .root_certs(RootCerts::new_with_certs(&trusted(place)?));
            config = config.tls_config(tls.build());
        }
        Ok(Self {
            agent: config.build().new_agent(),
            base,
            token,
        })
    }

    /// Ask, and read the answer's lines one by one until it ends. An answer that is an error is a
    /// failure.
    fn request(
        &self,
        method: &str,
        path: &str,
        call: ApiRequest<'_>,
        line: &mut dyn FnMut(&str) -> Result<(), CommandError>,
    ) -> Result<(), CommandError> {
        let mut uri = format!("{}{path}", self.base);
        for (place, (name, value)) in call.query.iter().enumerate() {
            uri.push(if place == 0 { '?' } else { '&' });
            uri = format!("{uri}{name}={}", utf8_percent_encode(value, PLAIN));
        }
        let mut request = http::Request::builder().method(method).uri(&uri);
        if let Some(token) = &self.token {
            request = request.header("authorization", format!("Bearer {}", **token));
        }
        for (name, value) in &call.headers {
            request = request.header(*name, value);
        }
        let answer = match (call.stream, call.body) {
            (Some((kind, stream)), _) => {
                let request = request.header("content-type", kind);
                let request = request.body(ureq::SendBody::from_owned_reader(stream));
                self.agent.run(request.map_err(|error| wrong(&error))?)
            }
            (None, Some((kind, body))) => {
                let request = request.header("content-type", kind).body(body);
                self.agent.run(request.map_err(|error| wrong(&error))?)
            }
            (None, None) => {
                let request = request.body(());
                self.agent.run(request.map_err(|error| wrong(&error))?)
            }
        };
        let unreachable = |error: &dyn std::fmt::Display| {
            CommandError::Unreachable(format!(
                "the gateway at {} does not answer: {error}; is it running with an `[admin]` section? `--url` or WINDLASS_ADMIN_URL name another",
                self.base
            ))
        };
        let answer = answer.map_err(|error| unreachable(&error))?;
        let status = answer.status().as_u16();
        let body = answer.into_body().into_with_config().limit(MAX_ANSWER);
        if !(200..300).contains(&status) {
            let text = body.read_to_string().unwrap_or_default();
            let body = serde_json::from_str(&text).unwrap_or(Value::Null);
            return Err(CommandError::Problem(status, body));
        }
        let mut lines = BufReader::new(body.reader());
        let mut text = String::new();
        loop {
            text.clear();
            let read = lines.read_line(&mut text);
            if read.map_err(|error| unreachable(&error))? == 0 {
                return Ok(());
            }
            line(&text)?;
        }
    }

    /// Ask, and take the answer as text.
    pub(crate) fn text(
        &self,
        method: &str,
        path: &str,
        call: ApiRequest<'_>,
    ) -> Result<String, CommandError> {
        let mut whole = String::new();
        self.request(method, path, call, &mut |line| {
            whole.push_str(line);
            Ok(())
        })?;
        Ok(whole)
    }

    /// Ask, and take the answer as JSON; null where it is empty.
    pub(crate) fn value(
        &self,
        method: &str,
        path: &str,
        call: ApiRequest<'_>,
    ) -> Result<Value, CommandError> {
        let text = self.text(method, path, call)?;
        if text.trim().is_empty() {
            return Ok(Value::Null);
        }
        parse(&text)
    }

    /// Ask for a stream of JSON, one value a line.
    pub(crate) fn lines(
        &self,
        method: &str,
        path: &str,
        call: ApiRequest<'_>,
        each: &mut dyn FnMut(Value) -> Result<(), CommandError>,
    ) -> Result<(), CommandError> {
        self.request(method, path, call, &mut |line| each(parse(line)?))
    }

    /// Ask for text, and write it to standard output as it comes.
    pub(crate) fn copy(
        &self,
        method: &str,
        path: &str,
        call: ApiRequest<'_>,
    ) -> Result<(), CommandError> {
        self.request(method, path, call, &mut |line| {
            Ok(output::print_text(line)?)
        })
    }
}

fn parse(text: &str) -> Result<Value, CommandError> {
    let wrong = |_| {
        CommandError::Unreachable(
            "the answer is no JSON; is this a gateway's admin listener?".to_owned(),
        )
    };
    serde_json::from_str(text).map_err(wrong)
}

fn wrong(error: &http::Error) -> CommandError {
    CommandError::Usage(format!("the request cannot be made: {error}"))
}

/// Whether the URL is one that a token may be sent to.
fn check(base: &str, with_token: bool) -> Result<(), CommandError> {
    let uri: http::Uri = base.parse().map_err(|error| {
        CommandError::Usage(format!(
            "`{base}` is no URL: {error}; write `http://127.0.0.1:9080`"
        ))
    })?;
    let host = uri.host().unwrap_or("");
    let bare = host.trim_start_matches('[').trim_end_matches(']');
    let address = bare.parse::<std::net::IpAddr>();
    let local = host == "localhost" || address.is_ok_and(|address| address.is_loopback());
    match uri.scheme_str() {
        Some("https") => Ok(()),
        Some("http") if local || !with_token => Ok(()),
        Some("http") => Err(CommandError::Usage(format!(
            "the token would go to {host} in the clear; use `https://`"
        ))),
        Some(_) | None => Err(CommandError::Usage(format!(
            "`{base}` is no URL of HTTP; write `http://127.0.0.1:9080`"
        ))),
    }
}

fn token(place: &ConnectionArguments) -> Result<Option<Zeroizing<String>>, CommandError> {
    let token = match &place.token_file {
        Some(path) => {
            let text = fs::read_to_string(path).map_err(|error| {
                CommandError::Usage(format!(
                    "the token file `{}` cannot be read: {error}",
                    path.display()
                ))
            })?;
            Some(Zeroizing::new(text))
        }
        None => std::env::var("WINDLASS_ADMIN_TOKEN")
            .ok()
            .map(Zeroizing::new),
    };
    let token = token.map(|token| Zeroizing::new(token.trim().to_owned()));
    Ok(token.filter(|token| !token.is_empty()))
}

/// The certificates to trust.
fn trusted(place: &ConnectionArguments) -> Result<Vec<Certificate<'static>>, CommandError> {
    let own = std::env::var_os("SSL_CERT_FILE").map(PathBuf::from);
    let system = || {
        BUNDLES
            .iter()
            .map(PathBuf::from)
            .find(|path| path.is_file())
    };
    let Some(path) = place.ca.clone().or(own).or_else(system) else {
        return Err(CommandError::Usage(
            "this system has no certificates to trust; name a file of them by `--ca`".to_owned(),
        ));
    };
    let text = fs::read(&path).map_err(|error| {
        CommandError::Usage(format!("`{}` cannot be read: {error}", path.display()))
    })?;
    let items = ureq::tls::parse_pem(&text);
    let found: Vec<_> = items
        .filter_map(|item| match item {
            Ok(PemItem::Certificate(certificate)) => Some(certificate),
            Ok(_) | Err(_) => None,
        })
        .collect();
    if found.is_empty() {
        let path = path.display();
        return Err(CommandError::Usage(format!(
            "`{path}` holds no certificate in PEM"
        )));
    }
    Ok(found)
}
