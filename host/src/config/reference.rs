//! The reference of all keys: a page for people, and a JSON Schema for editors.
//!
//! Both are made from the constants that the reader itself works with, the fields of each section.
//! Promises: what is in them is what is read. Deliberately not here: what a plugin's `settings`
//! hold (`super::editor_schema` adds it).

use serde_json::{Value as Json, json};

use super::field::{AnyField, FromTable, Section};
use super::section::{Config, PluginCases};

/// The reference page, `docs/reference/config.md`.
#[must_use]
pub fn markdown() -> String {
    let mut page = String::from(INTRODUCTION);
    for field in Config::SECTION.keys() {
        if let Some(section) = field.kind.section() {
            page.push_str(&chapter(section, "##"));
        }
    }
    page
}

/// The keys of `cases.toml`, for `docs/reference/plugin-tests.md`.
#[must_use]
pub(crate) fn cases() -> String {
    chapter(PluginCases::SECTION, "##")
}

const INTRODUCTION: &str = "\
# The configuration

<!-- Made from the reader's own tables; `UPDATE_EXPECT=1 cargo test` writes it anew. -->

One TOML file, `windlass.toml`. `windlass check` reads it and prints everything that is wrong
with it, each with its line and a cure. Keys that are not listed here are errors.

- A duration is a whole number with `ms`, `s`, `m` or `h`: `\"250ms\"`, `\"5s\"`, `\"10m\"`, `\"1h\"`.
- A size is a whole number with `B`, `KiB`, `MiB`, `GiB` or `TiB`: `\"512B\"`, `\"32KiB\"`, `\"1MiB\"`.
- A name is made of letters, digits, `_` and `-`, at most 64.
- A path is relative to the folder of the file, if it does not begin with `/`.
- There is no `include`, and no environment variable is filled in. Write the file from a template.

";

/// A section, and after it those that its keys hold.
fn chapter(section: &Section, level: &str) -> String {
    let heading = section.heading;
    let mut text = format!("{level} `{heading}`\n\n{}\n\n", section.doc);
    text.push_str("| key | what it is | value | default |\n|---|---|---|---|\n");
    for field in section.keys() {
        text.push_str(&row(field));
    }
    text.push('\n');
    for field in section.keys() {
        if let Some(section) = field.kind.section() {
            text.push_str(&chapter(section, &format!("{level}#")));
        }
    }
    text
}

fn row(field: &AnyField) -> String {
    let cell = |text: String| text.replace('|', "\\|");
    let default = field.default().unwrap_or_else(|| "required".to_owned());
    format!(
        "| `{}` | {} | {} | {} |\n",
        field.key,
        cell(field.doc.to_owned()),
        cell(field.kind.words()),
        cell(default),
    )
}

/// The JSON Schema of the file, without those of plugins' settings. Draft 7: what TOML editors understand.
#[must_use]
pub fn schema() -> Json {
    let mut schema = Config::SECTION.schema();
    if let Json::Object(members) = &mut schema {
        members.insert(
            "$schema".to_owned(),
            json!("http://json-schema.org/draft-07/schema#"),
        );
        members.insert("title".to_owned(), json!("windlass.toml"));
    }
    schema
}
