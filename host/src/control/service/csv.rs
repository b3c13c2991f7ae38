//! Reads Amazon API Gateway's file format of API keys: comma-separated values with a header line
//! (developer guide, "API Gateway API key file format").
//!
//! The columns `name` and `key` are required; `description`, `enabled` and `usageplanids` are
//! optional; others are ignored. Their names may have any case and order. A list of plans is in
//! double or single quotes. `enabled` is `true` or `false` in any case, and `true` if it is empty.
//! A name, a description and a list of plans may be [guarded](formula) as an export writes them.
//!
//! Pure: a row becomes a key to create, or a [`CsvWarning`] with its line and column. A warning
//! never repeats a key's text.

use std::collections::HashMap;

use ::csv::{ReaderBuilder, StringRecord, Trim};
use serde::Serialize;
use utoipa::ToSchema;

use super::secret::imported_secret;
use super::{formula, rules};
use crate::control::storage::record::SecretRecord;
use crate::keys::{KeyDigest, masked};
use crate::model::name::is_name;
use lines::{LineCounter, open_quote};

mod lines;

/// A row of an import that was left out.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
#[schema(as = ImportWarning)]
pub(crate) struct CsvWarning {
    /// The row's line in the file, from 1.
    #[schema(minimum = 0)]
    pub(crate) line: u64,
    /// The number of the field, from 1.
    #[schema(minimum = 1)]
    pub(crate) column: u64,
    /// The error.
    pub(crate) message: String,
}

impl CsvWarning {
    pub(super) fn new(line: u64, column: u64, message: impl Into<String>) -> Self {
        let message = message.into();
        Self {
            line,
            column,
            message,
        }
    }
}

/// A valid row.
#[derive(Debug, Clone)]
pub(super) struct CsvRow {
    pub(crate) line: u64,
    /// The column of the key's text, for errors that are found later.
    pub(crate) key_column: u64,
    pub(crate) name: String,
    pub(crate) description: String,
    pub(crate) enabled: bool,
    pub(crate) plans: Vec<String>,
    pub(crate) plans_column: u64,
    pub(crate) secret: SecretRecord,
}

/// The index of each column.
#[derive(Debug)]
struct Columns {
    name: usize,
    key: usize,
    description: Option<usize>,
    enabled: Option<usize>,
    plans: Option<usize>,
    count: usize,
}

/// Reads all rows.
///
/// # Errors
///
/// The header line, or the quoting, cannot be read.
pub(super) fn read(
    bytes: &[u8],
    now_ms: u64,
    most: usize,
) -> Result<(Vec<CsvRow>, Vec<CsvWarning>), CsvWarning> {
    let bytes = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes);
    if let Some((line, column)) = open_quote(bytes) {
        let message = "a `\"` begins a field here and has no end, so the rest of the file is one row; close the quote, or quote the whole field and double this quote";
        return Err(CsvWarning::new(line, column, message));
    }
    let mut reader = ReaderBuilder::new()
        .flexible(true)
        .has_headers(true)
        .trim(Trim::All)
        .from_reader(bytes);
    let header = reader.headers().map_err(|error| csv_warning(&error))?;
    let columns = Columns::of(header)?;
    let (mut rows, mut warnings) = (Vec::new(), Vec::new());
    let mut seen: HashMap<KeyDigest, u64> = HashMap::new();
    let mut lines = LineCounter::new(bytes);
    for record in reader.records() {
        let record = record.map_err(|error| csv_warning(&error))?;
        let line = lines.of(record.position().map_or(0, ::csv::Position::byte));
        if rows.len() + warnings.len() >= most {
            let message = format!("the file has more than {most} rows; split it");
            return Err(CsvWarning::new(line, 1, message));
        }
        let record = columns.rejoin(record);
        match columns.row(&record, line, now_ms) {
            Ok(row) => match seen.insert(row.secret.digest, line) {
                Some(earlier) => {
                    let why =
                        format!("`key` is the same as on line {earlier}; the row is left out");
                    warnings.push(CsvWarning::new(line, row.key_column, why));
                }
                None => rows.push(row),
            },
            Err(warning) => warnings.push(warning),
        }
    }
    Ok((rows, warnings))
}

impl Columns {
    fn of(header: &StringRecord) -> Result<Self, CsvWarning> {
        let wrong = |index: usize, message: String| CsvWarning::new(1, index as u64 + 1, message);
        let mut columns: HashMap<String, usize> = HashMap::new();
        for (index, name) in header.iter().enumerate() {
            let name = name.to_ascii_lowercase();
            let ours = matches!(
                &*name,
                "name" | "key" | "description" | "enabled" | "usageplanids"
            );
            if ours && columns.insert(name.clone(), index).is_some() {
                return Err(wrong(index, format!("column `{name}` is there twice")));
            }
        }
        let must = |name: &str| {
            let missing = || {
                let message = format!(
                    "column `{name}` is missing; the first line must name the columns, including `name` and `key`"
                );
                wrong(0, message)
            };
            columns.get(name).copied().ok_or_else(missing)
        };
        let may = |name: &str| columns.get(name).copied();
        Ok(Self {
            name: must("name")?,
            key: must("key")?,
            description: may("description"),
            enabled: may("enabled"),
            plans: may("usageplanids"),
            count: header.len(),
        })
    }

    /// Joins fields that the reader split because it does not know single quotes.
    fn rejoin(&self, record: StringRecord) -> StringRecord {
        if record.len() <= self.count {
            return record;
        }
        let begins = |field: &str, index: usize| {
            field.starts_with('\'')
                && (field.len() < 2 || !field.ends_with('\''))
                && (self.plans == Some(index) || formula::bare(field) == field)
        };
        let mut whole = StringRecord::new();
        let mut open: Option<String> = None;
        for field in &record {
            match open.take() {
                None if begins(field, whole.len()) => open = Some(field.to_owned()),
                None => whole.push_field(field),
                Some(begun) => {
                    let joined = format!("{begun},{field}");
                    if field.ends_with('\'') {
                        whole.push_field(&joined);
                    } else {
                        open = Some(joined);
                    }
                }
            }
        }
        // A quote without an end: the record stays unchanged.
        if open.is_some() { record } else { whole }
    }

    fn row(&self, record: &StringRecord, line: u64, now_ms: u64) -> Result<CsvRow, CsvWarning> {
        let wrong =
            |index: usize, message: String| CsvWarning::new(line, index as u64 + 1, message);
        if record.len() > self.count {
            let message = format!(
                "the row has {} fields, the header {}; quote a value with commas",
                record.len(),
                self.count
            );
            return Err(wrong(self.count, message));
        }
        let at = |index: Option<usize>| index.and_then(|index| record.get(index)).unwrap_or("");
        let name = formula::bare(at(Some(self.name)));
        if name.is_empty() {
            return Err(wrong(self.name, "`name` is empty".to_owned()));
        }
        rules::check_single_line(name, rules::MAX_NAME)
            .map_err(|why| wrong(self.name, format!("`name` {why}")))?;
        let key = at(Some(self.key));
        rules::check_imported(key).map_err(|why| wrong(self.key, format!("`key` {why}")))?;
        let description = formula::bare(at(self.description));
        rules::check_single_line(description, rules::MAX_VALUE).map_err(|why| {
            wrong(
                self.description.unwrap_or(0),
                format!("`description` {why}"),
            )
        })?;
        let enabled = match &*at(self.enabled).to_ascii_lowercase() {
            "" | "true" => true,
            "false" => false,
            _ => {
                let message = "`enabled` must be `true` or `false`".to_owned();
                return Err(wrong(self.enabled.unwrap_or(0), message));
            }
        };
        let plans_place = self.plans.unwrap_or(0);
        let plans = plans(at(self.plans)).map_err(|why| wrong(plans_place, why))?;
        Ok(CsvRow {
            line,
            key_column: self.key as u64 + 1,
            name: name.to_owned(),
            description: description.to_owned(),
            enabled,
            plans,
            plans_column: plans_place as u64 + 1,
            secret: imported_secret(key, now_ms),
        })
    }
}

/// A list of plans: `planA,planB`, also in single quotes.
fn plans(text: &str) -> Result<Vec<String>, String> {
    let bare = text
        .strip_prefix('\'')
        .and_then(|text| text.strip_suffix('\''));
    let bare = bare.unwrap_or_else(|| formula::bare(text));
    let names = bare.split(',').map(str::trim);
    let names: Vec<String> = names
        .filter(|name| !name.is_empty())
        .map(str::to_owned)
        .collect();
    if names.len() > rules::MAX_PLANS {
        let most = rules::MAX_PLANS;
        return Err(format!("`usageplanids` has more than {most} entries"));
    }
    for (index, name) in names.iter().enumerate() {
        if !is_name(name) {
            return Err("`usageplanids` holds a name that no plan can have".to_owned());
        }
        if names.iter().take(index).any(|earlier| earlier == name) {
            return Err(format!("`usageplanids` names `{}` twice", masked(name)));
        }
    }
    Ok(names)
}

/// The file is in another format.
fn csv_warning(error: &::csv::Error) -> CsvWarning {
    let position = error.position();
    let message = match error.kind() {
        ::csv::ErrorKind::Utf8 { .. } => "the file is not UTF-8",
        // The crate's own enum may grow.
        _ => "the file cannot be read as comma-separated values",
    };
    CsvWarning::new(position.map_or(1, ::csv::Position::line), 1, message)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rows(text: &str) -> (Vec<CsvRow>, Vec<CsvWarning>) {
        read(text.as_bytes(), 0, 100).unwrap()
    }

    /// Amazon's own three examples, with names of plans for its ids.
    #[test]
    fn amazons_samples_are_read() {
        let (first, warnings) = rows("Key,name\napikey1234abcdefghij0123456789,MyFirstApiKey\n");
        assert_eq!(warnings, []);
        assert_eq!(first[0].name, "MyFirstApiKey");
        assert!(first[0].enabled);
        assert_eq!(first[0].plans, Vec::<String>::new());
        assert_eq!(
            first[0].secret.digest,
            KeyDigest::of(b"apikey1234abcdefghij0123456789")
        );
        assert_eq!(first[0].secret.prefix, "apik");
        let (second, _) = rows(
            "Name,key,description,Enabled,usageplanIds\r\nMyFirstApiKey,apikey1234abcdefghij0123456789,An imported key,FALSE,c7y23b\r\n",
        );
        assert_eq!(second[0].description, "An imported key");
        assert!(!second[0].enabled);
        assert_eq!(second[0].plans, ["c7y23b"]);
        for quote in ['"', '\''] {
            let (third, warnings) = rows(&format!(
                "Enabled,Name,key,UsageplanIds\ntrue,MyFirstApiKey,apikey1234abcdefghij0123456789,{quote}c7y23b,glvrsr{quote}\n",
            ));
            assert_eq!(warnings, []);
            assert_eq!(third[0].plans, ["c7y23b", "glvrsr"]);
        }
    }

    #[test]
    fn unknown_columns_are_ignored_and_space_around_values_is_no_part_of_them() {
        let (found, warnings) =
            rows("key, colour, name\ny9tXe4GwrU65cug8QyQKE8pRwIzUFznda7iO73Gn, red, one\n");
        assert_eq!(warnings, []);
        assert_eq!(found[0].name, "one");
    }

    #[test]
    fn a_bad_row_names_its_line_and_column_and_never_the_key() {
        let (good, warnings) = rows(
            "name,key,enabled,usageplanids\n\
             good,aaaaaaaaaaaaaaaaaaaa,,\n\
             short,abcdefghij,,\n\
             ,bbbbbbbbbbbbbbbbbbbb,,\n\
             odd,cccccccccccccccccccc,maybe,\n\
             twice,aaaaaaaaaaaaaaaaaaaa,,\n\
             wide,dddddddddddddddddddd,true,a,b\n\
             plan,eeeeeeeeeeeeeeeeeeee,true,no such\n\
             list,ffffffffffffffffffff,true,\"abcdefghijabcdefghij,abcdefghijabcdefghij\"\n",
        );
        assert_eq!(good.len(), 1);
        let columns: Vec<_> = warnings.iter().map(|it| (it.line, it.column)).collect();
        assert_eq!(
            columns,
            [(3, 2), (4, 1), (5, 3), (6, 2), (7, 5), (8, 4), (9, 4)]
        );
        assert!(warnings.iter().all(|it| !it.message.contains("abcdefghij")));
        assert!(warnings[3].message.contains("line 2"), "{:?}", warnings[3]);
    }

    #[test]
    fn a_guard_against_formulas_is_no_part_of_a_value() {
        let (found, warnings) = rows(
            "name,key,description,usageplanids\n\
             '=SUM(A1),aaaaaaaaaaaaaaaaaaaa,'-,'-gold\n\
             ''=SUM(A1),bbbbbbbbbbbbbbbbbbbb,'quoted',\"'-gold,b\"\n\
             '=SUM(A1),cccccccccccccccccccc,,'-gold,b'\n",
        );
        assert_eq!(warnings, []);
        let names: Vec<_> = found.iter().map(|row| &*row.name).collect();
        assert_eq!(names, ["=SUM(A1)", "'=SUM(A1)", "=SUM(A1)"]);
        assert_eq!(found[0].description, "-");
        assert_eq!(found[1].description, "'quoted'");
        assert_eq!(found[0].plans, ["-gold"]);
        assert_eq!(found[1].plans, ["-gold", "b"]);
        assert_eq!(found[2].plans, ["-gold", "b"]);
    }

    #[test]
    fn a_quote_that_nothing_ends_is_found_where_it_begins() {
        let file = "name,key\none,aaaaaaaaaaaaaaaaaaaa\n\"two,bbbbbbbbbbbbbbbbbbbb\nthree,cccccccccccccccccccc\n";
        let refused = read(file.as_bytes(), 0, 100).unwrap_err();
        assert_eq!((refused.line, refused.column), (3, 1));
        assert!(!refused.message.contains("two"), "{refused:?}");
    }

    #[test]
    fn a_file_without_its_columns_is_refused() {
        let refused = |text: &str| read(text.as_bytes(), 0, 100).unwrap_err();
        assert!(refused("").message.contains("`name` is missing"));
        assert!(refused("name,value\n").message.contains("`key` is missing"));
        let twice = refused("name,key,Name\n");
        assert_eq!((twice.line, twice.column), (1, 3));
        let long = read(b"name,key\na,b\nc,d\n", 0, 1).unwrap_err();
        assert_eq!(long.line, 3);
    }

    #[test]
    fn a_byte_order_mark_is_no_part_of_the_first_column() {
        let (found, _) = rows("\u{feff}name,key\none,aaaaaaaaaaaaaaaaaaaa\n");
        assert_eq!(found[0].name, "one");
    }

    #[test]
    fn a_wrong_row_names_its_line_whatever_ends_lines() {
        let lines = |text: &str| -> Vec<u64> {
            let (_, warnings) = super::read(text.as_bytes(), 0, 100).unwrap();
            warnings.iter().map(|warning| warning.line).collect()
        };
        assert_eq!(lines("name,key\na,short\nb,short\n"), [2, 3]);
        assert_eq!(lines("name,key\r\na,short\r\nb,short\r\n"), [2, 3]);
        assert_eq!(lines("name,key\n\n\na,short\n\nb,short\n"), [4, 6]);
        assert_eq!(lines("name,key\n\"a\nb\",short\nc,short\n"), [2, 4]);
    }
}
