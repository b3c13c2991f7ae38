//! The report on a file: all problems, in the form in which the operator reads them.
//!
//! Stands beside the reader, and serves whoever finds more later (a plugin's complaint about
//! its settings, a conflict of routes, an order that cannot work). Promises: sorted by place,
//! each with its line and a caret, a closing count, and never a byte of what was masked (a text
//! that may be a key). Deliberately not here: colours.

use std::fmt;
use std::sync::Arc;

use super::source::{Source, Span};
use super::{counted, excerpt};

/// How bad a problem is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Severity {
    /// The configuration works, but hardly as meant.
    Warning,
    /// The configuration is not used.
    Error,
}

/// One thing that is wrong.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    pub(crate) severity: Severity,
    /// Where; the default is the file as a whole.
    pub span: Span,
    /// The fault: lower case, no period, names in backticks.
    pub(crate) message: String,
    /// How to mend it.
    pub(crate) help: Option<String>,
}

impl Problem {
    pub(crate) fn error(span: Span, message: impl Into<String>) -> Self {
        Self {
            severity: Severity::Error,
            span,
            message: message.into(),
            help: None,
        }
    }

    pub(crate) fn warning(span: Span, message: impl Into<String>) -> Self {
        Self {
            severity: Severity::Warning,
            ..Self::error(span, message)
        }
    }

    /// Points at another part of the file.
    pub(crate) fn at(&mut self, span: Span) -> &mut Self {
        self.span = span;
        self
    }

    /// Adds how to mend it.
    pub(crate) fn help(&mut self, text: impl Into<String>) -> &mut Self {
        self.help_if(Some(text.into()))
    }

    /// Adds how to mend it, if that is known.
    pub(crate) fn help_if(&mut self, text: Option<String>) -> &mut Self {
        self.help = text;
        self
    }
}

/// A table that problems are of.
pub(crate) trait Subject {
    /// Its name in a report: ``route `/orders` ``.
    fn title(&self) -> String;

    /// The part of it to point at.
    fn span(&self) -> Span;
}

/// The report on one file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problems {
    source: Arc<Source>,
    list: Vec<Problem>,
    masked: Vec<Span>,
}

impl std::error::Error for Problems {}

impl Problems {
    /// A report that a file as a whole cannot be used.
    #[must_use]
    pub(crate) fn of_file(name: &str, message: impl Into<String>) -> Self {
        let mut problems = Self::new(Arc::new(Source::new(name, "")));
        problems.error(Span::default(), message);
        problems
    }

    /// An empty report on a file.
    #[must_use]
    pub(crate) fn new(source: Arc<Source>) -> Self {
        Self {
            source,
            list: Vec::new(),
            masked: Vec::new(),
        }
    }

    /// The file that it is about.
    #[must_use]
    pub(crate) fn source(&self) -> &Arc<Source> {
        &self.source
    }

    /// Adds an error; `.help(..)` can follow.
    pub(crate) fn error(&mut self, span: Span, message: impl Into<String>) -> &mut Problem {
        self.push(Problem::error(span, message))
    }

    /// Adds a warning; `.help(..)` can follow.
    pub(crate) fn warning(&mut self, span: Span, message: impl Into<String>) -> &mut Problem {
        self.push(Problem::warning(span, message))
    }

    /// Adds an error of a table; its name comes before the message.
    pub(crate) fn error_of(
        &mut self,
        subject: &impl Subject,
        message: impl fmt::Display,
    ) -> &mut Problem {
        self.error(subject.span(), format!("{}: {message}", subject.title()))
    }

    /// Adds a warning of a table; its name comes before the message.
    pub(crate) fn warning_of(
        &mut self,
        subject: &impl Subject,
        message: impl fmt::Display,
    ) -> &mut Problem {
        self.warning(subject.span(), format!("{}: {message}", subject.title()))
    }

    pub(crate) fn push(&mut self, problem: Problem) -> &mut Problem {
        self.list.push_mut(problem)
    }

    /// Adds all of another report on the same file.
    pub(crate) fn extend(&mut self, other: Self) {
        self.list.extend(other.list);
        self.masked.extend(other.masked);
    }

    /// Never shows this part of the file: it may hold a key.
    pub(crate) fn mask(&mut self, span: Span) {
        self.masked.push(span);
    }

    /// Keeps the problems for which `keep` is true.
    pub(crate) fn retain(&mut self, keep: impl FnMut(&Problem) -> bool) {
        self.list.retain(keep);
    }

    /// The problems, as they were added.
    pub fn iter(&self) -> impl Iterator<Item = &Problem> {
        self.list.iter()
    }

    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.list.is_empty()
    }

    /// How many were added so far.
    pub(super) fn len(&self) -> usize {
        self.list.len()
    }

    /// Whether one of those that were added after the first `before` is an error.
    pub(super) fn is_fatal_since(&self, before: usize) -> bool {
        let mut later = self.list.iter().skip(before);
        later.any(|problem| problem.severity == Severity::Error)
    }

    #[must_use]
    pub(crate) fn errors(&self) -> usize {
        self.count(Severity::Error)
    }

    #[must_use]
    pub(crate) fn warnings(&self) -> usize {
        self.count(Severity::Warning)
    }

    /// Whether one of them is an error.
    #[must_use]
    pub(crate) fn is_fatal(&self) -> bool {
        self.errors() > 0
    }

    fn count(&self, severity: Severity) -> usize {
        let same = |problem: &&Problem| problem.severity == severity;
        self.list.iter().filter(same).count()
    }

    fn render(&self, problem: &Problem, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = &self.source.name;
        let severity = match problem.severity {
            Severity::Warning => "warning: ",
            Severity::Error => "",
        };
        let indent = if problem.span.is_whole_file() {
            writeln!(out, "{name}: {severity}{}", problem.message)?;
            1
        } else {
            let place = self.source.position(problem.span.start);
            let (line, column) = (place.line, place.column);
            writeln!(out, "{name}:{line}:{column}: {severity}{}", problem.message)?;
            let excerpt = excerpt::cut(&self.source, problem.span, &self.masked);
            let gutter = line.to_string().len();
            writeln!(out, "{:gutter$} |", "")?;
            writeln!(out, "{line} | {}", excerpt.line)?;
            writeln!(out, "{:gutter$} | {}", "", excerpt.carets)?;
            gutter
        };
        if let Some(text) = &problem.help {
            writeln!(out, "{:indent$} = help: {text}", "")?;
        }
        Ok(())
    }
}

impl fmt::Display for Problems {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut sorted: Vec<&Problem> = self.list.iter().collect();
        sorted.sort_by_key(|problem| problem.span);
        for problem in sorted {
            self.render(problem, out)?;
            writeln!(out)?;
        }
        let counts = [(self.errors(), "error"), (self.warnings(), "warning")];
        let counts = counts.into_iter().filter(|(count, _)| *count > 0);
        let counts: Vec<String> = counts
            .map(|(count, word)| counted(count as u64, word))
            .collect();
        if counts.is_empty() {
            return Ok(());
        }
        writeln!(out, "{} in {}", counts.join(" and "), self.source.name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn source() -> Arc<Source> {
        Arc::new(Source::new(
            "gateway.toml",
            "a = 1\nupstream = \"ordres\"\n",
        ))
    }

    #[test]
    fn the_form_is_that_of_the_house_style() {
        let mut problems = Problems::new(source());
        problems
            .error(
                Span::new(17, 25),
                "route `/orders/*` names upstream `ordres`, which does not exist",
            )
            .help("did you mean `orders`?");
        problems.warning(Span::new(0, 1), "`a` is not used");
        let expected = "\
gateway.toml:1:1: warning: `a` is not used
  |
1 | a = 1
  | ^

gateway.toml:2:12: route `/orders/*` names upstream `ordres`, which does not exist
  |
2 | upstream = \"ordres\"
  |            ^^^^^^^^
  = help: did you mean `orders`?

1 error and 1 warning in gateway.toml
";
        assert_eq!(problems.to_string(), expected);
        assert!(problems.is_fatal());
    }

    #[test]
    fn a_problem_of_the_whole_file_has_no_excerpt() {
        let mut problems = Problems::new(source());
        problems
            .error(Span::default(), "there is no route")
            .help("add one");
        let expected =
            "gateway.toml: there is no route\n  = help: add one\n\n1 error in gateway.toml\n";
        assert_eq!(problems.to_string(), expected);
    }

    #[test]
    fn warnings_alone_are_no_failure() {
        let mut problems = Problems::new(source());
        problems.warning(Span::new(0, 1), "x");
        assert!(!problems.is_fatal());
        assert_eq!(problems.warnings(), 1);
    }

    #[test]
    fn what_is_masked_is_not_shown() {
        let mut problems = Problems::new(source());
        problems.error(Span::new(6, 14), "x");
        problems.mask(Span::new(17, 25));
        assert!(!problems.to_string().contains("ordres"), "{problems}");
        assert!(
            problems.to_string().contains("2 | upstream = ****\n"),
            "{problems}"
        );
    }
}
