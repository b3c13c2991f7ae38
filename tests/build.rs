//! Builds the Rust guests of the tests for WebAssembly and puts the components into `OUT_DIR`.
//!
//! It runs Cargo inside of Cargo, by the rules of `plugins/embed/build.rs`, and in the target
//! folder of the first-party plugins, so that the SDK is compiled once for both. `actor.wasm` is
//! `tests/guests/rust`, a filter that does what its settings say; three others are its examples.
//! `handler.wasm` is `tests/guests/handler`, a component on `wasi:http`.

use std::env;
use std::error::Error;
use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

const TARGET: &str = "wasm32-wasip2";
const PROFILE: &str = "plugin";

/// The guests to build, and the names under which the tests find them.
const GUESTS: [(&str, &str); 5] = [
    ("windlass_test_handler.wasm", "handler.wasm"),
    ("windlass_test_guest.wasm", "actor.wasm"),
    ("examples/headstrong.wasm", "headstrong.wasm"),
    ("examples/require_tenant.wasm", "require_tenant.wasm"),
    ("examples/starter.wasm", "starter.wasm"),
];

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
        .parent()
        .ok_or("this package is not in tests/ of the workspace")?;
    let target = target_folder(&out);
    build(root, &target)?;
    for (built, name) in GUESTS {
        let built = target.join(TARGET).join(PROFILE).join(built);
        fs::copy(&built, out.join(name)).map_err(|error| {
            format!(
                "the guest `{name}` cannot be copied from {}: {error}",
                built.display()
            )
        })?;
    }
    watch(root);
    Ok(())
}

/// Rebuild if anything changes that goes into the components.
fn watch(root: &Path) {
    for part in [
        "tests/guests/rust/src",
        "tests/guests/rust/examples",
        "tests/guests/rust/Cargo.toml",
        "kits/templates/rust",
        "tests/guests/handler/src",
        "tests/guests/handler/Cargo.toml",
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

/// The folder `plugins` beside the folders of the outer profiles, as for the first-party plugins.
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
        .args(["build", "--locked", "--lib", "--examples"])
        .args(["-p", "windlass-test-guest", "-p", "windlass-test-handler"])
        .args(["--target", TARGET, "--profile", PROFILE])
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
    let answer = cargo.output()?;
    if answer.status.success() {
        return Ok(());
    }
    Err(format!(
        "the guests of the tests cannot be built ({}); their build says:\n\n{}",
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
