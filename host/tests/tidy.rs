//! The order of the source tree: the floors of its modules, the first line and the length of each file, and names that
//! no file may contain.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "tests fail by panicking"
)]

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

/// The floors, lowest first. A module of `crate` may name only modules of lower floors; modules of one floor do not
/// name each other. A new module needs a floor. If an import would point upwards, move its item to a floor below both;
/// do not add a row here.
const FLOORS: &[&[&str]] = &[
    &["model"],
    &[
        "balance",
        "config",
        "error",
        "route",
        "shared_store",
        "verifier",
    ],
    &["observe"],
    &["runtime"],
    &["http"],
    &["distribution", "keys", "limits", "tokens"],
    &["filter_store"],
    &["callout"],
    &["exchange"],
    &["wasm"],
    &["chain", "upstream"],
    &["proxy"],
    &["server"],
    &["control"],
    &["build"],
    &["admin"],
    &["plugin_dev", "plugin_inspect", "plugin_test"],
    &["cli"],
];

/// Modules outside of the floors: the entry point, the crate's root, and the items that tests and benches use.
const BESIDE: &[&str] = &["internals", "lib", "main"];

/// Type names that may have two definitions.
const TWINS: &[&str] = &["Kind"];

/// Pure modules: their tests need no socket and no clock.
const PURE: &[&str] = &["balance", "route", "verifier"];

/// Names that a pure module may not contain.
const IMPURE: &[&str] = &[
    "tokio",
    "hyper",
    "wasmtime",
    "std::net::Tcp",
    "SystemTime::now",
    "Instant::now",
];

/// The most lines that a file may have.
const LONGEST: usize = 500;

/// Folders of one person's machine, which no committed file may name.
const OF_A_MACHINE: &[&[&str]] = &[
    &["/", "root", "/"],
    &["/", "work", "/"],
    &["/", "home", "/"],
    &["/", "Users", "/"],
];

fn repository() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .expect("the workspace")
}

/// The files below a folder, without build outputs.
fn files(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        if path.is_dir() {
            if name != "target" && name != "third_party" && name != "node_modules" {
                found.extend(files(&path));
            }
        } else {
            found.push(path);
        }
    }
    found.sort();
    found
}

/// The source files of the host: their path under `src/`, and their text.
fn sources() -> Vec<(String, String)> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let sources: Vec<_> = files(&root)
        .into_iter()
        .filter(|path| path.extension().is_some_and(|extension| extension == "rs"))
        .map(|path| {
            let place = path
                .strip_prefix(&root)
                .unwrap()
                .to_string_lossy()
                .into_owned();
            (place, fs::read_to_string(&path).unwrap())
        })
        .collect();
    assert!(sources.len() > 50, "the sources are not where they were");
    sources
}

/// The top-level module that a file belongs to: its first folder under `src/`, or its own name.
fn stop(place: &str) -> &str {
    let first = place.split('/').next().unwrap();
    first.strip_suffix(".rs").unwrap_or(first)
}

/// The lines of code, without comments.
fn code(text: &str) -> impl Iterator<Item = &str> {
    text.lines()
        .filter(|line| !line.trim_start().starts_with("//"))
}

/// The modules named after `crate::`.
fn imports(text: &str) -> BTreeSet<&str> {
    let names = code(text).flat_map(|line| line.split("crate::").skip(1));
    names
        .map(|rest| {
            let end = rest.find(|letter: char| !(letter.is_alphanumeric() || letter == '_'));
            &rest[..end.unwrap_or(rest.len())]
        })
        .collect()
}

/// The floor of a module, counted from below; `None` for a file outside of the floors.
fn floor(room: &str) -> Option<usize> {
    FLOORS.iter().position(|rooms| rooms.contains(&room))
}

#[test]
fn rooms_import_only_from_floors_below() {
    let mut wrong = Vec::new();
    for (place, text) in &sources() {
        let from = stop(place);
        if BESIDE.contains(&from) {
            continue;
        }
        let own = floor(from).unwrap_or_else(|| panic!("the room {from} has no floor in FLOORS"));
        for to in imports(text) {
            assert!(
                !to.is_empty(),
                "{place}: write `use crate::a;`, not `use crate::{{a, b}};`"
            );
            // A macro or an item of the crate's root is not a module.
            let Some(floor) = floor(to) else { continue };
            if to != from && floor >= own {
                wrong.push(format!(
                    "{place} imports crate::{to}, which is not below it"
                ));
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}

#[test]
fn every_room_of_a_floor_exists() {
    let sources = sources();
    let rooms: BTreeSet<&str> = sources.iter().map(|(place, _)| stop(place)).collect();
    let named = FLOORS.iter().copied().flatten().chain(BESIDE);
    for room in named {
        assert!(rooms.contains(room), "there is no room {room}: take it out");
    }
}

#[test]
fn the_architecture_draws_these_floors() {
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("ARCHITECTURE.md");
    let page = fs::read_to_string(page).unwrap();
    let drawing: Vec<String> = FLOORS.iter().rev().map(|rooms| rooms.join("  ")).collect();
    let drawing = format!("```floors\n{}\n```", drawing.join("\n"));
    assert!(
        page.contains(&drawing),
        "host/ARCHITECTURE.md does not hold this drawing:\n{drawing}"
    );
}

#[test]
fn a_type_name_is_defined_once() {
    let mut places: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for (place, text) in sources() {
        for line in code(&text) {
            if let Some(name) = defined_type(line) {
                places
                    .entry(name.to_owned())
                    .or_default()
                    .push(place.clone());
            }
        }
    }
    assert!(places.len() > 500, "the types are not where they were");
    let twins: Vec<_> = places
        .iter()
        .filter(|(name, places)| places.len() > 1 && !TWINS.contains(&name.as_str()))
        .collect();
    assert!(twins.is_empty(), "defined more than once: {twins:#?}");
}

/// The type that a line of code defines: `pub(crate) struct Name<T> {`.
fn defined_type(line: &str) -> Option<&str> {
    let is_top = !line.starts_with(' ');
    let mut words = line
        .split_whitespace()
        .skip_while(|word| word.starts_with("pub") || *word == "unsafe" || *word == "const");
    let keyword = words.next()?;
    // A `type` in a trait or an `impl` is a member.
    let defines =
        matches!(keyword, "struct" | "enum" | "trait" | "union") || (keyword == "type" && is_top);
    let name = words.next().filter(|_| defines)?;
    let end = name.find(|letter: char| !(letter.is_alphanumeric() || letter == '_'));
    Some(&name[..end.unwrap_or(name.len())])
}

#[test]
fn pure_parts_touch_neither_sockets_nor_clocks() {
    for (place, text) in sources()
        .iter()
        .filter(|(place, _)| PURE.contains(&stop(place)))
    {
        for word in IMPURE {
            let line = code(text).find(|line| line.contains(word));
            assert_eq!(line, None, "{place} names {word}");
        }
    }
}

#[test]
fn wasmtime_is_named_in_one_folder() {
    for (place, text) in sources().iter().filter(|(place, _)| stop(place) != "wasm") {
        let line = code(text).find(|line| line.contains("wasmtime"));
        assert_eq!(line, None, "{place}");
    }
}

#[test]
fn every_file_says_what_it_is() {
    for (place, text) in sources() {
        assert!(
            text.starts_with("//! "),
            "{place} does not begin with its docs"
        );
    }
}

#[test]
fn no_file_is_too_long() {
    for (place, text) in sources() {
        let lines = text.lines().count();
        assert!(
            lines <= LONGEST,
            "{place} has {lines} lines, over {LONGEST}: take it apart"
        );
    }
}

#[test]
fn nothing_names_a_folder_of_a_machine() {
    let mut read = 0;
    for folder in [
        "host",
        "kits",
        "plugin-sdk",
        "plugins",
        "wit",
        "tests",
        "docs",
    ] {
        for path in files(&repository().join(folder)) {
            // Files that are not text (components) are checked where they are built.
            let Ok(text) = fs::read_to_string(&path) else {
                continue;
            };
            read += 1;
            for parts in OF_A_MACHINE {
                let name = parts.concat();
                // A URL, or a path that the product uses, may contain the folder's name further on.
                let own = text.match_indices(&name).find(|(start, _)| {
                    let before = text[..*start].chars().next_back();
                    !before
                        .is_some_and(|before| before.is_alphanumeric() || "._-}".contains(before))
                });
                assert_eq!(own, None, "{}", path.display());
            }
        }
    }
    assert!(
        read > 100,
        "{read} files: the folders are not where they were"
    );
}
