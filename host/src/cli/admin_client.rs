//! A client of a running gateway's admin API, for the commands.
//!
//! It promises that the token is never an argument (other users of the machine can see arguments),
//! is sent to no redirect's target, and is sent without TLS only to this machine; and that every
//! call ends.
//!
//! Exit codes: 0 success; 1 failure (the gateway does not answer, or cannot do it); 2 the command
//! line or the request is invalid, or an import left out rows; 3 the key or plan does not exist; 4
//! the token does not suffice; 141 standard output was closed.

mod show;

use std::fs;
use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::Value;
use ureq::Agent;
use ureq::tls::{Certificate, PemItem, RootCerts, TlsConfig};
use zeroize::Zeroizing;

use super::output::{self, OutputError, eprint_line};

pub(crate) use show::{at, cell, json, list, record, table, when};

/// From the end of a request to the head of its answer. An import streams its progress after that.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(120);

const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);

/// The largest answer. Bytes. A whole store is written out as it arrives, so this is no memory.
const MAX_ANSWER: u64 = 1 << 40;

/// Characters that stay as they are in a query.
const PLAIN: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'_')
    .remove(b'.')
    .remove(b'~');

/// The options that name the gateway and its token.
#[derive(Debug, clap::Args)]
pub(crate) struct ConnectionArguments {
    /// The gateway's admin listener; by default `WINDLASS_ADMIN_URL`, then
    /// `http://127.0.0.1:9080`.
    #[arg(long, global = true, value_name = "URL", help_heading = "Gateway")]
    url: Option<String>,
    /// A file with the bearer token; by default `WINDLASS_ADMIN_TOKEN`.
    #[arg(long, global = true, value_name = "FILE", help_heading = "Gateway")]
    token_file: Option<PathBuf>,
    /// A PEM file with the certificates to trust; by default those of the system.
    #[arg(long, global = true, value_name = "FILE", help_heading = "Gateway")]
    ca: Option<PathBuf>,
    /// Write the API's JSON to standard output, unchanged.
    #[arg(long, global = true, help_heading = "Gateway")]
    pub(crate) json: bool,
}

/// Why a command fails.
#[derive(Debug)]
pub(crate) enum CommandError {
    /// The command line, or a file that it names, is invalid.
    Usage(String),
    /// The gateway does not answer, or its answer is not one of an admin API.
    Unreachable(String),
    /// The gateway refuses, with this status and body.
    Problem(u16, Value),
    /// Part of it was done, and the report is already printed.
    PartlyDone,
    /// The object does not exist, and the message is already printed.
    NotFound,
    /// Standard output could not be written.
    Output(OutputError),
    /// It was done, but a secret that is shown only once could not be printed.
    SecretNotShown(String),
}

impl From<OutputError> for CommandError {
    fn from(why: OutputError) -> Self {
        Self::Output(why)
    }
}

impl CommandError {
    /// Prints the error on standard error and gives the exit code.
    pub(crate) fn report(&self) -> ExitCode {
        match self {
            Self::Usage(text) => {
                eprint_line!("windlass: {text}");
                ExitCode::from(2)
            }
            Self::Unreachable(text) | Self::SecretNotShown(text) => {
                eprint_line!("windlass: {text}");
                ExitCode::from(1)
            }
            Self::PartlyDone => ExitCode::from(2),
            Self::NotFound => ExitCode::from(3),
            // As the system's own tools: whoever closes the output wants no more.
            Self::Output(OutputError::Closed) => ExitCode::from(output::CLOSED),
            Self::Output(why @ OutputError::Failed(_)) => {
                eprint_line!("windlass: {why}");
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
    // Timeouts and throttling are temporary: another try may succeed.
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
    eprint_line!("windlass: {detail}");
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
        eprint_line!(
            "  `{}` {}",
            cell(at(part, "field")),
            cell(at(part, "message"))
        );
    }
    report_warnings(each("warnings"));
    let (word, id) = (text("code"), text("request-id"));
    eprint_line!("  (status {status}, `{word}`; the gateway's log has it as request {id})");
    if status == 401 {
        eprint_line!("  the token comes from WINDLASS_ADMIN_TOKEN or --token-file");
    }
}

/// Prints the rows that an import left out.
pub(crate) fn report_warnings<'a>(warnings: impl Iterator<Item = &'a Value>) {
    for row in warnings {
        let (line, column) = (cell(at(row, "line")), cell(at(row, "column")));
        eprint_line!(
            "  line {line}, column {column}: {}",
            cell(at(row, "message"))
        );
    }
}

/// The parts of a request besides method and path.
#[derive(Default)]
pub(crate) struct ApiRequest<'a> {
    /// The query's names and values.
    pub(crate) query: Vec<(&'a str, String)>,
    /// Header fields.
    pub(crate) headers: Vec<(&'a str, String)>,
    /// The body's type and bytes.
    pub(crate) body: Option<(&'a str, Vec<u8>)>,
    /// A body that is read while it is sent.
    pub(crate) stream: Option<(&'a str, Box<dyn std::io::Read>)>,
}

impl ApiRequest<'_> {
    /// A request with a JSON body.
    #[must_use]
    pub(crate) fn json(body: &Value) -> Self {
        Self {
            body: Some(("application/json", body.to_string().into_bytes())),
            ..Self::default()
        }
    }
}

/// A client of one gateway's admin API.
#[derive(Debug)]
pub(crate) struct AdminClient {
    agent: Agent,
    base: String,
    token: Option<Zeroizing<String>>,
}

/// Connects to the gateway that the command line names, and does the work.
pub(crate) fn run(
    arguments: &ConnectionArguments,
    work: impl FnOnce(&AdminClient) -> Result<(), CommandError>,
) -> ExitCode {
    match AdminClient::new(arguments).and_then(|remote| work(&remote)) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => failure.report(),
    }
}

impl AdminClient {
    /// The client for the gateway that the command line names.
    pub(crate) fn new(arguments: &ConnectionArguments) -> Result<Self, CommandError> {
        let url = arguments.url.clone();
        let url = url.or_else(|| std::env::var("WINDLASS_ADMIN_URL").ok());
        let url = url.filter(|url| !url.is_empty());
        let url = url.unwrap_or_else(|| "http://127.0.0.1:9080".to_owned());
        let base = url.trim_end_matches('/').to_owned();
        let token = token(arguments)?;
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
                .root_certs(RootCerts::new_with_certs(&trusted(arguments)?));
            config = config.tls_config(tls.build());
        }
        Ok(Self {
            agent: config.build().new_agent(),
            base,
            token,
        })
    }

    /// Sends a request, and passes on the answer line by line until it ends. An error status is an
    /// `Err`.
    fn request(
        &self,
        method: &str,
        path: &str,
        call: ApiRequest<'_>,
        line: &mut dyn FnMut(&str) -> Result<(), CommandError>,
    ) -> Result<(), CommandError> {
        let mut uri = format!("{}{path}", self.base);
        for (position, (name, value)) in call.query.iter().enumerate() {
            uri.push(if position == 0 { '?' } else { '&' });
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
                "the gateway at {} does not answer: {error}; is it running with an `[admin]` section? `--url` or WINDLASS_ADMIN_URL selects another gateway",
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

    /// Sends a request, and returns the answer as text.
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

    /// Sends a request, and returns the answer as JSON; null if it is empty.
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

    /// Sends a request whose answer is a stream of JSON values, one a line.
    pub(crate) fn lines(
        &self,
        method: &str,
        path: &str,
        call: ApiRequest<'_>,
        each: &mut dyn FnMut(Value) -> Result<(), CommandError>,
    ) -> Result<(), CommandError> {
        self.request(method, path, call, &mut |line| each(parse(line)?))
    }

    /// Sends a request, and writes the text of the answer to standard output as it arrives.
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
            "the answer is not JSON; is this a gateway's admin listener?".to_owned(),
        )
    };
    serde_json::from_str(text).map_err(wrong)
}

fn wrong(error: &http::Error) -> CommandError {
    CommandError::Usage(format!("the request could not be built: {error}"))
}

/// Checks that the token may be sent to this URL.
fn check(base: &str, with_token: bool) -> Result<(), CommandError> {
    let uri: http::Uri = base.parse().map_err(|error| {
        CommandError::Usage(format!(
            "`{base}` is not a URL: {error}; write one such as `http://127.0.0.1:9080`"
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
            "the token would be sent to {host} without TLS; use `https://`"
        ))),
        Some(_) | None => Err(CommandError::Usage(format!(
            "`{base}` is not an HTTP URL; write one such as `http://127.0.0.1:9080`"
        ))),
    }
}

fn token(arguments: &ConnectionArguments) -> Result<Option<Zeroizing<String>>, CommandError> {
    let token = match &arguments.token_file {
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

/// The certificates to trust: those of `--ca`, else those of `SSL_CERT_FILE` or of the system.
fn trusted(arguments: &ConnectionArguments) -> Result<Vec<Certificate<'static>>, CommandError> {
    match &arguments.ca {
        Some(path) => read_certificates(path),
        None => system_certificates(),
    }
}

fn system_certificates() -> Result<Vec<Certificate<'static>>, CommandError> {
    let found = rustls_native_certs::load_native_certs();
    if found.certs.is_empty() {
        let cause = found.errors.first();
        let cause = cause.map_or_else(String::new, |error| format!(" ({error})"));
        return Err(CommandError::Usage(format!(
            "this system has no trusted certificates{cause}; name a file of them with `--ca`"
        )));
    }
    let certificates = found.certs.iter();
    Ok(certificates
        .map(|certificate| Certificate::from_der(certificate).to_owned())
        .collect())
}

fn read_certificates(path: &Path) -> Result<Vec<Certificate<'static>>, CommandError> {
    let text = fs::read(path).map_err(|error| {
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
            "`{path}` has no certificate in PEM"
        )));
    }
    Ok(found)
}
