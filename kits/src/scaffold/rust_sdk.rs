//! The crate `windlass-plugin-sdk` inside of a plugin's folder: sources, contract, and a manifest that needs no
//! workspace. With it comes a `Cargo.lock`, so that a new plugin is built with the versions that Windlass is tested with.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

use include_dir::{Dir, include_dir};
use toml::{Table, Value};

use super::CreateError;
use super::template::make_dir;
use crate::{Language, contract::CONTRACT};

static SOURCES: Dir<'_> = include_dir!("$CARGO_MANIFEST_DIR/../plugin-sdk/src");
const MANIFEST: &str = include_str!("../../../plugin-sdk/Cargo.toml");
const README: &str = include_str!("../../../plugin-sdk/README.md");
const LICENSE: &str = include_str!("../../../LICENSE");
const WORKSPACE: &str = include_str!("../../../Cargo.toml");
const LOCK: &str = include_str!("../../../Cargo.lock");

const SDK: &str = "windlass-plugin-sdk";

pub(super) fn write(folder: &Path, name: &str) -> Result<(), CreateError> {
    let manifest = manifest().map_err(faulty)?;
    let lock = lock(name, &manifest).map_err(faulty)?;
    let sdk = make_dir(folder, "sdk")?;
    extract(&SOURCES, &make_dir(&sdk, "src")?)?;
    extract(&CONTRACT, &make_dir(&sdk, "wit")?)?;
    let manifest = format!("# Written by `windlass plugin new`.\n\n{manifest}");
    for (file, text) in [
        (sdk.join("Cargo.toml"), manifest.as_str()),
        (sdk.join("README.md"), README),
        (sdk.join("LICENSE"), LICENSE),
        (folder.join("Cargo.lock"), &lock),
    ] {
        fs::write(&file, text).map_err(|error| CreateError::Write(file, error))?;
    }
    Ok(())
}

fn extract(dir: &Dir<'_>, folder: &Path) -> Result<(), CreateError> {
    dir.extract(folder)
        .map_err(|error| CreateError::Write(folder.to_owned(), error))
}

fn faulty(reason: String) -> CreateError {
    CreateError::Kit {
        language: Language::Rust.title(),
        reason,
    }
}

/// The SDK's manifest without its tests and examples, and with the values that it has from the workspace.
fn manifest() -> Result<Table, String> {
    let mut manifest: Table = parse("plugin-sdk/Cargo.toml", MANIFEST)?;
    let workspace: Table = parse("Cargo.toml", WORKSPACE)?;
    for tests in ["dev-dependencies", "example", "test", "bench", "lints"] {
        manifest.remove(tests);
    }
    let inherited = workspace
        .get("workspace")
        .and_then(|workspace| workspace.get("package"))
        .ok_or("no [workspace.package]")?;
    let package = manifest
        .get_mut("package")
        .and_then(Value::as_table_mut)
        .ok_or("no [package] in plugin-sdk/Cargo.toml")?;
    for (key, value) in package.iter_mut() {
        if value.get("workspace").is_some() {
            let inherited = inherited.get(key);
            *value = inherited
                .ok_or_else(|| format!("no `{key}` in [workspace.package]"))?
                .clone();
        }
    }
    Ok(manifest)
}

/// The packages of the workspace's lock file that a plugin on the SDK needs.
fn lock(name: &str, sdk: &Table) -> Result<String, String> {
    let lock: Lock = toml::from_str(LOCK).map_err(|error| format!("Cargo.lock: {error}"))?;
    let direct = dependencies(sdk);
    let mut packages = vec![Locked {
        name: name.to_owned(),
        version: "0.1.0".to_owned(),
        dependencies: vec!["serde".to_owned(), SDK.to_owned()],
        ..Locked::default()
    }];
    let mut seen = BTreeSet::new();
    let mut wanted = vec![SDK.to_owned()];
    while let Some(reference) = wanted.pop() {
        if !seen.insert(reference.clone()) {
            continue;
        }
        let mut package = lock.find(&reference)?.clone();
        if package.name == SDK {
            // Its other dependencies are those of its tests.
            package
                .dependencies
                .retain(|reference| direct.contains(first_word(reference)));
        }
        wanted.extend(package.dependencies.iter().cloned());
        packages.push(package);
    }
    Ok(written(packages))
}

/// The names of a manifest's dependencies, also of those for some targets only.
fn dependencies(manifest: &Table) -> BTreeSet<&str> {
    let targets = manifest.get("target").and_then(Value::as_table);
    let targets = targets.into_iter().flat_map(Table::values);
    let tables = targets.map(|target| target.get("dependencies"));
    let tables = tables.chain([manifest.get("dependencies")]).flatten();
    let tables = tables.filter_map(Value::as_table);
    tables.flat_map(Table::keys).map(String::as_str).collect()
}

#[derive(serde::Deserialize)]
struct Lock {
    package: Vec<Locked>,
}

#[derive(Clone, Default, serde::Deserialize)]
struct Locked {
    name: String,
    version: String,
    source: Option<String>,
    checksum: Option<String>,
    #[serde(default)]
    dependencies: Vec<String>,
}

impl Lock {
    /// A reference is a name, or a name and a version.
    fn find(&self, reference: &str) -> Result<&Locked, String> {
        let mut words = reference.split(' ');
        let (name, version) = (words.next(), words.next());
        let mut packages = self.package.iter();
        packages
            .find(|package| {
                Some(package.name.as_str()) == name
                    && version.is_none_or(|version| package.version == version)
            })
            .ok_or_else(|| format!("no `{reference}` in Cargo.lock"))
    }
}

/// The packages in Cargo's own form.
fn written(mut packages: Vec<Locked>) -> String {
    use std::fmt::Write as _;

    let mut versions = BTreeMap::new();
    for package in &packages {
        *versions.entry(package.name.clone()).or_insert(0) += 1;
    }
    packages.sort_by(|a, b| (&a.name, &a.version).cmp(&(&b.name, &b.version)));
    let mut text = "# This file is automatically @generated by Cargo.\n# It is not intended for manual editing.\nversion = 4\n".to_owned();
    for package in packages {
        let _ = write!(
            text,
            "\n[[package]]\nname = \"{}\"\nversion = \"{}\"\n",
            package.name, package.version
        );
        for (key, value) in [("source", package.source), ("checksum", package.checksum)] {
            if let Some(value) = value {
                let _ = writeln!(text, "{key} = \"{value}\"");
            }
        }
        if package.dependencies.is_empty() {
            continue;
        }
        text.push_str("dependencies = [\n");
        for reference in &package.dependencies {
            // A version is said only where there are several.
            let name = first_word(reference);
            let reference = if versions.get(name) == Some(&1) {
                name
            } else {
                reference
            };
            let _ = writeln!(text, " \"{reference}\",");
        }
        text.push_str("]\n");
    }
    text
}

fn first_word(reference: &str) -> &str {
    reference.split(' ').next().unwrap_or_default()
}

fn parse(file: &str, text: &str) -> Result<Table, String> {
    text.parse().map_err(|error| format!("{file}: {error}"))
}
