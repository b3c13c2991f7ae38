//! Rust: `cargo build` for `wasm32-wasip2`, whose linker writes a component.

use std::env;
use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use serde::Deserialize;

use super::output;
use super::{BuildError, Mode};
use crate::Plugin;

const TARGET: &str = "wasm32-wasip2";

const CARGO_MISSING: BuildError = BuildError::ToolMissing {
    tool: "cargo",
    install: "curl --proto '=https' --tlsv1.2 -sSf https://sh.rustup.rs | sh",
};

const TARGET_MISSING: BuildError = BuildError::ToolMissing {
    tool: "the Rust target wasm32-wasip2",
    install: "rustup target add wasm32-wasip2",
};

pub(super) fn build(plugin: &Plugin, mode: Mode) -> Result<Option<PathBuf>, BuildError> {
    if !plugin.component().exists() && !has_target(plugin.folder()) {
        return Err(TARGET_MISSING);
    }
    let built = cargo_build(plugin, mode)?;
    let component = fs::read(&built).map_err(|error| BuildError::Read(built, error))?;
    output::write_for(plugin, mode, &component)
}

/// Whether the target's standard library is installed. Without it, the compiler says that of every crate.
fn has_target(folder: &Path) -> bool {
    let printed = Command::new("rustc")
        .args(["--print", "target-libdir", "--target", TARGET])
        .current_dir(folder)
        .output();
    // If that cannot be asked, the build says why.
    let Ok(printed) = printed else { return true };
    let path = String::from_utf8_lossy(&printed.stdout);
    !printed.status.success() || Path::new(path.trim()).exists()
}

/// Runs Cargo. Returns the component that it wrote.
fn cargo_build(plugin: &Plugin, mode: Mode) -> Result<PathBuf, BuildError> {
    let mut cargo = Command::new("cargo");
    cargo
        .args([
            "build",
            "--target",
            TARGET,
            "--message-format",
            "json-render-diagnostics",
        ])
        .current_dir(plugin.folder())
        .stderr(Stdio::inherit());
    if mode == Mode::Release {
        cargo.arg("--release");
    }
    hide_paths(&mut cargo, plugin.folder());
    let done = cargo.output().map_err(|error| match error.kind() {
        std::io::ErrorKind::NotFound => CARGO_MISSING,
        _ => BuildError::Run("cargo", error),
    })?;
    if !done.status.success() {
        return Err(match has_target(plugin.folder()) {
            true => BuildError::ToolFailed("cargo build"),
            false => TARGET_MISSING,
        });
    }
    let messages = String::from_utf8_lossy(&done.stdout);
    let component = messages.lines().rev().find_map(component_of);
    component.ok_or(BuildError::ToolFailed("cargo build"))
}

/// Keeps the paths of this machine out of the component: of the plugin's folder, of crates, and of the toolchain.
/// Otherwise panic messages and debug lines have them, and the same sources make another component elsewhere.
fn hide_paths(cargo: &mut Command, folder: &Path) {
    let mut prefixes = vec![(absolute(folder), "")];
    let home = |variable: &str, below: &str| {
        env::var_os(variable)
            .map(PathBuf::from)
            .or_else(|| Some(env::home_dir()?.join(below)))
    };
    prefixes.extend(home("CARGO_HOME", ".cargo").map(|home| (home.join("registry/src"), "crates")));
    prefixes.extend(home("CARGO_HOME", ".cargo").map(|home| (home.join("git"), "git")));
    prefixes.extend(home("RUSTUP_HOME", ".rustup").map(|home| (home.join("toolchains"), "rust")));
    let flags: Vec<_> = prefixes
        .iter()
        .map(|(prefix, name)| {
            format!(
                "--remap-path-prefix={}/={name}{}",
                prefix.display(),
                if name.is_empty() { "" } else { "/" }
            )
        })
        .collect();
    // Flags in the environment hide those of the configuration.
    match env::var_os("RUSTFLAGS") {
        Some(set) => {
            let mut set: OsString = set;
            set.push(" ");
            set.push(flags.join(" "));
            cargo.env("RUSTFLAGS", set);
        }
        None => {
            cargo
                .arg("--config")
                .arg(format!("target.{TARGET}.rustflags={flags:?}"));
        }
    }
}

fn absolute(folder: &Path) -> PathBuf {
    folder.canonicalize().unwrap_or_else(|_| folder.to_owned())
}

/// A message of Cargo, of which only those about files matter here.
#[derive(Deserialize)]
struct Message {
    reason: String,
    #[serde(default)]
    filenames: Vec<PathBuf>,
}

/// The component in a line of Cargo's messages. The plugin's own comes last, because it needs all others.
fn component_of(line: &str) -> Option<PathBuf> {
    let message: Message = serde_json::from_str(line).ok()?;
    let mut files = message.filenames.into_iter();
    let component = files.find(|file| {
        file.extension()
            .is_some_and(|extension| extension == "wasm")
    });
    component.filter(|_| message.reason == "compiler-artifact")
}
