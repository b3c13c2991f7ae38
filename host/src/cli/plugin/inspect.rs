//! `windlass plugin inspect`: prints what [`crate::plugin_inspect`] finds.

use std::path::PathBuf;
use std::process::ExitCode;

use crate::cli::BAD_CONFIG;
use crate::cli::output::{CLOSED, OutputError, eprint_line, print_text};
use crate::error::Causes;
use crate::plugin_inspect::{InspectionReport, InspectionRequest, inspect};

/// The options of `windlass plugin inspect`.
#[derive(Debug, clap::Args)]
pub(in crate::cli) struct InspectArguments {
    /// The component: a file that ends in `.wasm`.
    file: PathBuf,
    /// The settings to measure with, as a TOML table: `{ allow = ["blue"] }`. By default those of
    /// `cases.toml`, beside the component or in the folder above; without such a file, none.
    #[arg(long, value_name = "TABLE")]
    settings: Option<String>,
    /// Print JSON.
    #[arg(long)]
    json: bool,
}

/// Exit codes: 0 it loads, 1 it does not, 2 the file or the settings cannot be read.
pub(super) fn run(arguments: &InspectArguments) -> ExitCode {
    let request = InspectionRequest {
        file: &arguments.file,
        settings: arguments.settings.as_deref(),
    };
    let report = match inspect(&request) {
        Ok(report) => report,
        Err(error) => {
            eprint_line!("windlass: {}", Causes(&error));
            return ExitCode::from(BAD_CONFIG);
        }
    };
    match print_text(&text(&report, arguments.json)) {
        Ok(()) if report.loads() => ExitCode::SUCCESS,
        Ok(()) => ExitCode::FAILURE,
        Err(OutputError::Closed) => ExitCode::from(CLOSED),
        Err(error) => {
            eprint_line!("windlass: {error}");
            ExitCode::FAILURE
        }
    }
}

fn text(report: &InspectionReport, json: bool) -> String {
    if !json {
        return report.to_string();
    }
    match serde_json::to_string_pretty(report) {
        Ok(text) => text + "\n",
        Err(error) => format!("{{ \"error\": {:?} }}\n", error.to_string()),
    }
}
