//! The reference page of `cases.toml` and of the conformance kit, `docs/reference/plugin-tests.md`.

use std::fmt::Write as _;

use super::conformance::CHECKS;
use crate::config::reference;

/// The page: an introduction, the keys from the reader's own tables, and the checks.
#[must_use]
pub fn page() -> String {
    let mut page = String::from(include_str!("reference/introduction.txt"));
    page.push_str(&reference::cases());
    page.push_str(include_str!("reference/conformance.txt"));
    page.push_str("| check | why, and what it does |\n|---|---|\n");
    for check in &CHECKS {
        // Writing to a text cannot fail.
        let _ = writeln!(page, "| `{}` | {} |", check.name, check.why);
    }
    page
}
