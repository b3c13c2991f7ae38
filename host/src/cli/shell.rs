//! Completions for shells, and the pages of the manual.

use std::error::Error;
use std::fs;
use std::io;
use std::path::PathBuf;
use std::process::ExitCode;

use clap::CommandFactory as _;
use clap_complete::Shell;

use crate::cli::Arguments;
use crate::cli::output::eprint_line;
use crate::error::Causes;

/// The options of `windlass completions`.
#[derive(Debug, clap::Args)]
pub(super) struct CompletionsArguments {
    /// The shell.
    shell: Shell,
}

/// The options of `windlass man`.
#[derive(Debug, clap::Args)]
pub(super) struct ManArguments {
    /// The folder to write the pages into: one for each command.
    #[arg(value_name = "FOLDER")]
    folder: PathBuf,
}

/// Prints the script that completes commands and options.
pub(super) fn completions(arguments: &CompletionsArguments) -> ExitCode {
    let mut command = Arguments::command();
    let name = command.get_name().to_owned();
    clap_complete::generate(arguments.shell, &mut command, name, &mut io::stdout());
    ExitCode::SUCCESS
}

/// Writes the pages of the manual.
pub(super) fn man(arguments: &ManArguments) -> ExitCode {
    match write_pages(arguments) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprint_line!("windlass: {}", Causes(&*error));
            ExitCode::FAILURE
        }
    }
}

fn write_pages(arguments: &ManArguments) -> Result<(), Box<dyn Error>> {
    let folder = &arguments.folder;
    let failed = |error: io::Error| format!("`{}` cannot be written: {error}", folder.display());
    fs::create_dir_all(folder).map_err(failed)?;
    clap_mangen::generate_to(Arguments::command(), folder).map_err(failed)?;
    Ok(())
}
