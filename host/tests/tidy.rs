//! The order of the source tree, held to by a test: who may import whom, what every file begins
//! with, how long it may be, and what is in none.

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

/// Who may import whom: `crate::<right>` in the code of `<left>`, a file or folder right under `src/`.
/// A new edge is a decision: write it down here, with its reason if it goes against the request's
/// way (main, cli, gateway, server, proxy, then route, chain, upstream; chain, wasm, store; upstream,
/// balance).
const MAY_IMPORT: &[(&str, &[&str])] = &[
    ("main", &[]),
    ("lib", &[]),
    // The items that tests and benches use; nobody imports it.
    (
        "internals",
        &[
            "balance", "body", "chain", "config", "context", "error", "gateway", "server",
            "sockets", "store",
        ],
    ),
    (
        "cli",
        &[
            "admin",
            "config",
            "descriptors",
            "gateway",
            "observe",
            "server",
            "sockets",
            "store",
        ],
    ),
    // Of `config` its own section; of `store` the registrar, who sells keys and plans; of `upstream`
    // how endpoints stand, and their changes at run time.
    (
        "admin",
        &[
            "config",
            "descriptors",
            "gateway",
            "observe",
            "sockets",
            "store",
            "tls",
            "tokens",
            "upstream",
            "verifier",
            "wasm",
            "worker",
        ],
    ),
    // Builds all that one configuration says.
    (
        "gateway",
        &[
            "balance", "callout", "chain", "config", "context", "error", "route", "store", "tls",
            "tokens", "upstream", "verifier", "wasm", "watch",
        ],
    ),
    (
        "server",
        &[
            "body",
            "config",
            "context",
            "descriptors",
            "error",
            "gateway",
            "gather",
            "observe",
            "proxy",
            "sockets",
            "stream",
            "tls",
            "upstream",
            "watch",
            "worker",
        ],
    ),
    (
        "proxy",
        &[
            "body", "chain", "config", "context", "error", "gateway", "panics", "route",
            "upstream", "watch", "worker",
        ],
    ),
    ("chain", &["body", "context", "error", "wasm"]),
    // Of `route` the pure path rule, for filters that set a path.
    (
        "wasm",
        &[
            "callout", "context", "panics", "route", "store", "tokens", "verifier",
        ],
    ),
    (
        "upstream",
        &[
            "balance",
            "body",
            "config",
            "context",
            "descriptors",
            "error",
            "gather",
            "observe",
            "stream",
            "tls",
            "watch",
            "worker",
        ],
    ),
    // What a worker holds for all stops: one thread's own, and what others see of it.
    (
        "worker",
        &[
            "chain", "config", "context", "error", "gateway", "interim", "observe", "panics",
            "watch",
        ],
    ),
    ("watch", &["config", "error", "interim", "worker"]),
    // One type for every source of a body, so that frames are not boxed.
    ("body", &["error", "server", "upstream"]),
    // Of `store` the tickets, which an exchange gives back when it ends, and the rates of its route; of
    // `callout` the calls that its filters wait for.
    ("context", &["callout", "store"]),
    // Of `store` the secrets.
    ("callout", &["store", "stream", "tls"]),
    ("error", &["context"]),
    ("observe", &["context", "error"]),
    ("gather", &[]),
    // The process's limit of open files, which the start raises and whoever opens sockets keeps to.
    ("descriptors", &[]),
    ("interim", &[]),
    ("panics", &[]),
    ("sockets", &[]),
    ("stream", &[]),
    ("tls", &[]),
    ("config", &[]),
    ("store", &[]),
    ("balance", &[]),
    ("route", &[]),
    ("verifier", &[]),
    // Of `tls` the reading of certificates to trust.
    ("tokens", &["tls", "verifier"]),
];

/// Not in these: they are pure, and a test of theirs needs no socket and no clock.
const PURE: &[&str] = &["balance", "route", "verifier"];

/// What a pure part does without.
const IMPURE: &[&str] = &[
    "tokio",
    "hyper",
    "wasmtime",
    "std::net::Tcp",
    "SystemTime::now",
    "Instant::now",
];

/// Lines.
const LONGEST: usize = 500;

/// What is longer, and why.
const LONGER: &[(&str, &str, usize)] = &[];

/// Folders that are somebody's own, as no file of ours should name them.
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

/// The files below a folder, but for what is built.
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

/// The sources of the host: their place under `src/`, and their text.
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

/// The stop that a file belongs to: its folder right under `src/`, or its own name.
fn stop(place: &str) -> &str {
    let first = place.split('/').next().unwrap();
    first.strip_suffix(".rs").unwrap_or(first)
}

/// The lines of code: no comments.
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

#[test]
fn stops_import_only_what_they_may() {
    let allowed: BTreeMap<&str, &[&str]> = MAY_IMPORT.iter().copied().collect();
    let sources = sources();
    let mut used = BTreeSet::new();
    let mut wrong = Vec::new();
    for (place, text) in &sources {
        let from = stop(place);
        let may = *allowed
            .get(from)
            .unwrap_or_else(|| panic!("{from} is not in MAY_IMPORT"));
        for to in imports(text) {
            assert!(
                !to.is_empty(),
                "{place}: write `use crate::a;`, not `use crate::{{a, b}};`"
            );
            if to == from || !allowed.contains_key(to) {
                continue;
            }
            used.insert((from, to.to_owned()));
            if !may.contains(&to) {
                wrong.push(format!("{place} imports crate::{to}"));
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
    let edges = MAY_IMPORT
        .iter()
        .flat_map(|(from, may)| may.iter().map(move |to| (*from, *to)));
    let idle: Vec<_> = edges
        .filter(|(from, to)| !used.contains(&(*from, (*to).to_owned())))
        .collect();
    assert!(
        idle.is_empty(),
        "allowed and not used, take them out: {idle:?}"
    );
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
        let longer = LONGER.iter().find(|(longer, ..)| *longer == place);
        let limit = longer.map_or(LONGEST, |(_, _, limit)| *limit);
        assert!(
            lines <= limit,
            "{place} has {lines} lines, over {limit}: take it apart"
        );
        assert!(
            longer.is_none() || lines > LONGEST,
            "{place} is short enough: take it out of LONGER"
        );
    }
}

#[test]
fn nothing_names_a_folder_of_a_machine() {
    let mut read = 0;
    for folder in ["host", "plugin-sdk", "plugins", "wit", "tests", "docs"] {
        for path in files(&repository().join(folder)) {
            // What is not text (components) was built elsewhere, and is checked by its builder.
            let Ok(text) = fs::read_to_string(&path) else {
                continue;
            };
            read += 1;
            for parts in OF_A_MACHINE {
                let name = parts.concat();
                // A URL, or a path of the product's, may hold the word further on.
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
