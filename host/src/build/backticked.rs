//! Lists of names in messages.

/// The names in backticks, with commas between them.
pub(super) fn backticked<'a>(names: impl Iterator<Item = &'a str>) -> String {
    let names: Vec<_> = names.map(|name| format!("`{name}`")).collect();
    names.join(", ")
}
