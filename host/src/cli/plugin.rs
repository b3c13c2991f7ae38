//! `windlass plugin`: makes, builds, runs and tests plugins.

mod dev;
mod distribute;
mod inspect;
mod test;

use std::error::Error;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::Subcommand;
use clap::builder::{PossibleValue, PossibleValuesParser, TypedValueParser};
use windlass_plugin_kits::{Language, Mode, Plugin};

use crate::error::Causes;

#[derive(Debug, Subcommand)]
pub(super) enum PluginCommand {
    /// Make a folder with a new plugin.
    New(New),
    /// Build a plugin to a component, with the tools of its language.
    Build(Folder),
    /// Run a plugin's cases, and the conformance kit.
    Test(test::Test),
    /// Push a component to an OCI registry, and print the lines for the configuration. The login is
    /// `WINDLASS_REGISTRY_USERNAME` and `WINDLASS_REGISTRY_PASSWORD`, or that of `docker login`.
    Push(distribute::Push),
    /// Pull a component from an OCI registry or a URL, check it, and print the lines for the
    /// configuration. The login is as for `push`.
    Pull(distribute::Pull),
    /// Run a gateway with the plugin, build it when its sources change, and print what it does.
    Dev(dev::DevArguments),
    /// Show what a component is, which grants it needs, and what it costs on this machine.
    Inspect(inspect::InspectArguments),
}

#[derive(Debug, clap::Args)]
pub(super) struct New {
    /// The language.
    #[arg(long, value_name = "LANGUAGE", value_parser = language())]
    lang: Language,
    /// The new folder. Its name is the plugin's: lower-case letters, digits and single hyphens.
    #[arg(value_name = "NAME")]
    folder: PathBuf,
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
        PluginCommand::Test(test) => return test::run(test),
        PluginCommand::New(new) => create(new),
        PluginCommand::Build(folder) => build(&folder.folder),
        PluginCommand::Push(push) => distribute::push(push),
        PluginCommand::Pull(pull) => distribute::pull(pull),
        PluginCommand::Dev(arguments) => return dev::run(arguments),
        PluginCommand::Inspect(arguments) => return inspect::run(arguments),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("windlass: {}", Causes(&*error));
            ExitCode::FAILURE
        }
    }
}

fn language() -> impl TypedValueParser<Value = Language> {
    let values = Language::ALL
        .map(|language| PossibleValue::new(language.word()).aliases(language.other_words()));
    PossibleValuesParser::new(values).try_map(|word| {
        let mut languages = Language::ALL.into_iter();
        languages
            .find(|language| word == language.word() || language.other_words().contains(&&*word))
            .ok_or("no kit for it")
    })
}

fn create(new: &New) -> Result<(), Box<dyn Error>> {
    let parent = new.folder.parent().unwrap_or(Path::new(""));
    let name = new.folder.file_name().unwrap_or_default();
    windlass_plugin_kits::create(parent, new.lang, &name.to_string_lossy())?;
    let folder = new.folder.display();
    let setup = new.lang.setup();
    let setup = setup.map_or_else(String::new, |command| format!("  {command}\n"));
    println!(
        "`{folder}` has a new plugin in {}. Next:\n\n  cd {folder}\n{setup}  windlass plugin build\n  windlass plugin test\n  \
         windlass plugin dev\n\n`README.md` has the lines for a gateway's configuration.",
        new.lang.title()
    );
    Ok(())
}

fn build(folder: &Path) -> Result<(), Box<dyn Error>> {
    let built = windlass_plugin_kits::build(&Plugin::open(folder)?, Mode::Release)?;
    let component = built
        .component
        .strip_prefix(".")
        .unwrap_or(&built.component);
    println!(
        "{} built in {:.1} s ({} KiB)",
        component.display(),
        built.took.as_secs_f64(),
        std::fs::metadata(&built.component)?.len().div_ceil(1024)
    );
    Ok(())
}
