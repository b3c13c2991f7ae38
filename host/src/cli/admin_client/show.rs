//! Prints answers for people: tables on standard output.
//!
//! Every printing function fails if standard output is closed or cannot be written.

use comfy_table::{ContentArrangement, Table, presets};
use serde_json::Value;

use super::CommandError;
use crate::cli::output;

/// Prints one JSON value, unchanged.
pub(crate) fn json(value: &Value) -> Result<(), CommandError> {
    Ok(output::print_line(value)?)
}

/// A member; null if it is absent.
#[must_use]
pub(crate) fn at<'a>(value: &'a Value, name: &str) -> &'a Value {
    value.get(name).unwrap_or(&Value::Null)
}

/// The items of a member that is a list; none if it is absent.
pub(crate) fn each<'a>(value: &'a Value, name: &str) -> impl Iterator<Item = &'a Value> {
    at(value, name).as_array().into_iter().flatten()
}

/// A member in the form for people.
#[must_use]
pub(crate) fn text_at(value: &Value, name: &str) -> String {
    cell(at(value, name))
}

/// A value in the form for people.
#[must_use]
pub(crate) fn cell(value: &Value) -> String {
    match value {
        Value::Null => "-".to_owned(),
        Value::String(text) if text.is_empty() => "-".to_owned(),
        Value::String(text) => text.clone(),
        Value::Bool(true) => "yes".to_owned(),
        Value::Bool(false) => "no".to_owned(),
        Value::Number(number) => number.to_string(),
        Value::Array(values) if values.is_empty() => "-".to_owned(),
        Value::Array(values) => list(values),
        Value::Object(members) if members.is_empty() => "-".to_owned(),
        Value::Object(members) => {
            let each = members.iter();
            let each = each.map(|(name, value)| format!("{name}={}", cell(value)));
            each.collect::<Vec<_>>().join(" ")
        }
    }
}

/// Values, separated by commas.
#[must_use]
pub(crate) fn list(values: &[Value]) -> String {
    values.iter().map(cell).collect::<Vec<_>>().join(", ")
}

/// A member that is a time, to the minute: seconds are for scripts.
#[must_use]
pub(crate) fn time_at(value: &Value, name: &str) -> String {
    match at(value, name).as_str().and_then(|text| text.get(..16)) {
        Some(text) => text.replace('T', " "),
        None => "-".to_owned(),
    }
}

/// A terminal that reports fewer columns does not know its width: those of `docker exec -t` and of
/// `script` report 0.
const LEAST_WIDTH: u16 = 20;

fn plain() -> Table {
    let mut table = Table::new();
    let arrangement = match table.width() {
        Some(width) if width < LEAST_WIDTH => ContentArrangement::Disabled,
        Some(_) | None => ContentArrangement::Dynamic,
    };
    table
        .load_style(presets::NOTHING)
        .set_content_arrangement(arrangement);
    table
}

/// Prints rows below a heading.
pub(crate) fn table(
    heading: &[&str],
    rows: impl IntoIterator<Item = Vec<String>>,
) -> Result<(), CommandError> {
    let mut table = plain();
    table.set_header(heading.to_vec());
    for row in rows {
        table.add_row(row);
    }
    Ok(output::print_line(table.trim_fmt())?)
}

/// Prints one object, a line for each of its parts.
pub(crate) fn record(parts: &[(&str, String)]) -> Result<(), CommandError> {
    let mut table = plain();
    for (name, value) in parts {
        table.add_row([(*name).to_owned(), value.clone()]);
    }
    Ok(output::print_line(table.trim_fmt())?)
}
