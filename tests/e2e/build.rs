//! The first seconds of a build. A missing WebAssembly target is installed, or the error says how to install it, and
//! the binary contains no path of the build machine. The tests run `.cargo/rustc-wrapper` with fake `rustc` and
//! `rustup` on the `PATH`.

use std::fs;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use tempfile::TempDir;

/// A folder to build in, whose `PATH` has the wrapper, the fakes, and nothing else.
struct Workspace {
    folder: TempDir,
}

impl Workspace {
    fn new() -> Self {
        let folder = tempfile::tempdir().expect("a folder");
        let workspace = Self { folder };
        fs::create_dir(workspace.path(".cargo")).expect("a folder");
        fs::create_dir(workspace.path("bin")).expect("a folder");
        let wrapper = Path::new(env!("CARGO_MANIFEST_DIR")).join("../.cargo/rustc-wrapper");
        fs::copy(wrapper, workspace.path(".cargo/rustc-wrapper")).expect("the wrapper");
        for tool in ["dirname", "mkdir", "touch"] {
            let found = ["/usr/bin", "/bin"]
                .map(|folder| Path::new(folder).join(tool))
                .into_iter()
                .find(|path| path.exists())
                .expect("one of the tools of every system");
            symlink(found, workspace.path("bin").join(tool)).expect("a link");
        }
        let rustc = format!(
            "case $2 in target-libdir) echo '{}' ;; sysroot) echo /the/sysroot ;; *) echo \"rustc $*\" ;; esac",
            workspace.path("target-libdir").display()
        );
        workspace.program("rustc", &rustc);
        workspace
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn program(&self, name: &str, script: &str) {
        let path = self.path("bin").join(name);
        fs::write(&path, format!("#!/bin/sh\n{script}\n")).expect("a script");
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).expect("its mode");
    }

    fn rustc(&self, arguments: &[&str]) -> Output {
        Command::new(self.path(".cargo/rustc-wrapper"))
            .arg("rustc")
            .args(arguments)
            .env_clear()
            .env("PATH", self.path("bin"))
            .env("HOME", self.path("home"))
            .output()
            .expect("the wrapper to run")
    }
}

fn output(output: &Output) -> (bool, String, String) {
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).trim().to_owned();
    (
        output.status.success(),
        text(&output.stdout),
        text(&output.stderr),
    )
}

#[test]
fn a_build_with_the_target_asks_rustup_nothing() {
    let workspace = Workspace::new();
    fs::create_dir(workspace.path("target-libdir")).unwrap();
    workspace.program("rustup", "echo called >&2; exit 1");
    let answer = output(&workspace.rustc(&["-vV"]));
    assert_eq!(answer, (true, "rustc -vV".to_owned(), String::new()));
}

#[test]
fn a_missing_target_is_added_before_anything_is_compiled() {
    let workspace = Workspace::new();
    let rustup = format!(
        "echo \"rustup $*\"; mkdir '{}'",
        workspace.path("target-libdir").display()
    );
    workspace.program("rustup", &rustup);
    let answer = output(&workspace.rustc(&["-vV"]));
    let told = "rustup target add wasm32-wasip2".to_owned();
    assert_eq!(answer, (true, "rustc -vV".to_owned(), told));
}

#[test]
fn without_rustup_a_missing_target_is_told_before_anything_is_compiled() {
    let workspace = Workspace::new();
    let (success, out, error) = output(&workspace.rustc(&["-vV"]));
    assert!(!success);
    assert_eq!(out, "");
    assert!(
        error.contains("/the/sysroot has no `wasm32-wasip2`"),
        "{error}"
    );
    assert!(error.contains("help: install it with"), "{error}");
}

#[test]
fn a_target_that_rustup_cannot_add_is_told_with_its_words() {
    let workspace = Workspace::new();
    workspace.program("rustup", "echo 'no network' >&2; exit 1");
    let (success, _, error) = output(&workspace.rustc(&["-vV"]));
    assert!(!success);
    assert!(error.starts_with("no network\n"), "{error}");
    assert!(
        error.contains("help: run `rustup target add wasm32-wasip2`"),
        "{error}"
    );
}

#[test]
fn a_rustup_of_another_rust_is_told() {
    let workspace = Workspace::new();
    workspace.program("rustup", "exit 0");
    let (success, _, error) = output(&workspace.rustc(&["-vV"]));
    assert!(!success);
    assert!(
        error.contains("this build uses another one: /the/sysroot"),
        "{error}"
    );
}

#[test]
fn only_release_builds_lose_the_paths_of_the_machine() {
    let workspace = Workspace::new();
    let (_, debug, _) = output(&workspace.rustc(&["--crate-name", "a", "-C", "opt-level=2"]));
    assert_eq!(debug, "rustc --crate-name a -C opt-level=2");
    let (_, release, _) = output(&workspace.rustc(&["--crate-name", "a", "-C", "opt-level=3"]));
    let root = workspace.folder.path().display();
    assert_eq!(
        release,
        format!(
            "rustc --crate-name a -C opt-level=3 --remap-path-prefix {root}=. \
             --remap-path-prefix {root}/home/.cargo=/cargo"
        )
    );
}
