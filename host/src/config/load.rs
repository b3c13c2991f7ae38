//! TOML text to [`Config`], with every problem found.
//!
//! The text is parsed with recovery ([`syntax`]), then each section is read by its reader
//! ([`super::section`]) through a [`Table`], and at the end what concerns several sections is
//! checked ([`check`]). Promises: never stops at the first problem; after a syntax error
//! says nothing of what may just have been lost with it. Deliberately not here: whether files,
//! plugins and addresses exist, and whether routes collide; what uses the configuration says so
//! in the same form.

use std::collections::{BTreeMap, BTreeSet};
use std::io::ErrorKind;
use std::path::Path;
use std::sync::Arc;

use super::field::{FromTable, Nested};
use super::names::Names;
use super::problem::{Problem, Problems};
use super::read::{Reader, Table};
use super::section::{Config, PluginCases};
use super::source::{Source, Span};
use super::{check, mask, references, syntax};

impl Config {
    /// Reads a file. Relative paths in it are relative to its folder.
    ///
    /// # Errors
    /// Everything that is wrong with it, if anything is, warnings included.
    pub fn read(path: &Path) -> Result<Self, Problems> {
        sound(Self::read_anyway(path))
    }

    /// Reads a file, and gives what could be read also where something is wrong with it: for whoever
    /// looks for everything else that is wrong. None where a part of the file may be lost.
    #[must_use]
    pub(crate) fn read_anyway(path: &Path) -> (Option<Self>, Problems) {
        let name = path.display().to_string();
        let folder = path.parent().unwrap_or(Path::new(""));
        let failed = |text: String, span: Span, message: String| {
            let mut problems = Problems::new(Arc::new(Source::new(name.as_str(), text)));
            problems.error(span, message);
            problems
        };
        let bytes = match std::fs::read(path) {
            Ok(bytes) => bytes,
            Err(error) => {
                let mut problems = Problems::new(Arc::new(Source::new(name.as_str(), "")));
                let cure = match error.kind() {
                    ErrorKind::PermissionDenied => "let the account that runs Windlass read it",
                    _ => "`--config` names the file of the configuration",
                };
                let message = format!("cannot be read: {error}");
                problems.error(Span::default(), message).help(cure);
                return (None, problems);
            }
        };
        match String::from_utf8(bytes) {
            Ok(text) => Self::parse_anyway(&name, &text, folder),
            Err(error) => {
                let valid = error.utf8_error().valid_up_to();
                let text = String::from_utf8_lossy(error.as_bytes()).into_owned();
                let span = Span::new(valid, valid + '\u{fffd}'.len_utf8());
                let mut problems = failed(text, span, "is not UTF-8 text".to_owned());
                for span in mask::find(&problems.source().text.clone()) {
                    problems.mask(span);
                }
                (None, problems)
            }
        }
    }

    /// Reads a file's text. `name` is what it is called in reports; relative paths in it are
    /// relative to `folder`.
    ///
    /// # Errors
    /// Everything that is wrong with it, if anything is, warnings included.
    pub fn parse(name: &str, text: &str, folder: &Path) -> Result<Self, Problems> {
        sound(Self::parse_anyway(name, text, folder))
    }

    fn parse_anyway(name: &str, text: &str, folder: &Path) -> (Option<Self>, Problems) {
        let (mut reader, config, syntax) = read_text::<Config>(name, text, folder);
        if let Some(config) = &config {
            check::sections(&mut reader, config);
        }
        let is_whole = syntax.is_empty();
        let names = reader.names;
        let problems = with_syntax(reader.problems, syntax);
        let config = config.filter(|_| is_whole).map(|mut config| {
            config.warnings = problems.clone();
            references::resolve(&mut config, &names);
            config
        });
        (config, problems)
    }
}

/// Reads a text as the table of a section.
fn read_text<T: FromTable>(
    name: &str,
    text: &str,
    folder: &Path,
) -> (Reader, Option<T::Value>, Vec<Problem>) {
    let source = Arc::new(Source::new(name, text));
    let (root, syntax) = syntax::parse(&source);
    let mut problems = Problems::new(Arc::clone(&source));
    for span in mask::find(text) {
        problems.mask(span);
    }
    let mut reader = Reader {
        problems,
        names: Names::collect(root.get_ref()),
        seen: BTreeMap::new(),
        max_memory: u64::MAX,
        base_paths: BTreeMap::new(),
        unsure_apis: BTreeSet::new(),
        plan_apis: BTreeMap::new(),
        hash_params: Vec::new(),
        has_store: false,
        folder: folder.to_path_buf(),
        incomplete: !syntax.is_empty(),
    };
    let table = Table::root(&mut reader, root.get_ref(), T::SECTION);
    let value = Nested::of::<T>().read_whole(table);
    (reader, value, syntax)
}

/// Reads a file of cases. Relative paths in it are relative to its folder.
pub(super) fn read_cases(path: &Path) -> Result<PluginCases, Problems> {
    let name = path.display().to_string();
    let failed = |text: String, message: String| {
        let mut problems = Problems::new(Arc::new(Source::new(name.as_str(), text)));
        problems.error(Span::default(), message);
        problems
    };
    let bytes = std::fs::read(path)
        .map_err(|error| failed(String::new(), format!("cannot be read: {error}")))?;
    let text = String::from_utf8(bytes)
        .map_err(|_| failed(String::new(), "is not UTF-8 text".to_owned()))?;
    parse_cases(&name, &text, path.parent().unwrap_or(Path::new("")))
}

/// Reads the text of a file of cases.
pub(super) fn parse_cases(name: &str, text: &str, folder: &Path) -> Result<PluginCases, Problems> {
    let (reader, cases, syntax) = read_text::<PluginCases>(name, text, folder);
    let is_whole = syntax.is_empty();
    let problems = with_syntax(reader.problems, syntax);
    match cases {
        Some(cases) if is_whole && !problems.is_fatal() => Ok(cases),
        Some(_) | None => Err(problems),
    }
}

/// The configuration, if nothing is wrong with it.
fn sound((config, problems): (Option<Config>, Problems)) -> Result<Config, Problems> {
    match config {
        Some(config) if !problems.is_fatal() => Ok(config),
        Some(_) | None => Err(problems),
    }
}

/// One report of both kinds. A line that could not be parsed is not judged further.
fn with_syntax(mut problems: Problems, syntax: Vec<Problem>) -> Problems {
    let source = Arc::clone(problems.source());
    let lines: Vec<Span> = syntax
        .iter()
        .map(|problem| source.line(problem.span.start))
        .collect();
    problems.retain(|problem| !lines.contains(&source.line(problem.span.start)));
    for problem in syntax {
        problems.push(problem);
    }
    problems
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_that_is_not_there_is_an_error_with_a_cure() {
        let folder = tempfile::TempDir::new().unwrap();
        let problems = Config::read(&folder.path().join("windlass.toml")).unwrap_err();
        let report = problems.to_string();
        assert!(report.contains("cannot be read: No such file"), "{report}");
        assert!(
            report.contains("help: `--config` names the file"),
            "{report}"
        );
    }
}
