//! Bodies made of a template: minijinja, with output that is JSON.
//!
//! `{{ ... }}` writes JSON: a text with its quotes, an absent value as `null`, and a value of the
//! body as it was sent. The template is read in `configure`. A render has as much fuel as its body is
//! long, which bounds its steps and the bytes that it makes; a depth of recursion; and no way to read
//! anything but the body and the values that the settings name.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::sync::Arc;

use minijinja::{Environment, Error, ErrorKind, Output, State, UndefinedBehavior, Value};

use crate::json;
use crate::template::Template;

mod value;
mod vocabulary;
mod write;

/// The fuel of a render, beside that of its body: a step takes one, and so do [`BYTES_PER_FUEL`] that it makes.
const FUEL: u64 = 100_000;

/// The fuel that a byte of the body gives: a step for each of its elements takes about seven, and `1,` is one.
const FUEL_PER_BYTE: u64 = 4;

/// The most fuel of a render, so that the text that it makes has room in the filter's memory.
const MOST_FUEL: u64 = 2_200_000;

/// The bytes that a render makes for one unit of fuel.
pub const BYTES_PER_FUEL: u64 = 8;

/// How deep loops, conditions and the values of a template may be inside one another.
const MAX_DEPTH: usize = 64;

const NAME: &str = "template";

/// A template of a JSON text.
pub struct Program {
    source: String,
    /// The values that the template reads beside the body, by their names.
    pub with: Vec<(String, Template)>,
    environment: RefCell<Environment<'static>>,
}

/// Why a render made nothing.
#[derive(Debug, PartialEq, Eq)]
pub enum Fault {
    /// The body does not fit the template: it goes over a number, for example, or over so much that it runs out of fuel.
    Value(String),
    /// The template itself is at fault: it makes no JSON.
    Template(String),
}

impl Program {
    /// Reads a template.
    ///
    /// # Errors
    /// The fault, and the line in which it is.
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
        // A name that stands for nothing is found when it is met: meet those that any body meets.
        match program.run(Value::UNDEFINED, BTreeMap::new(), FUEL) {
            Err(error) if is_unknown(&error) => return Err(complaint(&error)),
            Err(_) | Ok(_) => {}
        }
        match program.unknown_names() {
            Some(complaint) => Err(complaint),
            None => Ok(program),
        }
    }

    /// A complaint about names that no body gives a value: they would be `null` for ever.
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
                // In a branch of an `if`, say: the value goes on behind it.
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

    /// Makes the JSON text, from the text of a body and the values that are there.
    ///
    /// # Errors
    /// Whose fault it is that there is none.
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
            // An `if` without `else`, say: the body chose it.
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

/// Each name that a `set` gives a value, wherever it stands.
fn names_set(source: &str) -> Vec<&str> {
    let statements = source.split("{%").skip(1);
    let sets = statements.filter_map(|statement| {
        let targets = statement.trim_start_matches(['-', '+']).trim_start();
        targets.strip_prefix("set")?.split(['=', '%', '|']).next()
    });
    sets.flat_map(words).collect()
}

/// The line in which a name stands first.
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
