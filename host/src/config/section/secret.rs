//! `[secret.<name>]`: values that no report may show.

use std::path::PathBuf;
use std::sync::Arc;

use windlass_config_derive::FromTable;

use crate::config::field::Parsed;
use crate::config::read::Table;
use crate::config::source::Span;
use crate::config::value::Refused;
use crate::config::value::name::{is_variable, line};
use crate::model::store::SecretSource;

const NO_VALUES: &str =
    "never write a secret into the file: `env` names an environment variable, `file` a file";

/// A value that filters use by name and never see. Exactly one of `env` and `file`.
#[derive(Debug, Clone, PartialEq, Eq, FromTable)]
#[table(heading = "[secret.<name>]", private)]
#[hint("value secret text key" => NO_VALUES)]
pub struct Secret {
    #[key(with = Table::name)]
    pub name: Arc<str>,
    /// Where its value is read from.
    #[key(flatten = SecretKeys)]
    pub from: SecretSource,
    /// The table's name in the file.
    #[key(with = Table::span)]
    pub(crate) span: Span,
}

#[derive(FromTable)]
#[table(into = SecretSource, build = one_source)]
struct SecretKeys {
    /// The environment variable that holds the value.
    #[key(absent = "required without `file`", kind = VARIABLE)]
    env: Option<String>,
    /// The file that holds the value, relative to this one. One newline at its end is ignored.
    #[key(absent = "required without `env`", kind = FILE, synonyms = "path")]
    file: Option<PathBuf>,
}

const VARIABLE: Parsed<String> = Parsed::new("the name of an environment variable", |text| {
    if is_variable(text) {
        return Ok(text.to_owned());
    }
    let refused = Refused::because("is not the name of an environment variable");
    Err(refused.help("write the name of the variable, such as `\"ORDERS_HMAC\"`, not its value"))
})
.matching("^[A-Za-z_][A-Za-z0-9_]{0,127}$")
.private();

const FILE: Parsed<PathBuf> = Parsed::in_folder("a file", |text, folder| match line(text) {
    Ok(text) => Ok(folder.join(text)),
    Err(_) => Err(Refused::because("is no path")),
})
.private();

fn one_source(table: &mut Table<'_>, keys: SecretKeys) -> Option<SecretSource> {
    let cure = "add `env = \"<name of an environment variable>\"` or `file = \"<path>\"`";
    let none = "has neither `env` nor `file`, wanted exactly one";
    table.exactly_one(&["env", "file"], (none, cure), "")?;
    let env = keys.env.map(SecretSource::Environment);
    env.or(keys.file.map(SecretSource::File))
}
