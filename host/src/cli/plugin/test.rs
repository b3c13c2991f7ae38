//! `windlass plugin test`: finds the component and its cases, runs them, and prints the report.
//!
//! Exit codes: 0 nothing failed; 1 a case or a check failed; 2 nothing could be tested.

use std::error::Error;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::SystemTime;

use windlass_plugin_kits::{Mode, Plugin};

use crate::cli::BAD_CONFIG;
use crate::cli::output::print_text;
use crate::config::{PluginCases, PluginSource};
use crate::error::Causes;
use crate::model::name::is_name;
use crate::plugin_test::{self, TestPlan, TestScope, report};

/// Folders with files that a build writes or downloads, beside hidden ones.
const NOT_SOURCES: [&str; 4] = ["build", "target", "node_modules", "__pycache__"];

#[derive(Debug, clap::Args)]
pub(in crate::cli) struct Test {
    /// A component, a plugin's folder, which is built first if its component is missing or older
    /// than a source, or `builtin:<name>`, a plugin that comes with the gateway.
    #[arg(default_value = ".", value_name = "PLUGIN")]
    plugin: PathBuf,
    /// The cases. Default: `cases.toml` in the plugin's folder, beside the component, or here.
    #[arg(value_name = "CASES.toml")]
    cases: Option<PathBuf>,
    /// Run only the cases and checks whose names contain this text.
    #[arg(long, value_name = "TEXT")]
    filter: Option<String>,
    /// Run the cases, and not the conformance kit.
    #[arg(long, conflicts_with = "conformance")]
    cases_only: bool,
    /// Run the conformance kit, and of the cases only the one that it starts from.
    #[arg(long)]
    conformance: bool,
    /// Also write the results to a file, in the XML format that CI systems read.
    #[arg(long, value_name = "FILE")]
    junit: Option<PathBuf>,
    /// Print the results as TAP 14 in place of the report.
    #[arg(long)]
    tap: bool,
}

/// The plugin to test, its name, and the file with its cases if there is one.
struct Found {
    plugin: PluginSource,
    name: String,
    cases: Option<PathBuf>,
}

pub(super) fn run(test: &Test) -> ExitCode {
    match run_found(test) {
        Ok(code) => code,
        Err(error) => {
            eprintln!("windlass: {}", Causes(&*error));
            ExitCode::from(BAD_CONFIG)
        }
    }
}

fn run_found(test: &Test) -> Result<ExitCode, Box<dyn Error>> {
    let builtin = test
        .plugin
        .to_str()
        .and_then(|text| text.strip_prefix("builtin:"));
    let found = match builtin {
        Some(name) => builtin_plugin(name),
        None if test.plugin.is_dir() => in_folder(&test.plugin)?,
        None => beside(&test.plugin),
    };
    let cases = match test.cases.as_ref().or(found.cases.as_ref()) {
        Some(path) => PluginCases::read(path),
        None => PluginCases::none(),
    };
    let cases = match cases {
        Ok(cases) => cases,
        Err(problems) => {
            eprint!("{problems}");
            return Ok(ExitCode::from(BAD_CONFIG));
        }
    };
    let plan = TestPlan {
        plugin: &found.plugin,
        name: &found.name,
        cases: &cases,
        filter: test.filter.as_deref(),
        scope: match (test.cases_only, test.conformance) {
            (true, _) => TestScope::Cases,
            (_, true) => TestScope::Conformance,
            (false, false) => TestScope::All,
        },
    };
    let results = plugin_test::run(&plan)?;
    if let Some(file) = &test.junit {
        let written = fs::write(file, report::junit(&results, &found.name));
        written.map_err(|error| format!("`{}` cannot be written: {error}", file.display()))?;
    }
    if results.results.is_empty() {
        return Err(match &test.filter {
            Some(text) => format!("no case and no check has `{text}` in its name"),
            None => "there is no case: write one in `cases.toml`".to_owned(),
        }
        .into());
    }
    let text = match test.tap {
        true => report::tap(&results),
        false => report::text(&results),
    };
    print_text(&text).map_err(|error| error.to_string())?;
    Ok(match results.failed() {
        0 => ExitCode::SUCCESS,
        _ => ExitCode::FAILURE,
    })
}

/// The component of a plugin's folder, built if that is needed.
fn in_folder(folder: &Path) -> Result<Found, Box<dyn Error>> {
    let plugin = Plugin::open(folder)?;
    let component = plugin.component();
    let built = modified(&component);
    let source = newest_source(folder)
        .map_err(|error| format!("`{}` cannot be read: {error}", folder.display()))?;
    if built.is_none_or(|built| source.is_some_and(|source| source > built)) {
        let built = windlass_plugin_kits::build(&plugin, Mode::Release)?;
        eprintln!(
            "{} built in {:.1} s",
            built.component.display(),
            built.took.as_secs_f64()
        );
    }
    // The same code, and backtraces with lines.
    let debug = plugin.debug_component();
    let is_current = modified(&debug).is_some_and(|debug| Some(debug) >= source);
    Ok(Found {
        plugin: PluginSource::File(if is_current { debug } else { component }),
        name: plugin.name().to_owned(),
        cases: Some(plugin.cases()).filter(|cases| cases.exists()),
    })
}

/// A plugin that comes with the gateway, with the cases in this folder.
fn builtin_plugin(name: &str) -> Found {
    Found {
        plugin: PluginSource::Builtin(name.to_owned()),
        name: match is_name(name) {
            true => name.to_owned(),
            false => "plugin".to_owned(),
        },
        cases: Some(PathBuf::from("cases.toml")).filter(|cases| cases.exists()),
    }
}

/// A component by itself, with the cases beside it, or beside the folder `build` that it is in.
fn beside(component: &Path) -> Found {
    let stem = component.file_stem().and_then(|stem| stem.to_str());
    let name = stem.unwrap_or_default().replace('.', "-");
    let folder = component.parent().unwrap_or(Path::new(""));
    let is_built = folder.file_name().is_some_and(|name| name == "build");
    let above = folder.parent().filter(|_| is_built);
    let mut places = [Some(folder), above].into_iter().flatten();
    Found {
        plugin: PluginSource::File(component.to_path_buf()),
        name: match is_name(&name) {
            true => name,
            false => "plugin".to_owned(),
        },
        cases: places
            .find(|place| place.join("cases.toml").exists())
            .map(|place| place.join("cases.toml")),
    }
}

fn modified(file: &Path) -> Option<SystemTime> {
    fs::metadata(file).and_then(|known| known.modified()).ok()
}

/// When the newest file was written that a build may read.
fn newest_source(folder: &Path) -> io::Result<Option<SystemTime>> {
    let mut newest = None;
    for entry in fs::read_dir(folder)? {
        let entry = entry?;
        let (name, kind) = (entry.file_name(), entry.file_type()?);
        let name = name.to_string_lossy();
        let is_other = name.starts_with('.') || NOT_SOURCES.contains(&&*name);
        if is_other || name == "cases.toml" || name == "README.md" {
            continue;
        }
        let time = match kind.is_dir() {
            true => newest_source(&entry.path())?,
            false => modified(&entry.path()),
        };
        newest = newest.max(time);
    }
    Ok(newest)
}
