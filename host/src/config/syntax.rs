//! The syntax errors of TOML, several at once.

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
        let is_reported = |line: Span| {
            let same = |problem: &Problem| source.line(problem.span.start) == line;
            problems.iter().any(same)
        };
        // The keys below a header that is there twice are there twice as well.
        let below = is_key(source, span).then(|| header_above(source, line));
        let is_below = below.flatten().is_some_and(is_reported);
        if !is_reported(line) && !is_below && problems.len() < MOST {
            problems.push(match earlier(source, span) {
                Some(earlier) => duplicate(source, span, earlier),
                None => problem(source, span, error),
            });
        }
    }
    (root, problems)
}

fn problem(source: &Source, span: Span, error: &Error) -> Problem {
    if let Some(bare) = bare_text(source, span) {
        let mut problem = Problem::error(bare, "syntax: a text that is not in quotes");
        problem.help("put it in quotes");
        return problem;
    }
    // A span at the very start would stand for the file as a whole.
    let at_start = span.is_whole_file() && error.span().is_some();
    let span = if at_start { Span::new(0, 1) } else { span };
    Problem::error(span, format!("syntax: {}", error.message()))
}

/// The value of the line that a span is in, if it is a text without quotes.
fn bare_text(source: &Source, span: Span) -> Option<Span> {
    let line = source.line(span.start);
    let (key, value) = source.slice(line).split_once('=')?;
    let blank = value.len() - value.trim_start().len();
    let start = line.start + key.len() + 1 + blank;
    let text = value
        .trim()
        .split('#')
        .next()
        .unwrap_or_default()
        .trim_end();
    let is_text = text.starts_with(|first: char| first.is_alphanumeric())
        && !text.contains(['"', '\'', '[', ']', ',', '='])
        && text.contains(|c: char| !c.is_ascii_digit() && !"+-_.".contains(c));
    (span.start >= start && is_text).then(|| Span::new(start, start + text.len()))
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

/// Where a key that is there twice stands first.
enum Earlier {
    /// In the line of this number.
    Line(usize),
    SameLine,
}

/// Whether a span is that of a key, or of the name in a header.
fn is_key(source: &Source, span: Span) -> bool {
    let line = source.line(span.start);
    let after = source.slice(Span::new(span.end, line.end));
    !source.slice(span).trim().is_empty() && after.trim_start().starts_with(['=', ']'])
}

/// Where the key of a span stands before; none if the span is not that of a key, or the key is new.
///
/// The parser does not say where the first key is, nor, but in words, that this is the error.
fn earlier(source: &Source, span: Span) -> Option<Earlier> {
    if !is_key(source, span) {
        return None;
    }
    let key = source.slice(span).trim();
    let line = source.line(span.start);
    let text = source.slice(line).trim();
    let is_header = text.starts_with('[');
    let before = source.text.get(..line.start).unwrap_or_default();
    let mut number = before.matches('\n').count();
    for earlier in before.lines().rev().map(str::trim) {
        let found = if is_header {
            header(earlier).is_some_and(|earlier| Some(earlier) == header(text))
        } else {
            let name = earlier.split_once('=').map(|(name, _)| name.trim());
            name == Some(key)
        };
        if found {
            return Some(Earlier::Line(number));
        }
        if !is_header && earlier.starts_with('[') {
            break;
        }
        number = number.saturating_sub(1);
    }
    let mut same_line = source
        .slice(Span::new(line.start, span.start))
        .split(['{', ',']);
    let is_same = |pair: &str| {
        pair.split_once('=')
            .is_some_and(|(name, _)| name.trim() == key)
    };
    same_line.any(is_same).then_some(Earlier::SameLine)
}

fn duplicate(source: &Source, span: Span, earlier: Earlier) -> Problem {
    let key = source.slice(span);
    match earlier {
        Earlier::Line(number) => {
            Problem::error(span, format!("`{key}` is already there, in line {number}"))
        }
        Earlier::SameLine => {
            let mut problem = Problem::error(span, format!("`{key}` is there twice"));
            problem.help("give one of the two another name, or remove it");
            problem
        }
    }
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
    fn a_key_that_is_wrong_in_itself_is_no_duplicate() {
        let [message] = &messages("ключ = 1")[..] else {
            panic!("one problem");
        };
        assert!(message.starts_with("1: syntax: "), "{message}");
    }

    #[test]
    fn a_text_without_quotes_is_marked_as_a_whole() {
        let source = Source::new("t", "address = 0.0.0.0:8080 # all");
        let (_, problems) = parse(&source);
        let spans: Vec<&str> = problems.iter().map(|one| source.slice(one.span)).collect();
        assert_eq!(spans, ["0.0.0.0:8080"]);
        for number in ["a = 1__0", "a = 1.2.3", "a = \"x", "a = [1"] {
            let message = messages(number).join("");
            assert!(!message.contains("quotes"), "{number}: {message}");
        }
    }

    #[test]
    fn one_problem_a_line_and_not_too_many() {
        assert_eq!(messages("a = = =\nb = 1").len(), 1);
        assert_eq!(messages(&"a = nope\n".repeat(50)).len(), MOST);
    }
}
