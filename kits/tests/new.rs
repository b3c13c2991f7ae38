//! What `windlass plugin new` writes.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "tests fail by panicking"
)]

use std::fs;
use std::path::{Path, PathBuf};

use windlass_plugin_kits::{CreateError, Language, Plugin, create};

/// The files below a folder.
fn files(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        match path.is_dir() {
            true => found.extend(files(&path)),
            false => found.push(path),
        }
    }
    found
}

#[test]
fn every_language_has_a_whole_folder_with_the_plugin_s_name() {
    let parent = tempfile::tempdir().unwrap();
    for language in Language::ALL {
        let name = format!("check-{}", language.word());
        let folder = create(parent.path(), language, &name).unwrap();
        let plugin = Plugin::open(&folder).unwrap();
        assert_eq!(
            (plugin.name(), plugin.language()),
            (name.as_str(), language)
        );
        for file in ["plugin.toml", "cases.toml", "README.md", ".gitignore"] {
            assert!(folder.join(file).is_file(), "{language:?} lacks {file}");
        }
        let readme = fs::read_to_string(folder.join("README.md")).unwrap();
        assert!(readme.contains(&format!("plugin   = \"{name}/build/{name}.wasm\"")));
        for file in files(&folder) {
            let text = fs::read_to_string(&file).unwrap_or_default();
            for placeholder in ["{{name}}", "{{snake}}", "{{pascal}}", "{{language}}"] {
                assert!(
                    !text.contains(placeholder),
                    "{placeholder} in {}",
                    file.display()
                );
            }
        }
    }
}

#[test]
fn all_but_rust_have_a_world_of_their_own_and_the_packages_that_it_names() {
    let parent = tempfile::tempdir().unwrap();
    for language in Language::ALL {
        let folder = create(parent.path(), language, &format!("x-{}", language.word())).unwrap();
        let wit = folder.join("wit");
        if language == Language::Rust {
            assert!(!wit.exists());
            assert!(folder.join("sdk/wit/worlds.wit").is_file());
            continue;
        }
        assert!(wit.join("world.wit").is_file());
        let mut packages: Vec<_> = fs::read_dir(wit.join("deps")).unwrap().collect();
        packages.sort_by_key(|entry| entry.as_ref().unwrap().file_name());
        let packages: Vec<_> = packages
            .into_iter()
            .map(|entry| entry.unwrap().file_name())
            .collect();
        assert_eq!(
            packages,
            ["windlass-filter", "windlass-host"],
            "{language:?}"
        );
    }
}

#[test]
fn the_sdk_s_manifest_needs_no_workspace_and_the_lock_file_has_every_package() {
    let parent = tempfile::tempdir().unwrap();
    let folder = create(parent.path(), Language::Rust, "team-check").unwrap();
    let manifest = fs::read_to_string(folder.join("sdk/Cargo.toml")).unwrap();
    let manifest: toml::Table = manifest.parse().unwrap();
    assert_eq!(manifest["package"]["edition"].as_str(), Some("2024"));
    assert!(!toml::to_string(&manifest).unwrap().contains("workspace"));
    assert!(!manifest.contains_key("dev-dependencies"));
    let lock: toml::Table = fs::read_to_string(folder.join("Cargo.lock"))
        .unwrap()
        .parse()
        .unwrap();
    let packages = lock["package"].as_array().unwrap();
    let names: Vec<_> = packages
        .iter()
        .map(|package| package["name"].as_str().unwrap())
        .collect();
    for name in [
        "team-check",
        "windlass-plugin-sdk",
        "serde_json",
        "wit-bindgen",
    ] {
        assert!(names.contains(&name), "the lock file lacks {name}");
    }
    for package in packages {
        let none = Vec::new();
        let references = package
            .get("dependencies")
            .map_or(&none, |list| list.as_array().unwrap());
        for reference in references {
            let name = reference.as_str().unwrap().split(' ').next().unwrap();
            assert!(names.contains(&name), "the lock file lacks {name}");
        }
    }
}

#[test]
fn a_folder_that_is_there_stays_as_it_is() {
    let parent = tempfile::tempdir().unwrap();
    fs::create_dir(parent.path().join("mine")).unwrap();
    fs::write(parent.path().join("mine/work.c"), "work").unwrap();
    let error = create(parent.path(), Language::C, "mine").unwrap_err();
    assert!(matches!(error, CreateError::Exists(_)), "{error}");
    assert_eq!(fs::read_dir(parent.path().join("mine")).unwrap().count(), 1);
}

#[test]
fn a_parent_that_is_missing_or_no_folder_is_said() {
    let parent = tempfile::tempdir().unwrap();
    let error = create(&parent.path().join("none"), Language::C, "a").unwrap_err();
    assert!(matches!(error, CreateError::NoParent(_)), "{error}");
    fs::write(parent.path().join("file"), "").unwrap();
    let error = create(&parent.path().join("file"), Language::C, "a").unwrap_err();
    assert!(matches!(error, CreateError::Write(..)), "{error}");
}
