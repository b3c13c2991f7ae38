//! Output of commands, also if nobody reads it.
//!
//! It promises that a closed standard output ends a command quietly, as the system's own tools end
//! (`windlass keys export | head`), and that a closed standard error ends none: the command has
//! changed something, and the rest of its output still matters.

use std::fmt::Display;
use std::io::{self, ErrorKind, Write as _};

/// The exit code that a shell reports for a command that SIGPIPE ended: 128 and the signal's
/// number.
pub(crate) const CLOSED: u8 = 141;

/// Why standard output was not written.
#[derive(Debug)]
pub(crate) enum OutputError {
    /// The reader has closed it.
    Closed,
    /// The system gives this error.
    Failed(io::Error),
}

impl From<io::Error> for OutputError {
    fn from(error: io::Error) -> Self {
        match error.kind() {
            ErrorKind::BrokenPipe => Self::Closed,
            _ => Self::Failed(error),
        }
    }
}

impl Display for OutputError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Closed => f.write_str("standard output is closed"),
            Self::Failed(error) => write!(f, "standard output could not be written: {error}"),
        }
    }
}

/// Writes a line to standard output.
///
/// # Errors
///
/// It is closed, or cannot be written.
pub(crate) fn print_line(text: impl Display) -> Result<(), OutputError> {
    let mut output = io::stdout().lock();
    writeln!(output, "{text}")?;
    Ok(output.flush()?)
}

/// Writes a text to standard output, unchanged.
///
/// # Errors
///
/// It is closed, or cannot be written.
pub(crate) fn print_text(text: &str) -> Result<(), OutputError> {
    let mut output = io::stdout().lock();
    Ok(output.write_all(text.as_bytes())?)
}

/// Writes a line to standard error.
macro_rules! eprint_line {
    ($($text:tt)*) => {{
        use std::io::Write as _;
        // If standard error is closed, there is no way to report it.
        let _ = writeln!(std::io::stderr(), $($text)*);
    }};
}
pub(super) use eprint_line;
