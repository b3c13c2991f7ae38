//! Bodies made by a template: minijinja, with output that is JSON.
//!
//! `{{ ... }}` writes JSON: a text with its quotes, an absent value as `null`, and a value of the body unchanged. The
//! template is parsed in `configure`. The fuel of a render depends on the length of its body, and limits its steps and
//! its output. The depth of recursion is limited too. A template can read only the body and the values that the
//! settings name.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::sync::Arc;

use minijinja::{Environment, Error, ErrorKind, Output, State, UndefinedBehavior, Value};

use crate::json;
use crate::template::Template;

mod value;
mod vocabulary;
mod write;

/// The fuel of a render in addition to that of its body. A step uses one unit, and so do [`BYTES_PER_FUEL`] of output.
const FUEL: u64 = 100_000;

/// The fuel for each byte of the body. A step for each element takes about seven units, and `1,` is an element of two
/// bytes.
const FUEL_PER_BYTE: u64 = 4;

/// The most fuel of a render, so that its output fits into the filter's memory.
const MOST_FUEL: u64 = 2_200_000;

/// The bytes of output for one unit of fuel.
pub const BYTES_PER_FUEL: u64 = 8;

/// The deepest nesting of loops, conditions and values in a template.
const MAX_DEPTH: usize = 64;

const NAME: &str = "template";

/// A template that makes a JSON text.
pub struct Program {
    source: String,
    /// The values that the template reads in addition to the body, by name.
    pub with: Vec<(String, Template)>,
    environment: RefCell<Environment<'static>>,
}

/// The reason why a render failed.
#[derive(Debug, PartialEq, Eq)]
pub enum Fault {
    /// The body does not fit the template: for example, the template iterates over a number, or over so many elements
    /// that it runs out of fuel.
    Value(String),
    /// The template itself has an error: its output is not JSON.
    Template(String),
}

impl Program {
    /// Parses a template.
    ///
    /// # Errors
    /// The error and its line.
    pub fn parse(source: &str, with: Vec<(String, Template)>) -> Result<Self, String> {
        let mut environment = Environment::empty();
        vocabulary::teach(&mut environment);
        environment.set_recursion_limit(MAX_DEPTH);
        environment.set_undefined_behavior(UndefinedBehavior::Chainable);
        environment.set_formatter(format);
        environment
            .add_template_owned(NAME, source.to_owned())
            .map_err(|error| complaint(&error))?;
        let program = Self {
            source: source.to_owned(),
            with,
            environment: RefCell::new(environment),
        };
        // Unknown names are found only when they are evaluated. So this renders once without a body, to find those that
        // every body reaches.
        match program.run(Value::UNDEFINED, BTreeMap::new(), FUEL) {
            Err(error) if is_unknown(&error) => return Err(complaint(&error)),
            Err(_) | Ok(_) => {}
        }
        match program.unknown_names() {
            Some(complaint) => Err(complaint),
            None => Ok(program),
        }
    }

    /// An error about names that are never defined: they would always be `null`.
    fn unknown_names(&self) -> Option<String> {
        let environment = self.environment.borrow();
        let read = environment
            .get_template(NAME)
            .ok()?
            .undeclared_variables(false);
        let set = names_set(&self.source);
        let is_known = |name: &str| {
            name == "body"
                || vocabulary::FUNCTIONS.contains(&name)
                || self.with.iter().any(|(known, _)| known == name)
                // For example, a `set` within an `if` defines the name for the lines after it.
                || set.contains(&name)
        };
        let mut unknown: Vec<_> = read.iter().filter(|name| !is_known(name)).collect();
        unknown.sort_unstable();
        let told = unknown.iter().map(|name| {
            let line = line_of(&self.source, name);
            format!("line {line} of the template: `{name}` stands for nothing")
        });
        let told = told.collect::<Vec<_>>().join(", ");
        let names = self.with.iter().map(|(name, _)| format!(", `{name}`"));
        let names: String = names.collect();
        (!told.is_empty()).then(|| {
            format!("{told}: there are `body`{names} and what `set` and `for` name; give a value of the request by `with`")
        })
    }

    /// Renders the JSON text from the text of a body and the available values.
    ///
    /// # Errors
    /// Whether the body or the template is at fault, and why.
    pub fn render(&self, body: &str, values: BTreeMap<String, String>) -> Result<String, Fault> {
        let own = (body.len() as u64).saturating_mul(FUEL_PER_BYTE);
        let fuel = FUEL.saturating_add(own).min(MOST_FUEL);
        let body = value::of(&Arc::from(body), 0..body.len());
        let values = values
            .into_iter()
            .map(|(name, value)| (name, Value::from(value)));
        let made = self.run(body, values.collect(), fuel);
        let made = made.map_err(|error| match is_unknown(&error) {
            true => Fault::Template(complaint(&error)),
            false => Fault::Value(complaint(&error)),
        })?;
        if made.trim_ascii().is_empty() {
            // For example, an `if` without `else`: the body decided this.
            return Err(Fault::Value("the template makes nothing of it".to_owned()));
        }
        match json::check(made.as_bytes()) {
            Ok(text) => Ok(text.trim_ascii().to_owned()),
            Err(flaw) => Err(Fault::Template(format!(
                "the template makes no JSON: {flaw}; `{{{{ .. }}}}` writes a text with its quotes"
            ))),
        }
    }

    fn run(
        &self,
        body: Value,
        mut values: BTreeMap<String, Value>,
        fuel: u64,
    ) -> Result<String, Error> {
        values.insert("body".to_owned(), body);
        self.environment.borrow_mut().set_fuel(Some(fuel));
        self.environment.borrow().get_template(NAME)?.render(values)
    }
}

impl PartialEq for Program {
    fn eq(&self, other: &Self) -> bool {
        self.source == other.source && self.with == other.with
    }
}

impl Eq for Program {}

impl core::fmt::Debug for Program {
    fn fmt(&self, formatter: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        formatter
            .debug_struct("Program")
            .field("source", &self.source)
            .field("with", &self.with)
            .finish_non_exhaustive()
    }
}

fn format(output: &mut Output<'_>, state: &mut State<'_, '_>, value: &Value) -> Result<(), Error> {
    write::json(output, state, value, 0)
}

fn is_of_name(character: char) -> bool {
    character.is_ascii_alphanumeric() || character == '_'
}

fn words(text: &str) -> impl Iterator<Item = &str> {
    text.split(|character| !is_of_name(character))
}

/// All names that a `set` defines anywhere.
fn names_set(source: &str) -> Vec<&str> {
    let statements = source.split("{%").skip(1);
    let sets = statements.filter_map(|statement| {
        let targets = statement.trim_start_matches(['-', '+']).trim_start();
        targets.strip_prefix("set")?.split(['=', '%', '|']).next()
    });
    sets.flat_map(words).collect()
}

/// The first line that contains a name.
fn line_of(source: &str, name: &str) -> usize {
    let mut lines = source.lines();
    let line = lines.position(|line| words(line).any(|word| word == name));
    line.unwrap_or(0) + 1
}

fn is_unknown(error: &Error) -> bool {
    matches!(
        error.kind(),
        ErrorKind::UnknownFilter | ErrorKind::UnknownTest | ErrorKind::UnknownFunction
    )
}

fn complaint(error: &Error) -> String {
    let line = error.line().unwrap_or(1);
    match error.detail() {
        Some(detail) => format!("line {line} of the template: {}: {detail}", error.kind()),
        None => format!("line {line} of the template: {}", error.kind()),
    }
}

#[cfg(test)]
mod tests;
