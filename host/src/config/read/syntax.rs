//! What TOML itself refuses, several errors at once.

use toml::Spanned;
use toml::de::{DeTable, Error};

use crate::config::problem::Problem;
use crate::config::source::{Source, Span};

/// The most syntax errors reported: one slip can make many.
const MOST: usize = 10;

/// All that can be read, and what cannot; one problem a line.
pub(super) fn parse(source: &Source) -> (Spanned<DeTable<'_>>, Vec<Problem>) {
    let (root, mut errors) = DeTable::parse_recoverable(&source.text);
    errors.sort_by_key(|error| error.span().map(|span| span.start));
    let mut problems: Vec<Problem> = Vec::new();
    for error in &errors {
        let span = error.span().map_or_else(Span::default, Span::from);
        let line = source.line(span.start);
        let told = |line: Span| {
            let same = |problem: &Problem| source.line(problem.span.start) == line;
            problems.iter().any(same)
        };
        // What stands below a header that is there twice is there twice as well.
        let below = is_duplicate(error)
            .then(|| header_above(source, line))
            .flatten();
        if !told(line) && !below.is_some_and(told) && problems.len() < MOST {
            problems.push(problem(source, span, error));
        }
    }
    (root, problems)
}

fn problem(source: &Source, span: Span, error: &Error) -> Problem {
    // A span at the very start would stand for the file as a whole.
    let at_start = span.is_whole_file() && error.span().is_some();
    let span = if at_start { Span::new(0, 1) } else { span };
    if is_duplicate(error) {
        return duplicate(source, span);
    }
    let message = error.message();
    let without = [", expected nothing", ", expected literal string"];
    let said = without.iter().find_map(|end| message.strip_suffix(end));
    let mut problem = Problem::error(span, format!("syntax: {}", said.unwrap_or(message)));
    if said.is_some() {
        problem.help("a text stands in quotes");
    }
    problem
}

fn is_duplicate(error: &Error) -> bool {
    error.message() == "duplicate key"
}

/// The line of the header that a line stands below.
fn header_above(source: &Source, line: Span) -> Option<Span> {
    let before = source.text.get(..line.start)?;
    let mut end = before.len();
    for above in before.split_inclusive('\n').rev() {
        end -= above.len();
        if header(above.trim()).is_some() {
            return Some(source.line(end));
        }
    }
    None
}

/// TOML's parser does not tell where the first one is.
fn duplicate(source: &Source, span: Span) -> Problem {
    let key = source.slice(span);
    let line = source.line(span.start);
    let before = source.text.get(..line.start).unwrap_or_default();
    let text = source.slice(line).trim();
    let is_header = text.starts_with('[');
    let mut number = before.matches('\n').count();
    for earlier in before.lines().rev().map(str::trim) {
        let found = if is_header {
            header(earlier).is_some_and(|earlier| Some(earlier) == header(text))
        } else {
            let name = earlier.split_once('=').map(|(name, _)| name.trim());
            name == Some(key)
        };
        if found {
            let message = format!("`{key}` is already there, in line {number}");
            return Problem::error(span, message);
        }
        if !is_header && earlier.starts_with('[') {
            break;
        }
        number = number.saturating_sub(1);
    }
    let mut problem = Problem::error(span, format!("`{key}` is there twice"));
    problem.help("give one of the two another name, or remove it");
    problem
}

/// The name in a line such as `[upstream.orders]`.
fn header(line: &str) -> Option<&str> {
    let (name, _) = line.trim_start_matches('[').split_once(']')?;
    line.starts_with('[').then_some(name.trim())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn messages(text: &str) -> Vec<String> {
        let source = Source::new("t", text);
        let (_, problems) = parse(&source);
        let at = |problem: &Problem| source.position(problem.span.start).line;
        problems
            .iter()
            .map(|problem| format!("{}: {}", at(problem), problem.message))
            .collect()
    }

    #[test]
    fn a_duplicate_names_the_first() {
        assert_eq!(
            messages("[a]\nx = 1\ny = 2\nx = 3"),
            ["4: `x` is already there, in line 2"]
        );
        assert_eq!(
            messages("[a]\n[b]\n[a] # again"),
            ["3: `a` is already there, in line 1"]
        );
        assert_eq!(
            messages("[a]\nx = 1\n[a]\nx = 1"),
            ["3: `a` is already there, in line 1"]
        );
        assert_eq!(messages("a = { x = 1, x = 2 }"), ["1: `x` is there twice"]);
    }

    #[test]
    fn one_problem_a_line_and_not_too_many() {
        assert_eq!(messages("a = = =\nb = 1").len(), 1);
        assert_eq!(messages(&"a = nope\n".repeat(50)).len(), MOST);
    }
}
