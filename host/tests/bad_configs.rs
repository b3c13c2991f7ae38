//! The exact text of every configuration error: `tests/config/<case>.toml` beside `<case>.stderr`.
//! `UPDATE_EXPECT=1` writes the expected texts.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::string_slice,
    reason = "a test fails by panicking"
)]

use std::path::{Path, PathBuf};

use windlass::internals::config::Config;

fn cases() -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/config");
    let entries = std::fs::read_dir(&folder).expect("the folder of cases");
    let mut cases: Vec<PathBuf> = entries
        .map(|entry| entry.expect("an entry").path())
        .filter(|path| {
            path.extension()
                .is_some_and(|extension| extension == "toml")
        })
        .collect();
    cases.sort();
    cases
}

fn report(case: &Path) -> String {
    let text = std::fs::read_to_string(case).expect("a case");
    match Config::parse("windlass.toml", &text, Path::new("")) {
        Ok(config) => config.warnings.to_string(),
        Err(problems) => problems.to_string(),
    }
}

#[test]
fn every_bad_config_has_its_exact_report() {
    let update = std::env::var_os("UPDATE_EXPECT").is_some();
    let cases = cases();
    assert!(cases.len() >= 25, "only {} cases were found", cases.len());
    let mut wrong = Vec::new();
    for case in cases {
        let report = report(&case);
        assert!(!report.is_empty(), "{} is a good config", case.display());
        let expected = case.with_extension("stderr");
        if update {
            std::fs::write(&expected, &report).expect("the text is written");
        } else if std::fs::read_to_string(&expected).ok().as_ref() != Some(&report) {
            wrong.push(format!("{}:\n{report}", case.display()));
        }
    }
    assert!(
        wrong.is_empty(),
        "UPDATE_EXPECT=1 writes these:\n{}",
        wrong.join("\n")
    );
}

#[test]
fn no_report_shows_what_may_be_a_key() {
    for case in cases() {
        let report = report(&case);
        assert!(!report.contains("s3cr3t"), "{}:\n{report}", case.display());
    }
}
