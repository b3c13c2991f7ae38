//! Python: `componentize-py`, which runs the plugin's modules once and stores the interpreter's memory.

mod quick;

use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde::Deserialize;

use super::output;
use super::{Artifacts, BuildError, Mode};
use crate::{Plugin, contract};

const TOOL: &str = "componentize-py";

const INSTALL: &str = "python3 -m venv .venv && .venv/bin/pip install componentize-py==0.25.1 (in the plugin's folder)";

/// The options of the build, in `pyproject.toml`.
const OPTIONS: &str = "pyproject.toml";

/// A folder that the build writes, and that Python finds modules in.
const MADE: &str = "build/python";

pub(super) fn build(plugin: &Plugin, mode: Mode) -> Result<Artifacts, BuildError> {
    contract::complete(&plugin.folder().join("wit"))
        .map_err(|(path, error)| BuildError::Contract(path, error))?;
    let options = Options::read(plugin)?;
    options.tell_kit(plugin)?;
    if mode == Mode::Dev
        && let Some(built) = quick::build(plugin, &options)?
    {
        return Ok(Artifacts {
            debug: Some(built.component),
            document: Some(built.document),
        });
    }
    let component = componentize(plugin, &options, &["-d", "wit"], "app")?;
    Ok(output::write_for(plugin, mode, &component)?.into())
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
struct Options {
    /// Whether the component is without imports of `wasi:`.
    stub_wasi: bool,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Project {
    tool: Tools,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Tools {
    windlass: Options,
}

impl Options {
    fn read(plugin: &Plugin) -> Result<Self, BuildError> {
        let file = plugin.folder().join(OPTIONS);
        let text = match fs::read_to_string(&file) {
            Ok(text) => text,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => String::new(),
            Err(error) => return Err(BuildError::Read(file, error)),
        };
        let project: Project =
            toml::from_str(&text).map_err(|error| BuildError::Options(file, error.to_string()))?;
        Ok(project.tool.windlass)
    }

    /// The kit's own module learns here how the component is built.
    fn tell_kit(&self, plugin: &Plugin) -> Result<(), BuildError> {
        let stub_wasi = if self.stub_wasi { "True" } else { "False" };
        let text = format!("STUB_WASI = {stub_wasi}\n");
        let file = plugin.folder().join(MADE).join("windlass_build.py");
        output::replace(&file, text.as_bytes())
    }
}

/// Makes a component of a module, for the world that these options name.
fn componentize(
    plugin: &Plugin,
    options: &Options,
    world: &[&str],
    module: &str,
) -> Result<Vec<u8>, BuildError> {
    let folder = plugin.folder();
    let mut command = Command::new(tool(folder));
    // The kit tells the plugin's own modules from others by the order of the folders.
    command
        .current_dir(folder)
        // The traceback in Python is what the author needs, not the tool's own.
        .env("RUST_BACKTRACE", "0")
        .arg("--quiet")
        .args(world)
        .args(["componentize", module])
        .args([
            "-p",
            ".",
            "-p",
            "sdk",
            "-p",
            MADE,
            "-o",
            "build/component.wasm",
        ]);
    if folder.join(".venv").is_dir() {
        command.env("VIRTUAL_ENV", ".venv");
    }
    if options.stub_wasi {
        command.arg("--stub-wasi");
    }
    let status = command.status().map_err(|error| match error.kind() {
        std::io::ErrorKind::NotFound => BuildError::ToolMissing {
            tool: TOOL,
            install: INSTALL,
        },
        _ => BuildError::Run(TOOL, error),
    })?;
    if !status.success() {
        return Err(BuildError::ToolFailed(TOOL));
    }
    let built = folder.join("build/component.wasm");
    let component = fs::read(&built).map_err(|error| BuildError::Read(built.clone(), error))?;
    // It is in the way of nobody, so a failure here is none.
    let _ = fs::remove_file(built);
    Ok(component)
}

/// The tool of the plugin's own environment, else the one in `PATH`.
fn tool(folder: &Path) -> OsString {
    let own = folder.join(".venv/bin").join(TOOL);
    match own.canonicalize() {
        // A link to the program would lose its environment.
        Ok(_) => absolute(&own).into_os_string(),
        Err(_) => TOOL.into(),
    }
}

/// The program is started from within the plugin's folder.
fn absolute(path: &Path) -> PathBuf {
    std::path::absolute(path).unwrap_or_else(|_| path.to_owned())
}
