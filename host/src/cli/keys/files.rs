//! `windlass keys import` and `windlass keys export`: keys as files.

use std::fs;
use std::io::{IsTerminal as _, Read as _};
use std::path::PathBuf;

use indicatif::{ProgressBar, ProgressStyle};
use serde_json::Value;

use crate::cli::admin_client::{self, AdminClient, ApiRequest, CommandError, at};
use crate::cli::output::eprint_line;
use crate::cli::store;

/// The arguments of `windlass keys import`.
#[derive(Debug, clap::Args)]
pub(super) struct KeyImportArguments {
    /// The file; `-` for standard input.
    file: PathBuf,
    /// Refuse the whole file if one row is invalid.
    #[arg(long)]
    fail_on_warnings: bool,
}

/// The arguments of `windlass keys export`.
#[derive(Debug, Clone, clap::Args)]
pub(super) struct KeyExportArguments {
    /// Write comma-separated values instead of JSON.
    #[arg(long)]
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
    no_digests: bool,
}

impl KeyImportArguments {
    pub(super) fn run(&self, remote: &AdminClient, json: bool) -> Result<(), CommandError> {
        let cannot = |error| {
            let file = self.file.display();
            CommandError::Usage(format!("`{file}` could not be read: {error}"))
        };
        let file = if self.file.as_os_str() == "-" {
            let mut bytes = Vec::new();
            std::io::stdin().read_to_end(&mut bytes).map_err(cannot)?;
            bytes
        } else {
            fs::read(&self.file).map_err(cannot)?
        };
        if let Some(lines) = store::convert_key_export(&file) {
            let lines = Box::new(std::io::Cursor::new(lines?));
            return store::send(remote, lines, false, false, json);
        }
        let call = ApiRequest {
            query: vec![("fail_on_warnings", self.fail_on_warnings.to_string())],
            headers: vec![("accept", "application/x-ndjson".to_owned())],
            body: Some(("text/csv", file)),
            ..ApiRequest::default()
        };
        let bar = bar();
        let mut last = Value::Null;
        let printed = remote.lines("POST", "/v1/keys/import", call, &mut |line| {
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
        if let Some(status) = at(&last, "status").as_u64() {
            return Err(CommandError::Problem(
                u16::try_from(status).unwrap_or(500),
                last,
            ));
        }
        let Some(ids) = at(&last, "ids").as_array() else {
            return Err(CommandError::Unreachable(
                "the answer was cut short; `windlass keys list` shows which keys were imported"
                    .to_owned(),
            ));
        };
        let left_out = at(&last, "left_out").as_u64().unwrap_or(0);
        if json {
            admin_client::json(&last)?;
        } else {
            eprint_line!("imported {} keys; {left_out} rows were left out", ids.len());
            let warnings = at(&last, "warnings").as_array();
            let warnings = warnings.map(Vec::as_slice).unwrap_or_default();
            admin_client::report_warnings(warnings.iter());
            if left_out > warnings.len() as u64 {
                eprint_line!("  and {} more", left_out - warnings.len() as u64);
            }
        }
        if left_out > 0 {
            return Err(CommandError::PartlyDone);
        }
        Ok(())
    }
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
        let mut call = ApiRequest::default();
        let format = if self.csv { "csv" } else { "json" };
        call.query.push(("format", format.to_owned()));
        let digests = !self.csv && !self.no_digests;
        if digests {
            call.query.push(("digests", "true".to_owned()));
        }
        for (name, value) in [
            ("consumer", &self.consumer),
            ("plan", &self.plan),
            ("prefix", &self.prefix),
        ] {
            call.query.extend(value.clone().map(|value| (name, value)));
        }
        match remote.copy("GET", "/v1/keys/export", call) {
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
