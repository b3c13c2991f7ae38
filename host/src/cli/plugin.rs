//! `windlass plugin`: makes, builds, runs and tests plugins.

use std::error::Error;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::Subcommand;
use windlass_plugin_kits::{Language, Mode, Plugin};

use crate::error::Causes;

#[derive(Debug, Subcommand)]
pub(super) enum PluginCommand {
    /// Make a folder with a new plugin.
    New(New),
    /// Build a plugin to a component, with the tools of its language.
    Build(Folder),
}

#[derive(Debug, clap::Args)]
pub(super) struct New {
    /// The language.
    #[arg(long, value_name = "LANGUAGE", value_parser = language)]
    lang: Language,
    /// The plugin's name, which is the folder's too: lower case, with hyphens.
    name: String,
}

/// The argument that names a plugin's folder.
#[derive(Debug, clap::Args)]
pub(super) struct Folder {
    /// The plugin's folder.
    #[arg(default_value = ".", value_name = "FOLDER")]
    folder: PathBuf,
}

pub(super) fn run(command: &PluginCommand) -> ExitCode {
    let done = match command {
        PluginCommand::New(new) => create(new),
        PluginCommand::Build(folder) => build(&folder.folder),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("windlass: {}", Causes(&*error));
            ExitCode::FAILURE
        }
    }
}

fn language(word: &str) -> Result<Language, String> {
    Language::of(word).ok_or_else(|| {
        let words = Language::ALL.map(Language::word).join(", ");
        format!("no kit for it; one of {words}")
    })
}

fn create(new: &New) -> Result<(), Box<dyn Error>> {
    let folder = windlass_plugin_kits::create(Path::new("."), new.lang, &new.name)?;
    println!(
        "{} made; next: cd {}; windlass plugin build",
        folder.display(),
        new.name
    );
    Ok(())
}

fn build(folder: &Path) -> Result<(), Box<dyn Error>> {
    let built = windlass_plugin_kits::build(&Plugin::open(folder)?, Mode::Release)?;
    println!(
        "{} built in {:.1} s",
        built.component.display(),
        built.took.as_secs_f64()
    );
    Ok(())
}
