//! The packages of the contract, and which of them a plugin's world needs.

use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use include_dir::{Dir, include_dir};

/// The packages that the gateway offers to plugins.
pub(crate) static CONTRACT: Dir<'_> = include_dir!("$CARGO_MANIFEST_DIR/../wit");

/// The folder of a package in a plugin's `wit/deps/`, and its files in the contract. `windlass:filter` is without its
/// worlds, which would need every other package.
const PACKAGES: &[(&str, &[&str])] = &[
    ("windlass-filter", &["filter.wit"]),
    (
        "windlass-host",
        &[
            "deps/windlass-host/exchange.wit",
            "deps/windlass-host/services.wit",
            "deps/windlass-host/types.wit",
        ],
    ),
    ("windlass-jwt", &["deps/windlass-jwt/jwt.wit"]),
    ("windlass-callout", &["deps/windlass-callout/callout.wit"]),
];

/// Writes those packages into `deps/` that the files in `wit` name and that are not there. What is there stays as it is.
///
/// # Errors
///
/// The file that cannot be read or written, and why.
pub(crate) fn complete(wit: &Path) -> Result<(), (PathBuf, io::Error)> {
    let mut needed = BTreeSet::new();
    for text in texts(wit)? {
        mark_named(&text, &mut needed);
    }
    // Packages name others, and those again others.
    for _ in PACKAGES {
        for package in needed.clone() {
            for file in files(package) {
                mark_named(file.1, &mut needed);
            }
        }
    }
    for package in needed {
        let folder = wit.join("deps").join(package);
        if folder.exists() {
            continue;
        }
        fs::create_dir_all(&folder).map_err(|error| (folder.clone(), error))?;
        for (name, text) in files(package) {
            let file = folder.join(name);
            fs::write(&file, text).map_err(|error| (file, error))?;
        }
    }
    Ok(())
}

/// The texts of the files right in the folder.
fn texts(wit: &Path) -> Result<Vec<String>, (PathBuf, io::Error)> {
    let mut texts = Vec::new();
    for entry in fs::read_dir(wit).map_err(|error| (wit.to_owned(), error))? {
        let path = entry.map_err(|error| (wit.to_owned(), error))?.path();
        if path.extension().is_some_and(|extension| extension == "wit") {
            texts.push(fs::read_to_string(&path).map_err(|error| (path, error))?);
        }
    }
    Ok(texts)
}

/// Adds the packages that a text of WIT names.
fn mark_named(text: &str, needed: &mut BTreeSet<&'static str>) {
    let code = text
        .lines()
        .map(|line| line.split("//").next().unwrap_or_default());
    for line in code {
        for (package, _) in PACKAGES {
            if line.contains(&format!("{}/", package.replacen('-', ":", 1))) {
                needed.insert(package);
            }
        }
    }
}

/// The names and the texts of a package's files.
fn files(package: &str) -> impl Iterator<Item = (&'static str, &'static str)> {
    let paths = PACKAGES.iter().find(|(name, _)| *name == package);
    let paths = paths.map_or(&[] as &[&str], |(_, paths)| paths);
    paths.iter().filter_map(|path| {
        let file = CONTRACT.get_file(path)?;
        Some((path.rsplit('/').next()?, file.contents_utf8()?))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn completed(world: &str) -> BTreeSet<String> {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("world.wit"), world).unwrap();
        complete(folder.path()).unwrap();
        let deps = fs::read_dir(folder.path().join("deps")).unwrap();
        deps.map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect()
    }

    #[test]
    fn every_file_of_a_package_is_in_the_contract() {
        for (package, paths) in PACKAGES {
            assert_eq!(files(package).count(), paths.len(), "{package}");
        }
        let listed: usize = PACKAGES.iter().map(|(_, paths)| paths.len()).sum();
        let deps = CONTRACT.get_dir("deps").unwrap();
        let in_deps: usize = deps.dirs().map(|package| package.files().count()).sum();
        // `filter.wit` and all in `deps/`; not `worlds.wit`.
        assert_eq!(listed, in_deps + 1, "PACKAGES lacks a file of wit/");
    }

    #[test]
    fn only_the_packages_that_a_world_needs_are_written() {
        let phases = completed("world plugin { export windlass:filter/request-phase@0.1.0; }");
        assert_eq!(
            phases,
            ["windlass-filter", "windlass-host"]
                .map(String::from)
                .into()
        );
        let tokens = completed(
            "world plugin { import windlass:jwt/tokens@0.1.0; } // windlass:callout/calls",
        );
        assert_eq!(
            tokens,
            ["windlass-host", "windlass-jwt"].map(String::from).into()
        );
    }

    #[test]
    fn a_package_that_is_there_stays() {
        let folder = tempfile::tempdir().unwrap();
        let own = folder.path().join("deps/windlass-host");
        fs::create_dir_all(&own).unwrap();
        fs::write(own.join("own.wit"), "package windlass:host@0.1.0;").unwrap();
        fs::write(
            folder.path().join("world.wit"),
            "import windlass:host/log@0.1.0;",
        )
        .unwrap();
        complete(folder.path()).unwrap();
        assert_eq!(fs::read_dir(own).unwrap().count(), 1);
    }
}
