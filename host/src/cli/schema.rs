//! `windlass schema`: the JSON Schema of the configuration, for editors.

use std::path::PathBuf;
use std::process::ExitCode;

use super::output::{self, eprint_line};
use super::{BAD_CONFIG, run};
use crate::build::ProcessResources;
use crate::build::settings_schemas::builtin_schemas;
use crate::config::{Config, editor_schema};

#[derive(Debug, clap::Args)]
pub(super) struct SchemaArguments {
    /// A configuration: the settings of its plugins are in the schema, too. It may have errors.
    #[arg(short, long, value_name = "FILE")]
    config: Option<PathBuf>,
}

/// Prints the schema. A configuration's plugin that cannot be loaded is reported, and the rest is printed all the same:
/// an editor wants the schema while the file is wrong.
pub(super) fn print(arguments: &SchemaArguments) -> ExitCode {
    let mut schemas = builtin_schemas();
    let mut code = ExitCode::SUCCESS;
    if let Some(path) = &arguments.config {
        let (config, mut problems) = Config::read_anyway(path);
        let Some(config) = config else {
            eprint_line!("{problems}");
            return ExitCode::from(BAD_CONFIG);
        };
        // Errors of the file itself are what the editor is about to show.
        problems.retain(|_| false);
        match ProcessResources::without_store(&config, run::workers(&config)) {
            Ok(resources) => schemas.extend(resources.settings_schemas(&config, &mut problems)),
            Err(error) => {
                eprint_line!("windlass: {error}");
                return ExitCode::FAILURE;
            }
        }
        if problems.is_fatal() {
            code = ExitCode::from(BAD_CONFIG);
        }
        if !problems.is_empty() {
            eprint_line!("{problems}");
        }
    }
    match output::print_line(format_args!("{:#}", editor_schema(schemas))) {
        Ok(()) => code,
        Err(output::OutputError::Closed) => ExitCode::from(output::CLOSED),
        Err(error) => {
            eprint_line!("windlass: {error}");
            ExitCode::FAILURE
        }
    }
}
