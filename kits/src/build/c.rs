//! C: bindings by `wit-bindgen-c`, a core module by clang, a component by `wit-component`.

use std::env;
use std::ffi::OsString;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use wit_bindgen_c::Opts;

use super::component::World;
use super::{BuildError, Mode, output};
use crate::Plugin;

/// Debian's names of clang, newest first, after the plain one.
const CLANGS: [&str; 11] = [
    "clang", "clang-23", "clang-22", "clang-21", "clang-20", "clang-19", "clang-18", "clang-17",
    "clang-16", "clang-15", "clang-14",
];

const TARGET: &str = "--target=wasm32-wasi";

/// The packages of Debian and Ubuntu. A wasi-sdk has all of it too.
const INSTALL: &str = "apt-get install clang lld libclang-rt-dev-wasm32 wasi-libc; or set WASI_SDK_PATH to the folder of a wasi-sdk";

pub(super) fn build(plugin: &Plugin, mode: Mode) -> Result<Option<PathBuf>, BuildError> {
    let world = World::read(plugin)?;
    let bindings = plugin.folder().join("build/bindings");
    world.bind(Opts::default().build().as_mut(), &bindings)?;
    let module = compile(plugin, mode)?;
    let component = world.component(&module)?;
    output::write_for(plugin, mode, &component)
}

/// Compiles all C files in `src/`, in `sdk/` and of the bindings to one module.
fn compile(plugin: &Plugin, mode: Mode) -> Result<Vec<u8>, BuildError> {
    let clang = clang().ok_or(BuildError::ToolMissing {
        tool: "clang",
        install: INSTALL,
    })?;
    let module = plugin.folder().join("build/module.wasm");
    let mut command = Command::new(&clang);
    command
        .current_dir(plugin.folder())
        .args([
            TARGET,
            "-mexec-model=reactor",
            "-std=c17",
            "-Wall",
            "-Wextra",
            "-g",
        ])
        .args([
            "-ffile-prefix-map=./=",
            "-fdebug-compilation-dir=.",
            "-Isdk",
            "-Ibuild/bindings",
        ])
        // The stack comes first in memory, so that an overflow traps instead of overwriting globals.
        .args(["-Wl,--stack-first", "-Wl,-z,stack-size=65536"])
        .args(match mode {
            Mode::Release => &["-O2", "-flto"],
            Mode::Dev => ["-O0"].as_slice(),
        })
        .args(["-o", "build/module.wasm"]);
    for (folder, extension) in [
        ("src", "c"),
        ("sdk", "c"),
        ("build/bindings", "c"),
        // The world's types, which make a component of the module.
        ("build/bindings", "o"),
    ] {
        command.args(sources(plugin.folder(), folder, extension)?);
    }
    let status = command
        .status()
        .map_err(|error| BuildError::Run("clang", error))?;
    if !status.success() {
        missing_part(&clang)?;
        return Err(BuildError::ToolFailed("clang"));
    }
    let bytes = fs::read(&module).map_err(|error| BuildError::Read(module.clone(), error))?;
    // It is in the way of nobody, so a failure here is none.
    let _ = fs::remove_file(module);
    Ok(bytes)
}

/// The files of a folder in order, as paths in the plugin's folder: so no other path gets into the component.
fn sources(plugin: &Path, folder: &str, extension: &str) -> Result<Vec<PathBuf>, BuildError> {
    let path = plugin.join(folder);
    let unreadable = |error| BuildError::Read(path.clone(), error);
    let mut files = Vec::new();
    let entries = match fs::read_dir(&path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(files),
        entries => entries.map_err(unreadable)?,
    };
    for entry in entries {
        let file = PathBuf::from(entry.map_err(unreadable)?.file_name());
        if file.extension().is_some_and(|its| its == extension) {
            files.push(Path::new(folder).join(file));
        }
    }
    files.sort();
    Ok(files)
}

/// The first clang: of `CC`, of `WASI_SDK_PATH`, then in `PATH`.
fn clang() -> Option<OsString> {
    let chosen = env::var_os("CC");
    let of_wasi_sdk =
        env::var_os("WASI_SDK_PATH").map(|sdk| Path::new(&sdk).join("bin/clang").into_os_string());
    let in_path = CLANGS.into_iter().map(OsString::from);
    chosen
        .into_iter()
        .chain(of_wasi_sdk)
        .chain(in_path)
        .find(|clang| printed(clang, "--version").is_some_and(|version| version.contains("clang")))
}

/// After a failure: says which part of the toolchain is missing, if one is.
fn missing_part(clang: &OsString) -> Result<(), BuildError> {
    let is_file = |question| {
        // A part that clang does not find is printed without a folder, or with one where it is not.
        printed(clang, question).is_none_or(|place| Path::new(place.trim()).is_file())
    };
    let tool = if !links(clang) {
        "wasm-ld (clang's linker for WebAssembly)"
    } else if !is_file("-print-file-name=libc.a") {
        "wasi-libc"
    } else if !is_file("-print-libgcc-file-name") {
        "libclang-rt-dev-wasm32 (clang's run-time library)"
    } else {
        return Ok(());
    };
    Err(BuildError::ToolMissing {
        tool,
        install: INSTALL,
    })
}

/// Whether clang finds its linker: whether it links nothing to a module.
fn links(clang: &OsString) -> bool {
    let mut command = Command::new(clang);
    command
        .args([
            TARGET,
            "-nostdlib",
            "-Wl,--no-entry",
            "-x",
            "c",
            "/dev/null",
            "-o",
            "/dev/null",
        ])
        .stderr(Stdio::null());
    command.status().is_ok_and(|status| status.success())
}

fn printed(clang: &OsString, question: &str) -> Option<String> {
    let output = Command::new(clang).args([TARGET, question]).output().ok()?;
    String::from_utf8(output.stdout).ok()
}
