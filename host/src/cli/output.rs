//! What commands write, and what becomes of it where nobody reads.
//!
//! It promises that a closed standard output ends a command quietly, as the system's own tools end
//! (`windlass keys export | head`), and that a closed standard error ends none: what was made is
//! made, and the rest is still to be written.

use std::fmt::Display;
use std::io::{self, ErrorKind, Write as _};

/// What a shell says of a command that SIGPIPE ended: 128 and the signal's number.
pub(crate) const CLOSED: u8 = 141;

/// Why standard output was not written.
#[derive(Debug)]
pub(crate) enum OutputError {
    /// Nobody reads it any more.
    Closed,
    /// The system says why not.
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
            Self::Failed(error) => write!(f, "standard output cannot be written: {error}"),
        }
    }
}

/// Write a line to standard output.
///
/// # Errors
/// It is closed, or cannot be written.
pub(crate) fn print_line(text: impl Display) -> Result<(), OutputError> {
    let mut output = io::stdout().lock();
    writeln!(output, "{text}")?;
    Ok(output.flush()?)
}

/// Write a text to standard output as it is.
///
/// # Errors
/// It is closed, or cannot be written.
pub(crate) fn print_text(text: &str) -> Result<(), OutputError> {
    let mut output = io::stdout().lock();
    Ok(output.write_all(text.as_bytes())?)
}

/// A line on standard error, for whoever reads it.
macro_rules! tell {
    ($($text:tt)*) => {{
        use std::io::Write as _;
        // Nobody is left who could be told.
        let _ = writeln!(std::io::stderr(), $($text)*);
    }};
}
pub(super) use tell;
