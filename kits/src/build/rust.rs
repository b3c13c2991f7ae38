//! Rust: `cargo build` for `wasm32-wasip2`, whose linker writes a component.

use std::fs;
use std::path::PathBuf;
use std::process::Command;

use super::{BuildError, Mode};
use crate::Plugin;

const TARGET: &str = "wasm32-wasip2";

pub(super) fn build(plugin: &Plugin, mode: Mode) -> Result<Option<PathBuf>, BuildError> {
    let mut cargo = Command::new("cargo");
    cargo
        .args(["build", "--target", TARGET])
        .current_dir(plugin.folder());
    let profile = match mode {
        Mode::Release => {
            cargo.arg("--release");
            "release"
        }
        Mode::Dev => "debug",
    };
    let status = cargo.status().map_err(|error| match error.kind() {
        std::io::ErrorKind::NotFound => BuildError::ToolMissing {
            tool: "cargo",
            install: "https://rustup.rs",
        },
        _ => BuildError::Run("cargo", error),
    })?;
    if !status.success() {
        return Err(BuildError::ToolFailed("cargo build"));
    }
    let file = format!("{}.wasm", plugin.name().replace('-', "_"));
    let built = plugin
        .folder()
        .join("target")
        .join(TARGET)
        .join(profile)
        .join(file);
    let component = plugin.component();
    let folder = component.parent().unwrap_or(plugin.folder());
    fs::create_dir_all(folder)
        .and_then(|()| fs::copy(built, &component))
        .map_err(|error| BuildError::Write(component, error))?;
    Ok(None)
}
