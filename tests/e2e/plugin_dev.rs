//! `windlass plugin dev`: builds, runs, reloads on save, and prints what the filter does.
//!
//! `cargo` is a script: it takes the ready component of `tests/guests/rust`, or fails if the source says so. The real
//! toolchains are in the CI step `kits`.

use std::fs;
use std::net::SocketAddr;
use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;
use std::process::Child;

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use tempfile::TempDir;
use windlass_tests::{Client, Finished, Lines, Request, Response, Upstream, command};

/// A filter that does what its settings say; its steps are in `tests/guests/rust`.
const ACTOR: &str = concat!(env!("OUT_DIR"), "/actor.wasm");

/// What the cases say first.
const CASES: &str = r#"
settings = { request = [{ header-text = ["request", "x-a"] }, { header-text = ["request", "authorization"] }, { log = ["info", "hello from the filter"] }, { set-header = ["request", "x-b", "made"] }], log = [{ log = ["info", "written at the end"] }] }
"#;

/// A plugin's folder, with a `cargo` of its own.
struct Folder(TempDir);

impl Folder {
    fn new() -> Self {
        let folder = Self(tempfile::tempdir().unwrap());
        folder.write("plugin.toml", "name = \"team\"\nlanguage = \"rust\"\n");
        folder.write("cases.toml", CASES);
        fs::create_dir(folder.path("src")).unwrap();
        folder.write("src/lib.rs", "// good\n");
        fs::create_dir(folder.path("bin")).unwrap();
        let cargo = format!(
            "#!/bin/sh\n\
             if grep -q broken src/lib.rs; then echo 'error: src/lib.rs:1 is broken' >&2; exit 101; fi\n\
             mkdir -p target/wasm32-wasip2/debug\n\
             cp {ACTOR} target/wasm32-wasip2/debug/team.wasm\n\
             echo \"{{\\\"reason\\\":\\\"compiler-artifact\\\",\\\"filenames\\\":[\\\"$PWD/target/wasm32-wasip2/debug/team.wasm\\\"]}}\"\n"
        );
        folder.write("bin/cargo", &cargo);
        let program = fs::Permissions::from_mode(0o755);
        fs::set_permissions(folder.path("bin/cargo"), program).unwrap();
        folder
    }

    fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    fn write(&self, name: &str, text: &str) {
        fs::write(self.path(name), text).unwrap();
    }

    fn start(&self, arguments: &[&str]) -> Dev {
        let path = format!(
            "{}:{}",
            self.path("bin").display(),
            std::env::var("PATH").unwrap()
        );
        let arguments = [&["plugin", "dev", "--port", "0"], arguments].concat();
        let mut child = command(arguments)
            .current_dir(self.0.path())
            .env("PATH", path)
            .spawn()
            .unwrap();
        Dev {
            output: Lines::of(child.stdout.take().unwrap()),
            errors: Lines::of(child.stderr.take().unwrap()),
            child,
        }
    }
}

/// The command. Dropping this value ends it.
struct Dev {
    child: Child,
    output: Lines,
    errors: Lines,
}

impl Dev {
    /// The address, once it serves.
    fn address(&self) -> SocketAddr {
        let line = self
            .output
            .wait_for_line(|line| line.contains("runs at http://"));
        let (_, rest) = line.split_once("http://").unwrap();
        rest.split(';').next().unwrap().parse().unwrap()
    }

    fn get(&self, path: &str) -> Response {
        let request = Request::get(path)
            .header("x-a", "one")
            .header("authorization", "Bearer hidden");
        Client::connect(self.address()).send(&request)
    }

    fn wait(&self, text: &str) {
        self.output.wait_for_line(|line| line.contains(text));
    }
}

impl Drop for Dev {
    fn drop(&mut self) {
        // The process may have ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn an_exchange_is_printed_with_calls_lines_and_edits_but_no_secret() {
    let folder = Folder::new();
    let dev = folder.start(&[]);
    let answer = dev.get("/orders?token=abc");
    assert_eq!(answer.status, 200);
    let echo: Value = serde_json::from_str(answer.text()).unwrap();
    assert_eq!(echo["fields"]["x-b"][0], "made");
    assert_eq!(echo["path"], "/orders?token=abc");
    dev.wait("request field `x-b`: none -> \"made\"");
    dev.wait("info: written at the end");
    let printed = dev.output.text();
    for part in [
        "GET /orders 200",
        "team on-request: next",
        "exchange.header-text(request, \"x-a\") = \"one\"",
        "exchange.header-text(request, \"authorization\") = (13 bytes)",
        "info: hello from the filter",
        "exchange.set-header(request, \"x-b\", \"made\") = ok",
    ] {
        assert!(printed.contains(part), "no {part} in\n{printed}");
    }
    for secret in ["hidden", "abc"] {
        assert!(!printed.contains(secret), "{secret} in\n{printed}");
    }
}

#[test]
fn a_save_is_built_and_reloaded_and_new_settings_need_no_build() {
    let folder = Folder::new();
    let dev = folder.start(&[]);
    assert_eq!(dev.get("/").status, 200);
    let refuse = "settings = { request = [{ respond = { status = 418, reason = \"tea\" } }] }\n";
    folder.write("cases.toml", refuse);
    let line = dev.output.wait_for_line(|line| line.contains("reloaded"));
    assert!(!line.contains("build"), "{line}");
    assert_eq!(dev.get("/").status, 418);
    dev.wait("GET / 418 tea by `team`");
    let before = dev.output.count();
    folder.write("src/lib.rs", "// better\n");
    let line = dev
        .output
        .wait_from(before, |line| line.contains("reloaded"));
    assert!(line.contains("after the save (build"), "{line}");
}

#[test]
fn a_build_that_fails_keeps_the_filter_and_shows_the_compilers_words() {
    let folder = Folder::new();
    let dev = folder.start(&[]);
    assert_eq!(dev.get("/").status, 200);
    folder.write("src/lib.rs", "// broken\n");
    dev.wait("the build failed");
    dev.wait("the filter from before stays in use");
    dev.errors
        .wait_for_line(|line| line.contains("src/lib.rs:1 is broken"));
    assert_eq!(dev.get("/").status, 200);
    // Settings that the filter rejects keep it, too.
    let before = dev.output.count();
    folder.write("src/lib.rs", "// good\n");
    dev.output
        .wait_from(before, |line| line.contains("reloaded"));
    let before = dev.output.count();
    folder.write(
        "cases.toml",
        "settings = { complaints = [[\"/when\", \"is odd\"]] }\n",
    );
    dev.output
        .wait_from(before, |line| line.contains("stays in use"));
    dev.errors.wait_for_line(|line| line.contains("is odd"));
    assert_eq!(dev.get("/").status, 200);
}

#[test]
fn it_starts_once_the_plugin_builds_and_its_settings_are_accepted() {
    let folder = Folder::new();
    folder.write("src/lib.rs", "// broken\n");
    folder.write(
        "cases.toml",
        "settings = { complaints = [[\"/when\", \"is odd\"]] }\n",
    );
    let dev = folder.start(&[]);
    dev.wait("the build failed");
    folder.write("src/lib.rs", "// good\n");
    dev.wait("waiting for a change");
    dev.errors.wait_for_line(|line| line.contains("is odd"));
    folder.write("cases.toml", "settings = {}\n");
    assert_eq!(dev.get("/").status, 200);
}

#[test]
fn a_trap_is_printed_with_its_stack_and_undone_edits() {
    let folder = Folder::new();
    let trap =
        "settings = { request = [{ set-header = [\"request\", \"x-b\", \"made\"] }, \"trap\"] }\n";
    folder.write("cases.toml", trap);
    let dev = folder.start(&[]);
    assert_eq!(dev.get("/").status, 500);
    dev.wait("request field `x-b`: none -> \"made\" (undone)");
    dev.wait("team on-request: failed: it trapped");
    dev.output
        .wait_for_line(|line| line.trim_start().starts_with("0: "));
}

#[test]
fn the_authors_own_configuration_and_endpoint_are_used() {
    let upstream = Upstream::echo();
    let folder = Folder::new();
    folder.write(
        "dev.toml",
        "[filter.team]\nplugin = \"build/team.wasm\"\nsettings = { request = [{ set-path = \"/other\" }] }\n",
    );
    let url = format!("http://{}", upstream.address());
    let dev = folder.start(&["--upstream", &url]);
    assert_eq!(dev.get("/one").status, 200);
    assert_eq!(upstream.received()[0].target, "/other");
    folder.write("dev.toml", "[filter.team]\nplugins = 1\n");
    dev.errors.wait_for_line(|line| line.contains("dev.toml:2"));
    dev.wait("stays in use");
}

#[test]
fn ctrl_c_ends_it() {
    let folder = Folder::new();
    let mut dev = folder.start(&[]);
    assert_eq!(dev.get("/").status, 200);
    kill_process(Pid::from_child(&dev.child), Signal::INT).unwrap();
    assert_eq!(dev.child.wait().unwrap().code(), Some(0));
}

#[test]
fn a_folder_without_a_plugin_is_an_error_with_a_cure() {
    let folder = tempfile::tempdir().unwrap();
    let done = Finished::of(&["plugin", "dev", folder.path().to_str().unwrap()], None);
    assert_eq!(done.code, Some(1));
    assert!(
        done.errors.contains("windlass plugin new"),
        "{}",
        done.errors
    );
    let wrong = Finished::of(&["plugin", "dev", "--upstream", "localhost:1"], None);
    assert_eq!(wrong.code, Some(2));
    assert!(
        wrong.errors.contains("write it as `http://127.0.0.1:3000`"),
        "{}",
        wrong.errors
    );
}
