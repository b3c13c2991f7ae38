//! `windlass plugin push` and `pull` with a real registry, and gateways that run what they pushed.

use std::path::Path;

use tempfile::TempDir;
use windlass_tests::{Finished, Gateway, RegistryServer, command, sha256};

use crate::wire::Authority;

const ACTOR: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/actor.wasm"));

/// `windlass plugin ...`, in a folder, with a login if the registry wants one.
fn plugin(folder: &Path, arguments: &[&str], password: Option<&str>) -> Finished {
    let mut plugin = command(["plugin"]);
    plugin
        .args(arguments)
        .current_dir(folder)
        .env("DOCKER_CONFIG", "docker");
    if let Some(password) = password {
        plugin
            .env("WINDLASS_REGISTRY_USERNAME", "ops")
            .env("WINDLASS_REGISTRY_PASSWORD", password);
    }
    Finished::of_command(&mut plugin, "")
}

fn folder() -> TempDir {
    let folder = TempDir::new().unwrap();
    std::fs::write(folder.path().join("actor.wasm"), ACTOR).unwrap();
    folder
}

/// The `plugin = ".."` that a command printed.
fn line(finished: &Finished) -> &str {
    assert_eq!(finished.code, Some(0), "{}", finished.errors);
    let mut lines = finished.output.lines();
    lines
        .find(|line| line.starts_with("plugin = "))
        .expect("the line to paste")
}

fn config(line: &str, more: &str) -> String {
    format!(
        "[[route]]\npath = \"$default\"\nfilters = [\"act\"]\nrespond = {{ body = \"x\" }}\n\
         [filter.act]\n{line}\nsettings = {{ response = [{{ set-header = [\"response\", \"x-acted\", \"1\"] }}] }}\n\
         [plugins]\ncache = \"kept\"\n{more}\n"
    )
}

#[test]
#[ignore = "needs docker-registry: apt-get install docker-registry"]
fn what_is_pushed_runs_by_the_printed_line_and_comes_back() {
    let registry = RegistryServer::open();
    let folder = folder();
    let reference = format!("oci://{}/team/act:1.0.0", registry.address());
    let pushed = plugin(folder.path(), &["push", "actor.wasm", &reference], None);
    let line = line(&pushed).to_owned();
    assert!(
        line.starts_with(&format!("plugin = \"{reference}@sha256:")),
        "{line}"
    );

    let gateway = Gateway::with_config(config(&line, "")).start();
    assert_eq!(gateway.get("/").header("x-acted"), Some("1"));

    let pulled = plugin(folder.path(), &["pull", &reference], None);
    assert_eq!(self::line(&pulled), line, "the tag has that digest");
    assert_eq!(
        std::fs::read(folder.path().join("act.wasm")).unwrap(),
        ACTOR
    );

    let again = plugin(folder.path(), &["push", "actor.wasm", &reference], None);
    assert_eq!(
        self::line(&again),
        line,
        "the same file has the same digest"
    );
    let pinned = line.trim_start_matches("plugin = ").trim_matches('"');
    let pulled = plugin(folder.path(), &["pull", pinned, "--output", "b.wasm"], None);
    assert_eq!(self::line(&pulled), line);
    assert_eq!(std::fs::read(folder.path().join("b.wasm")).unwrap(), ACTOR);
}

#[test]
#[ignore = "needs docker-registry: apt-get install docker-registry"]
fn a_private_registry_is_reached_by_its_own_authority_and_login() {
    let authority = Authority::new();
    let identity = authority.issue(&["localhost"]);
    let registry = RegistryServer::private(&identity.certificate, &identity.key);
    let host = format!("localhost:{}", registry.address().port());
    let folder = folder();
    std::fs::write(folder.path().join("ca.pem"), &authority.pem).unwrap();
    let reference = format!("oci://{host}/team/act:1.0.0");
    let push = ["push", "actor.wasm", &reference, "--ca", "ca.pem"];

    let wrong = plugin(folder.path(), &push, Some("wr0ng"));
    assert_eq!(wrong.code, Some(1));
    assert!(
        wrong.errors.contains("answered with status 401"),
        "{}",
        wrong.errors
    );
    assert!(!wrong.errors.contains("wr0ng"), "{}", wrong.errors);
    let pushed = plugin(folder.path(), &push, Some("s3cr3t"));
    let line = line(&pushed);

    let section = |ca: &str| {
        format!(
            "[[plugins.registry]]\nhost = \"{host}\"\n{ca}username = \"ops\"\npassword = \"registry\"\n\
             [secret.registry]\nenv = \"PASSWORD\"\n"
        )
    };
    let gateway = |ca: &str| {
        Gateway::with_config(config(line, &section(ca)))
            .file("ca.pem", &authority.pem)
            .env("PASSWORD", "s3cr3t")
    };
    let started = gateway("ca = \"ca.pem\"\n").start();
    assert_eq!(started.get("/").header("x-acted"), Some("1"));
    assert!(!started.log().text().contains("s3cr3t"));
    // Without `ca`, a registry on this machine is asked without TLS, and this one wants it.
    let checked = gateway("").check();
    assert_eq!(checked.code, Some(2), "{}", checked.errors);
}

#[test]
#[ignore = "needs docker-registry: apt-get install docker-registry"]
fn what_cannot_be_pushed_or_pulled_is_an_error() {
    let registry = RegistryServer::open();
    let folder = folder();
    std::fs::write(folder.path().join("junk.wasm"), "junk").unwrap();
    let name = format!("oci://{}/team/act", registry.address());
    let tagged = format!("{name}:1");
    let pinned = format!("{name}@sha256:{}", sha256(b"x"));
    for (arguments, says) in [
        (&["push", "junk.wasm", &tagged][..], "is not WebAssembly"),
        (&["push", "none.wasm", &tagged], "cannot be read"),
        (
            &["push", "actor.wasm", &name],
            "has neither a tag nor a digest",
        ),
        (&["push", "actor.wasm", &pinned], "write only a tag"),
        (
            &["push", "actor.wasm", "team/act:1"],
            "does not begin with `oci://`",
        ),
        (&["pull", &tagged], "answered with status 404"),
        (&["pull", &pinned], "answered with status 404"),
        (
            &["pull", &tagged, "--output", "none/x.wasm"],
            "answered with status 404",
        ),
    ] {
        let finished = plugin(folder.path(), arguments, None);
        assert_eq!(finished.code, Some(1), "{arguments:?}");
        assert!(
            finished.errors.contains(says),
            "{arguments:?}: {}",
            finished.errors
        );
        assert_eq!(finished.output, "", "{arguments:?}");
    }
}
