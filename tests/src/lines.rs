//! The output of a process, line by line.

use std::io::{BufRead as _, BufReader, Read};
use std::sync::Arc;

use crate::wait::{DEADLINE, Watched};

#[derive(Debug, Default)]
struct Seen {
    lines: Vec<String>,
    ended: bool,
}

/// The lines of one output, collected as they arrive.
#[derive(Debug, Clone, Default)]
pub struct Lines(Arc<Watched<Seen>>);

impl Lines {
    /// Collect the lines on a thread.
    pub fn of(output: impl Read + Send + 'static) -> Self {
        let lines = Self::default();
        let seen = Arc::clone(&lines.0);
        std::thread::spawn(move || {
            let mut output = BufReader::new(output);
            let mut line = Vec::new();
            while matches!(output.read_until(b'\n', &mut line), Ok(count) if count > 0) {
                let text = String::from_utf8_lossy(&line);
                seen.change(|seen| seen.lines.push(text.trim_end().to_owned()));
                line.clear();
            }
            seen.change(|seen| seen.ended = true);
        });
        lines
    }

    /// The lines so far.
    #[must_use]
    pub fn all(&self) -> Vec<String> {
        self.0.with(|seen| seen.lines.clone())
    }

    /// The number of lines so far.
    #[must_use]
    pub fn count(&self) -> usize {
        self.0.with(|seen| seen.lines.len())
    }

    /// The text so far. Use [`Self::wait_for_line`] to wait for a line.
    #[must_use]
    pub fn text(&self) -> String {
        self.all().join("\n")
    }

    /// Wait for the first line that `is` accepts.
    ///
    /// # Panics
    ///
    /// If it does not come.
    pub fn wait_for_line(&self, is: impl Fn(&str) -> bool) -> String {
        self.wait_from(0, is)
    }

    /// Wait for the first line that `is` accepts, after the first `start` lines.
    ///
    /// # Panics
    ///
    /// If it does not come.
    pub fn wait_from(&self, start: usize, is: impl Fn(&str) -> bool) -> String {
        self.find(start, is)
            .unwrap_or_else(|| panic!("the line did not come; there is:\n{}", self.text()))
    }

    /// The first line that `is` accepts, after the first `start` lines. `None` if the output ends
    /// or the deadline passes first.
    pub fn find(&self, start: usize, is: impl Fn(&str) -> bool) -> Option<String> {
        let found = self.0.find(DEADLINE, |seen| {
            let line = seen.lines.iter().skip(start).find(|line| is(line));
            match line {
                Some(line) => Some(Some(line.clone())),
                None if seen.ended => Some(None),
                None => None,
            }
        });
        found.flatten()
    }

    /// The whole text, once the output has ended.
    ///
    /// # Panics
    ///
    /// If it does not end.
    #[must_use]
    pub fn whole(&self) -> String {
        let ended = self.0.find(DEADLINE, |seen| seen.ended.then_some(()));
        assert!(ended.is_some(), "the output does not end:\n{}", self.text());
        self.text()
    }
}
