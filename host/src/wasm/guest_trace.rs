//! What the log says of a call that failed in the guest: the place in its source, what it wrote before, and its stack.

use std::fmt;
use std::fmt::Write as _;

use wasmtime::{FrameInfo, WasmBacktrace};

use super::debug_lines::{DebugLines, LineReader, SourceLine, plain_name};
use super::output::one_line;

/// The longest name and the longest file name. Bytes.
const MAX_NAME: usize = 160;

/// Where a call failed, and what the guest wrote before.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct GuestTrace {
    /// The innermost function of the author's own code, with its file and line if the component has them.
    place: Option<String>,
    /// What the guest wrote in this call, on one line.
    said: Option<String>,
    /// The guest's stack, a line for each function.
    stack: String,
}

impl GuestTrace {
    /// Read the stack of an error: all of it at level debug and for a recorder, else down to the author's own code.
    pub(crate) fn read(
        error: &wasmtime::Error,
        lines: &DebugLines,
        said: Option<String>,
        is_recorded: bool,
    ) -> Self {
        let frames = error.downcast_ref::<WasmBacktrace>();
        let frames = frames.map(WasmBacktrace::frames).unwrap_or_default();
        let wants_all = is_recorded || tracing::enabled!(tracing::Level::DEBUG);
        let mut lines = lines.reader();
        let mut read: Vec<GuestFrame> = Vec::with_capacity(frames.len());
        for frame in frames {
            read.push(GuestFrame::of(frame, &mut lines));
            if !wants_all && read.last().is_some_and(GuestFrame::has_own_line) {
                break;
            }
        }
        Self {
            place: place(&read),
            said,
            stack: if wants_all {
                stack(&read)
            } else {
                String::new()
            },
        }
    }

    /// The guest's stack, or an empty text.
    pub(crate) fn stack(&self) -> &str {
        &self.stack
    }
}

impl fmt::Display for GuestTrace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(place) = &self.place {
            write!(f, "; it was in {place}")?;
        }
        match &self.said {
            Some(said) => write!(f, "; it wrote: {said}"),
            None => Ok(()),
        }
    }
}

/// A function of the stack.
struct GuestFrame {
    name: Option<String>,
    lines: Vec<SourceLine>,
}

impl GuestFrame {
    fn of(frame: &FrameInfo, lines: &mut LineReader<'_>) -> Self {
        let at = frame.module_offset().map(|offset| lines.at(offset));
        let name = frame.func_name().map(plain_name);
        let mut lines = at.unwrap_or_default();
        // Line tables have the function's name without its module.
        if let (Some(outer), Some(name)) = (lines.last_mut(), &name)
            && name.ends_with(&outer.function)
        {
            outer.function.clone_from(name);
        }
        Self { name, lines }
    }

    /// Whether a line is one of the author's own code.
    fn has_own_line(&self) -> bool {
        self.lines.iter().any(SourceLine::is_own)
    }
}

/// The innermost place in the author's own code, or else the innermost one that has a name.
fn place(frames: &[GuestFrame]) -> Option<String> {
    let lines = || frames.iter().flat_map(|frame| &frame.lines);
    let own = lines().find(|line| line.is_own());
    if let Some(line) = own.or_else(|| lines().next()) {
        let (function, file) = (cut(&line.function), cut_front(&line.file));
        return Some(format!("`{function}` at {file}:{}", line.line));
    }
    let mut names = frames.iter().filter_map(|frame| frame.name.as_deref());
    let own = names.find(|name| !is_foreign(name))?;
    Some(format!("`{}`", cut(own)))
}

impl SourceLine {
    /// Whether it is one of the author's own code.
    fn is_own(&self) -> bool {
        !is_foreign(&self.function) && !is_foreign_file(&self.file)
    }
}

/// Whether a function belongs to a language's run time, its libraries, or the kit of plugins.
fn is_foreign(name: &str) -> bool {
    const PREFIXES: [&str; 16] = [
        "core::",
        "std::",
        "alloc::",
        "<core::",
        "<std::",
        "<alloc::",
        "__",
        "rust_",
        "windlass_plugin_sdk::",
        "<windlass_plugin_sdk::",
        "wit_bindgen::",
        "runtime.",
        "cabi_",
        "windlass:",
        "dlmalloc::",
        "<dlmalloc::",
    ];
    const NAMES: [&str; 6] = ["abort", "exit", "_exit", "malloc", "free", "panic"];
    PREFIXES.iter().any(|prefix| name.starts_with(prefix)) || NAMES.contains(&name)
}

/// Whether a file belongs to those.
fn is_foreign_file(file: &str) -> bool {
    const PARTS: [&str; 10] = [
        "/rustc/",
        "/library/core/",
        "/library/std/",
        "/library/alloc/",
        "/registry/src/",
        "/plugin-sdk/src/",
        "/go/src/runtime/",
        "/src/runtime/",
        "libc-top-half",
        "libc-bottom-half",
    ];
    PARTS.iter().any(|part| file.contains(part))
}

/// The stack, a line for each function. The guest chose the names, so line breaks in them are escaped.
fn stack(frames: &[GuestFrame]) -> String {
    let mut text = String::new();
    for (index, frame) in frames.iter().enumerate() {
        let name = frame.name.as_deref().unwrap_or("an unnamed function");
        // Writing to a text cannot fail.
        let _ = write!(text, "\n  {index}: {}", cut(name));
        for line in &frame.lines {
            let (function, file) = (cut(&line.function), cut_front(&line.file));
            let _ = write!(text, "\n       {function} at {file}:{}", line.line);
        }
    }
    text
}

/// The beginning of a name, on one line.
fn cut(name: &str) -> String {
    let cut = name.get(..name.floor_char_boundary(MAX_NAME));
    one_line(cut.unwrap_or_default()).into_owned()
}

/// The end of a file's name, which says more than its beginning, on one line.
fn cut_front(file: &str) -> String {
    let from = file.ceil_char_boundary(file.len().saturating_sub(MAX_NAME));
    one_line(file.get(from..).unwrap_or_default()).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn frame(name: &str, lines: &[(&str, &str, u32)]) -> GuestFrame {
        let lines = lines.iter().map(|&(function, file, line)| SourceLine {
            function: function.into(),
            file: file.into(),
            line,
        });
        GuestFrame {
            name: Some(name.into()),
            lines: lines.collect(),
        }
    }

    #[test]
    fn the_place_is_the_innermost_one_of_the_authors_own_code() {
        let frames = [
            frame("abort", &[("abort", "/wasi-libc/libc-bottom-half/a.c", 3)]),
            frame(
                "_ZN3std9panickingE",
                &[(
                    "std::panicking::panic",
                    "/rustc/abc/library/std/src/panicking.rs",
                    7,
                )],
            ),
            frame(
                "on_request",
                &[
                    (
                        "core::option::unwrap_failed",
                        "/rustc/abc/library/core/src/option.rs",
                        9,
                    ),
                    ("meter::check", "/plugins/meter/src/lib.rs", 12),
                    ("meter::on_request", "/plugins/meter/src/lib.rs", 40),
                ],
            ),
        ];
        let place = place(&frames);
        assert_eq!(
            place.as_deref(),
            Some("`meter::check` at /plugins/meter/src/lib.rs:12")
        );
    }

    #[test]
    fn without_lines_the_place_is_a_name_and_without_names_there_is_none() {
        let frames = [
            frame("core::panicking::panic", &[]),
            frame("meter::check", &[]),
        ];
        assert_eq!(place(&frames).as_deref(), Some("`meter::check`"));
        let unnamed = GuestFrame {
            name: None,
            lines: Vec::new(),
        };
        assert_eq!(place(&[unnamed]), None);
        assert_eq!(GuestTrace::default().to_string(), "");
    }

    #[test]
    fn names_of_the_guest_stay_on_one_line_and_are_short() {
        let frames = [frame("a", &[("evil\nERROR forged", &"x/".repeat(500), 1)])];
        let place = place(&frames).unwrap();
        assert!(
            !place.contains('\n') && place.len() < 2 * MAX_NAME + 64,
            "{place}"
        );
        assert!(stack(&frames).contains("evil\\nERROR forged at"));
    }
}
