//! Builds the first-party plugins for WebAssembly and puts the components into `OUT_DIR`.
//!
//! This runs Cargo inside of Cargo, so the inner build is isolated. It has its own target folder,
//! because the outer build locks the other one; the profile `plugin`; the lock file, unchanged; and
//! an environment with only the variables that Cargo needs to find its tools and the registry.
//! Flags and wrappers of the outer build (clippy, coverage, sanitizers) do not reach the plugins,
//! so every command produces the same components. Only `.cargo/rustc-wrapper` stays: it reports a
//! missing WebAssembly target, and keeps the machine's paths out of the components.

use std::env;
use std::error::Error;
use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

/// The folders under `plugins/`; the packages are `windlass-plugin-<name>`.
const PLUGINS: [&str; 8] = [
    "api-key",
    "usage-plan",
    "transform",
    "cors",
    "jwt",
    "sdk-metadata",
    "rate-limit",
    "authorizer",
];
const TARGET: &str = "wasm32-wasip2";
const PROFILE: &str = "plugin";

/// The environment variables that the inner Cargo gets.
const KEPT: [&str; 17] = [
    "PATH",
    "HOME",
    "CARGO_HOME",
    "RUSTUP_HOME",
    "RUSTUP_TOOLCHAIN",
    "RUSTUP_DIST_SERVER",
    "TMPDIR",
    "LANG",
    "LC_ALL",
    "SSL_CERT_FILE",
    "SSL_CERT_DIR",
    "SDKROOT",
    "DEVELOPER_DIR",
    "http_proxy",
    "https_proxy",
    "no_proxy",
    "all_proxy",
];

/// The same by prefix: variables that say how to reach the registry.
const KEPT_PREFIXES: [&str; 4] = [
    "CARGO_HTTP_",
    "CARGO_NET_",
    "CARGO_REGISTRIES_",
    "CARGO_SOURCE_",
];

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

fn run() -> Result<(), Box<dyn Error>> {
    let out = PathBuf::from(variable("OUT_DIR")?);
    let manifest = PathBuf::from(variable("CARGO_MANIFEST_DIR")?);
    let root = manifest
        .ancestors()
        .nth(2)
        .ok_or("this package is not in plugins/ of the workspace")?;
    let target = target_folder(&out);
    build(root, &target)?;
    for name in PLUGINS {
        let file = format!("windlass_plugin_{}.wasm", name.replace('-', "_"));
        let built = target.join(TARGET).join(PROFILE).join(file);
        fs::copy(&built, out.join(format!("{name}.wasm"))).map_err(|error| {
            format!(
                "the plugin `{name}` cannot be copied from {}: {error}",
                built.display()
            )
        })?;
    }
    watch(root);
    Ok(())
}

/// Rebuild if anything changes that goes into the components. This is printed last: Cargo repeats a
/// failed build in any case, and its error message should not be mixed with these lines.
fn watch(root: &Path) {
    for name in PLUGINS {
        for part in ["src", "Cargo.toml", "settings.schema.json"] {
            println!(
                "cargo::rerun-if-changed={}",
                root.join("plugins").join(name).join(part).display()
            );
        }
    }
    for part in [
        "plugin-sdk/src",
        "plugin-sdk/Cargo.toml",
        "wit",
        "Cargo.toml",
        "Cargo.lock",
    ] {
        println!("cargo::rerun-if-changed={}", root.join(part).display());
    }
    println!("cargo::rerun-if-changed=build.rs");
}

/// The folder `plugins` beside the folders of the outer profiles, so that all of them share one
/// build.
fn target_folder(out: &Path) -> PathBuf {
    out.ancestors()
        .find(|folder| folder.file_name().is_some_and(|name| name == "build"))
        .and_then(|build| build.ancestors().nth(2))
        .unwrap_or(out)
        .join("plugins")
}

fn build(root: &Path, target: &Path) -> Result<(), Box<dyn Error>> {
    let mut cargo = Command::new(variable("CARGO")?);
    cargo
        .current_dir(root)
        .args([
            "build",
            "--locked",
            "--target",
            TARGET,
            "--profile",
            PROFILE,
        ])
        .arg("--target-dir")
        .arg(target)
        .env_clear()
        .envs(kept_environment())
        .env("CARGO_BUILD_BUILD_DIR", target)
        .env("CARGO_ENCODED_RUSTFLAGS", "")
        .env("CARGO_INCREMENTAL", "0")
        .env("CARGO_TERM_COLOR", "never")
        .env("RUSTC_WORKSPACE_WRAPPER", "");
    if let Some(jobs) = env::var_os("NUM_JOBS") {
        cargo.arg("--jobs").arg(jobs);
    }
    for name in PLUGINS {
        cargo.args(["-p", &format!("windlass-plugin-{name}")]);
    }
    let answer = cargo.output()?;
    if answer.status.success() {
        return Ok(());
    }
    Err(format!(
        "the first-party plugins cannot be built ({}); their build says:\n\n{}",
        answer.status,
        String::from_utf8_lossy(&answer.stderr)
    )
    .into())
}

fn kept_environment() -> impl Iterator<Item = (OsString, OsString)> {
    env::vars_os().filter(|(name, _)| {
        name.to_str().is_some_and(|name| {
            KEPT.iter().any(|kept| kept.eq_ignore_ascii_case(name))
                || KEPT_PREFIXES.iter().any(|prefix| name.starts_with(prefix))
        })
    })
}

fn variable(name: &str) -> Result<OsString, String> {
    env::var_os(name).ok_or_else(|| format!("Cargo has not set {name}"))
}
