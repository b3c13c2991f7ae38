//! The files, commands and code that the documents show exist.

#![allow(
    clippy::panic,
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "a test fails by panicking"
)]

use std::path::{Path, PathBuf};

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

fn read(name: &str) -> String {
    let path = root().join(name);
    std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{name}: {error}"))
}

/// The fenced blocks of this language, without their fences.
fn blocks<'a>(page: &'a str, language: &str) -> Vec<&'a str> {
    let fence = format!("\n```{language}\n");
    let parts = page.split(fence.as_str()).skip(1);
    parts
        .map(|part| part.split_once("\n```").expect("a fence that closes").0)
        .collect()
}

#[test]
fn the_config_of_the_readme_is_an_example() {
    let page = read("README.md");
    let shown: Vec<_> = blocks(&page, "toml")
        .into_iter()
        .filter(|block| block.contains("[[listener]]"))
        .collect();
    assert_eq!(shown, [read("host/examples/filters.toml").trim_end()]);
}

#[test]
fn the_filter_of_the_readme_is_the_sdks() {
    let page = read("README.md");
    let example = read("plugin-sdk/examples/require_header.rs");
    let shown = blocks(&page, "rust");
    assert_eq!(shown, [example.trim_end()]);
}

/// Documents for people; generated and third-party ones are left out.
fn documents() -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut folders = vec![root()];
    while let Some(folder) = folders.pop() {
        for entry in std::fs::read_dir(&folder).expect("a folder of the workspace") {
            let path = entry.expect("an entry").path();
            let name = path.file_name().and_then(|name| name.to_str()).unwrap();
            let skipped = name.starts_with('.') || name == "target" || name == "third_party";
            if path.is_dir() && !skipped {
                folders.push(path);
            } else if path.extension().is_some_and(|extension| extension == "md") {
                found.push(path);
            }
        }
    }
    found
}

#[test]
fn links_lead_to_files() {
    let documents = documents();
    assert!(documents.len() >= 10, "{documents:?}");
    for document in documents {
        let text = std::fs::read_to_string(&document).expect("a document");
        for rest in text.split("](").skip(1) {
            let (link, _) = rest.split_once(')').expect("a link that closes");
            let file = link.split('#').next().unwrap_or_default();
            if file.is_empty() || link.contains("://") {
                continue;
            }
            let target = document.parent().unwrap().join(file);
            assert!(
                target.exists(),
                "{}: `{link}` leads nowhere",
                document.display()
            );
        }
    }
}

#[test]
fn every_example_is_listed() {
    let page = read("README.md");
    for entry in std::fs::read_dir(root().join("host/examples")).expect("the examples") {
        let name = entry.expect("an entry").file_name();
        let link = format!("(host/examples/{})", name.to_str().unwrap());
        assert!(page.contains(&link), "the README does not name {link}");
    }
}
