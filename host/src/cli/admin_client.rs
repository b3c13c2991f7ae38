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
mod trust;

use std::io::{BufRead as _, BufReader, Read};
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use clap::Subcommand;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use serde::Serialize;
use serde_json::Value;
use ureq::tls::{RootCerts, TlsConfig};
use ureq::{Agent, AsSendBody, Body, SendBody};
use zeroize::Zeroizing;

use super::output::{self, OutputError, eprint_line};

use trust::{check, token, trusted};

pub(crate) use show::{at, cell, each, json, list, table, text_at, time_at};

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
    // One error is the detail itself.
    if each(body, "errors").count() > 1 {
        for part in each(body, "errors") {
            eprint_line!(
                "  `{}` {}",
                text_at(part, "field"),
                text_at(part, "message")
            );
        }
    }
    report_warnings(body);
    let (word, id) = (text("code"), text("request-id"));
    eprint_line!("  (status {status}, `{word}`; the gateway's log has it as request {id})");
    if status == 401 {
        eprint_line!("  the token comes from WINDLASS_ADMIN_TOKEN or --token-file");
    }
}

/// Prints the rows that an import left out.
pub(crate) fn report_warnings(report: &Value) {
    for row in each(report, "warnings") {
        let (line, column) = (text_at(row, "line"), text_at(row, "column"));
        eprint_line!(
            "  line {line}, column {column}: {}",
            text_at(row, "message")
        );
    }
}

/// A request to the admin API.
pub(crate) struct ApiRequest<'a> {
    method: &'a str,
    path: String,
    query: Vec<(String, String)>,
    headers: Vec<(&'a str, String)>,
    body: ApiBody<'a>,
}

/// The body of a request, with its type.
pub(crate) enum ApiBody<'a> {
    Empty,
    Bytes(&'a str, Vec<u8>),
    /// Read while it is sent.
    Stream(&'a str, Box<dyn Read>),
}

impl<'a> ApiRequest<'a> {
    /// A request without a query and a body. `path` has the segments after the version. Characters
    /// that no id has are escaped, and the gateway finds no such object.
    pub(crate) fn new(method: &'a str, path: &[&str]) -> Self {
        let segments = path.iter();
        let segments =
            segments.map(|one| format!("/{}", utf8_percent_encode(one, NON_ALPHANUMERIC)));
        Self {
            method,
            path: segments.collect(),
            query: Vec::new(),
            headers: Vec::new(),
            body: ApiBody::Empty,
        }
    }

    /// Adds the members of `options` to the query, except those that are null.
    pub(crate) fn query(mut self, options: &impl Serialize) -> Self {
        let options = serde_json::to_value(options).unwrap_or_default();
        for (name, value) in options.as_object().into_iter().flatten() {
            let value = match value {
                Value::Null => continue,
                Value::String(text) => text.clone(),
                value => value.to_string(),
            };
            self.query.push((name.clone(), value));
        }
        self
    }

    pub(crate) fn header(mut self, name: &'a str, value: &str) -> Self {
        self.headers.push((name, value.to_owned()));
        self
    }

    pub(crate) fn json(self, body: &Value) -> Self {
        self.body(ApiBody::Bytes(
            "application/json",
            body.to_string().into_bytes(),
        ))
    }

    pub(crate) fn body(self, body: ApiBody<'a>) -> Self {
        Self { body, ..self }
    }
}

/// A command that asks a running gateway.
pub(crate) trait RemoteCommand: Subcommand {
    fn run(&self, remote: &AdminClient) -> Result<(), CommandError>;
}

#[derive(Debug, clap::Args)]
pub(crate) struct RemoteArguments<C: Subcommand> {
    #[command(flatten)]
    connection: ConnectionArguments,
    #[command(subcommand)]
    command: C,
}

impl<C: RemoteCommand> RemoteArguments<C> {
    /// Runs the command on the gateway that the command line names.
    pub(crate) fn run(&self) -> ExitCode {
        let remote = AdminClient::new(&self.connection);
        match remote.and_then(|remote| self.command.run(&remote)) {
            Ok(()) => ExitCode::SUCCESS,
            Err(failure) => failure.report(),
        }
    }
}

/// A client of one gateway's admin API.
#[derive(Debug)]
pub(crate) struct AdminClient {
    agent: Agent,
    base: String,
    token: Option<Zeroizing<String>>,
    /// Whether answers are printed unchanged.
    pub(crate) json: bool,
}

impl AdminClient {
    /// The client for the gateway that the command line names.
    fn new(arguments: &ConnectionArguments) -> Result<Self, CommandError> {
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
            json: arguments.json,
        })
    }

    /// Sends a request, and passes on the answer line by line until it ends. An error status is an
    /// `Err`.
    fn request(
        &self,
        call: ApiRequest<'_>,
        line: &mut dyn FnMut(&str) -> Result<(), CommandError>,
    ) -> Result<(), CommandError> {
        let mut uri = format!("{}/v1{}", self.base, call.path);
        for (position, (name, value)) in call.query.iter().enumerate() {
            uri.push(if position == 0 { '?' } else { '&' });
            uri = format!("{uri}{name}={}", utf8_percent_encode(value, PLAIN));
        }
        let mut request = http::Request::builder().method(call.method).uri(&uri);
        if let Some(token) = &self.token {
            request = request.header("authorization", format!("Bearer {}", **token));
        }
        for (name, value) in &call.headers {
            request = request.header(*name, value);
        }
        let answer = match call.body {
            ApiBody::Empty => self.send(request, ()),
            ApiBody::Bytes(kind, body) => self.send(request.header("content-type", kind), body),
            ApiBody::Stream(kind, body) => {
                let body = SendBody::from_owned_reader(body);
                self.send(request.header("content-type", kind), body)
            }
        }?;
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
            if read.map_err(|error| self.unreachable(&error))? == 0 {
                return Ok(());
            }
            line(&text)?;
        }
    }

    fn send(
        &self,
        request: http::request::Builder,
        body: impl AsSendBody,
    ) -> Result<http::Response<Body>, CommandError> {
        let request = request.body(body).map_err(|error| {
            CommandError::Usage(format!("the request could not be built: {error}"))
        })?;
        let answer = self.agent.run(request);
        answer.map_err(|error| match error {
            ureq::Error::Protocol(_) if self.base.starts_with("http:") => {
                CommandError::Unreachable(format!(
                    "the listener at {} does not answer in HTTP: {error}; if it speaks TLS, write `https://`",
                    self.base
                ))
            }
            error => self.unreachable(&error),
        })
    }

    fn unreachable(&self, error: &dyn std::fmt::Display) -> CommandError {
        CommandError::Unreachable(format!(
            "the gateway at {} does not answer: {error}; is it running with an `[admin]` section? `--url` or WINDLASS_ADMIN_URL selects another gateway",
            self.base
        ))
    }

    /// Sends a request, and returns the answer as JSON; null if it is empty.
    pub(crate) fn value(&self, call: ApiRequest<'_>) -> Result<Value, CommandError> {
        let mut text = String::new();
        self.request(call, &mut |line| {
            text.push_str(line);
            Ok(())
        })?;
        if text.trim().is_empty() {
            return Ok(Value::Null);
        }
        parse(&text)
    }

    /// Sends a request whose answer is a stream of JSON values, one a line.
    pub(crate) fn lines(
        &self,
        call: ApiRequest<'_>,
        each: &mut dyn FnMut(Value) -> Result<(), CommandError>,
    ) -> Result<(), CommandError> {
        self.request(call, &mut |line| each(parse(line)?))
    }

    /// Sends a request, and writes the text of the answer to standard output as it arrives.
    pub(crate) fn copy(&self, call: ApiRequest<'_>) -> Result<(), CommandError> {
        self.request(call, &mut |line| Ok(output::print_text(line)?))
    }

    /// Prints one object: a line for each of the parts that describe it.
    pub(crate) fn print(
        &self,
        answer: &Value,
        describe: impl FnOnce(&Value) -> Vec<(&'static str, String)>,
    ) -> Result<(), CommandError> {
        if self.json {
            return show::json(answer);
        }
        show::record(&describe(answer))
    }

    /// Prints a page of a list: its rows below a heading.
    pub(crate) fn print_page(
        &self,
        page: &Value,
        heading: &[&str],
        rows: impl IntoIterator<Item = Vec<String>>,
    ) -> Result<(), CommandError> {
        if self.json {
            return show::json(page);
        }
        show::table(heading, rows)?;
        if let Some(cursor) = at(page, "next_cursor").as_str() {
            eprint_line!("for more, add `--cursor {cursor}`");
        }
        Ok(())
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
