//! Colours, where standard output is a terminal that wants them.

use std::io::{self, IsTerminal as _};

/// The meaning of a piece of text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Tone {
    Good,
    Bad,
    Warning,
    Quiet,
    Strong,
}

/// Whether there are colours.
#[derive(Debug, Clone, Copy)]
pub(super) struct Style {
    has_colours: bool,
}

impl Style {
    /// Those of standard output: none in a pipe, and none with `NO_COLOR` (no-color.org).
    pub(super) fn of_output() -> Self {
        let refuses = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
        Self {
            has_colours: io::stdout().is_terminal() && !refuses,
        }
    }

    #[cfg(test)]
    pub(super) fn plain() -> Self {
        Self { has_colours: false }
    }

    /// The text in the colour of its tone.
    pub(super) fn paint(self, tone: Tone, text: &str) -> String {
        if !self.has_colours {
            return text.to_owned();
        }
        let code = match tone {
            Tone::Good => "32",
            Tone::Bad => "31",
            Tone::Warning => "33",
            Tone::Quiet => "2",
            Tone::Strong => "1",
        };
        format!("\u{1b}[{code}m{text}\u{1b}[0m")
    }
}
