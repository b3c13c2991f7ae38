//! `windlass plugin new` and `windlass plugin build`. `.ci/kits.py` builds and runs a plugin in each language.

use std::fs;
use std::path::Path;

use windlass_tests::{Finished, command};

/// Runs `windlass plugin` in a folder.
fn plugin(folder: &Path, arguments: &[&str]) -> Finished {
    let mut command = command(["plugin"]);
    command.args(arguments).current_dir(folder);
    finished(command)
}

fn finished(mut command: std::process::Command) -> Finished {
    let output = command.output().expect("the program starts");
    Finished {
        code: output.status.code(),
        output: String::from_utf8_lossy(&output.stdout).into_owned(),
        errors: String::from_utf8_lossy(&output.stderr).into_owned(),
    }
}

#[test]
fn a_new_plugin_comes_with_the_commands_that_follow() {
    let folder = tempfile::tempdir().unwrap();
    let made = plugin(folder.path(), &["new", "--lang", "c", "team-check"]);
    assert_eq!(made.code, Some(0), "{}", made.errors);
    for line in [
        "cd team-check",
        "windlass plugin build",
        "windlass plugin test",
    ] {
        assert!(made.output.contains(line), "{}", made.output);
    }
    assert!(folder.path().join("team-check/plugin.toml").is_file());
}

#[test]
fn a_plugin_can_be_made_in_another_folder_by_the_whole_name_of_its_language() {
    let folder = tempfile::tempdir().unwrap();
    fs::create_dir(folder.path().join("plugins")).unwrap();
    let made = plugin(
        folder.path(),
        &["new", "--lang", "javascript", "plugins/team-check"],
    );
    assert_eq!(made.code, Some(0), "{}", made.errors);
    let manifest = fs::read_to_string(folder.path().join("plugins/team-check/plugin.toml"));
    assert!(manifest.unwrap().contains(r#"language = "js""#));
}

#[test]
fn an_unknown_language_is_refused_with_those_that_there_are() {
    let folder = tempfile::tempdir().unwrap();
    let made = plugin(folder.path(), &["new", "--lang", "java", "team-check"]);
    assert_eq!(made.code, Some(2));
    assert!(
        made.errors.contains("rust, js, ts, python, go, c"),
        "{}",
        made.errors
    );
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
}

#[test]
fn a_bad_name_is_refused_with_a_good_one() {
    let folder = tempfile::tempdir().unwrap();
    let made = plugin(folder.path(), &["new", "--lang", "go", "TeamCheck"]);
    assert_eq!(made.code, Some(1));
    assert!(made.errors.contains("`team-check`"), "{}", made.errors);
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 0);
}

#[test]
fn a_build_outside_of_a_plugin_s_folder_says_how_to_make_one() {
    let folder = tempfile::tempdir().unwrap();
    let built = plugin(folder.path(), &["build"]);
    assert_eq!(built.code, Some(1));
    assert!(
        built.errors.contains("windlass plugin new"),
        "{}",
        built.errors
    );
}

#[test]
fn a_missing_tool_is_named_with_the_command_that_installs_it() {
    let folder = tempfile::tempdir().unwrap();
    for (language, tool, install) in [
        ("rust", "`cargo` is missing", "rustup.rs"),
        ("c", "`clang` is missing", "apt-get install clang lld"),
    ] {
        let name = format!("in-{language}");
        let made = plugin(folder.path(), &["new", "--lang", language, &name]);
        assert_eq!(made.code, Some(0), "{}", made.errors);
        let mut build = command(["plugin", "build", &name]);
        build
            .current_dir(folder.path())
            .env("PATH", folder.path())
            .env_remove("CC")
            .env_remove("WASI_SDK_PATH");
        let built = finished(build);
        assert_eq!(built.code, Some(1));
        assert!(built.errors.contains(tool), "{}", built.errors);
        assert!(built.errors.contains(install), "{}", built.errors);
    }
}

#[test]
fn a_faulty_world_is_shown_with_its_file() {
    let folder = tempfile::tempdir().unwrap();
    plugin(folder.path(), &["new", "--lang", "c", "team-check"]);
    let world = folder.path().join("team-check/wit/world.wit");
    fs::write(
        &world,
        "package local:plugin;\nworld plugin { import windlass:host/logs@0.1.0; }\n",
    )
    .unwrap();
    let built = plugin(&folder.path().join("team-check"), &["build"]);
    assert_eq!(built.code, Some(1));
    assert!(
        built.errors.contains("world.wit") && built.errors.contains("logs"),
        "{}",
        built.errors
    );
}
