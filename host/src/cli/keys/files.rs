//! `windlass keys import` and `windlass keys export`: keys as files.

use std::io::{IsTerminal as _, Read as _};
use std::path::PathBuf;

use indicatif::{ProgressBar, ProgressStyle};
use serde::Serialize;
use serde_json::{Value, json};

use crate::cli::admin_client::{self, AdminClient, ApiBody, ApiRequest, CommandError, at, each};
use crate::cli::output::eprint_line;
use crate::cli::store;

/// The arguments of `windlass keys import`.
#[derive(Debug, clap::Args, Serialize)]
pub(crate) struct KeyImportArguments {
    /// The file; `-` for standard input.
    #[serde(skip)]
    file: PathBuf,
    /// Refuse the whole file if one row is invalid.
    #[arg(long)]
    fail_on_warnings: bool,
}

/// The arguments of `windlass keys export`.
#[derive(Debug, Clone, clap::Args, Serialize)]
pub(crate) struct KeyExportArguments {
    /// Write comma-separated values instead of JSON.
    #[arg(long)]
    #[serde(skip)]
    csv: bool,
    /// Only keys of this consumer.
    #[arg(long)]
    consumer: Option<String>,
    /// Only keys on this plan.
    #[arg(long)]
    plan: Option<String>,
    /// Only keys whose name or id begins with this text.
    #[arg(long)]
    prefix: Option<String>,
    /// Without digests.
    #[arg(long, conflicts_with = "csv")]
    #[serde(skip)]
    no_digests: bool,
}

impl KeyImportArguments {
    pub(super) fn run(&self, remote: &AdminClient) -> Result<(), CommandError> {
        let mut file = Vec::new();
        let read = store::open(&self.file)?.read_to_end(&mut file);
        read.map_err(|error| store::read_error(&self.file, &error))?;
        if let Some(lines) = store::convert_key_export(&file) {
            let lines = Box::new(std::io::Cursor::new(lines?));
            let options = json!({ "dry_run": false, "replace": false });
            return store::send(remote, lines, &options);
        }
        let call = ApiRequest::new("POST", &["keys", "import"])
            .query(self)
            .header("accept", "application/x-ndjson")
            .body(ApiBody::Bytes("text/csv", file));
        let bar = bar();
        let mut last = Value::Null;
        let printed = remote.lines(call, &mut |line| {
            match (at(&line, "done").as_u64(), at(&line, "of").as_u64()) {
                (Some(done), Some(of)) => {
                    bar.set_length(of);
                    bar.set_position(done);
                }
                (Some(_), None) | (None, _) => last = line,
            }
            Ok(())
        });
        bar.finish_and_clear();
        printed?;
        report(remote, last)
    }
}

/// Prints the report of an import, the last line of the answer.
fn report(remote: &AdminClient, report: Value) -> Result<(), CommandError> {
    if let Some(status) = at(&report, "status").as_u64() {
        let status = u16::try_from(status).unwrap_or(500);
        return Err(CommandError::Problem(status, report));
    }
    let Some(ids) = at(&report, "ids").as_array() else {
        return Err(CommandError::Unreachable(
            "the answer was cut short; `windlass keys list` shows which keys were imported"
                .to_owned(),
        ));
    };
    let left_out = at(&report, "left_out").as_u64().unwrap_or(0);
    if remote.json {
        admin_client::json(&report)?;
    } else {
        eprint_line!("imported {} keys; {left_out} rows were left out", ids.len());
        admin_client::report_warnings(&report);
        let shown = each(&report, "warnings").count() as u64;
        if left_out > shown {
            eprint_line!("  and {} more", left_out - shown);
        }
    }
    if left_out > 0 {
        return Err(CommandError::PartlyDone);
    }
    Ok(())
}

/// A progress bar, which only a terminal shows.
fn bar() -> ProgressBar {
    if !std::io::stderr().is_terminal() {
        return ProgressBar::hidden();
    }
    let bar = ProgressBar::new(0);
    let style =
        ProgressStyle::with_template("{bar:40} {human_pos} of {human_len} keys, {eta} left");
    match style {
        Ok(style) => bar.with_style(style),
        Err(_) => bar,
    }
}

impl KeyExportArguments {
    pub(super) fn run(&self, remote: &AdminClient) -> Result<(), CommandError> {
        let format = if self.csv { "csv" } else { "json" };
        let digests = !self.csv && !self.no_digests;
        let call = ApiRequest::new("GET", &["keys", "export"]).query(self);
        let call = call.query(&json!({ "format": format, "digests": digests.then_some(true) }));
        match remote.copy(call) {
            // A token that may only read gets everything but the digests.
            Err(CommandError::Problem(403, _)) if digests => {
                eprint_line!(
                    "the token may only read, so the export has no digests and no store can import it"
                );
                let without = Self {
                    no_digests: true,
                    ..self.clone()
                };
                without.run(remote)
            }
            done => done,
        }
    }
}
