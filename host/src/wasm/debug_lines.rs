//! The lines of a plugin's source that a component carries (DWARF), for the log.
//!
//! A component that was built with them keeps them in the custom sections of its core modules. Windlass reads them only
//! when a call failed, once for each place in the code: the engine itself would read them for every error of a host
//! function, on the request's way. A component without them costs nothing.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::ops::Range;

use addr2line::Context;
use addr2line::gimli::{Dwarf, EndianSlice, Error, LittleEndian, SectionId};
use parking_lot::Mutex;
use wasmparser::{Encoding, Parser, Payload};

/// The most places that are kept.
const MAX_KEPT: usize = 256;

/// The most bytes of these sections that are kept for one component. Bytes.
const MAX_SECTIONS: usize = 64 * 1024 * 1024;

/// A line of the source.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct SourceLine {
    /// The function, as its author wrote it.
    pub(crate) function: String,
    pub(crate) file: String,
    pub(crate) line: u32,
}

/// The sections of one core module.
#[derive(Debug, Default)]
struct DebugSections {
    /// The module's bytes in the component's file.
    module: Range<u64>,
    /// Where its code begins. Addresses of DWARF are relative to it.
    code: u64,
    sections: BTreeMap<String, Vec<u8>>,
}

/// The lines of a component.
#[derive(Debug, Default)]
pub(crate) struct DebugLines {
    modules: Vec<DebugSections>,
    /// The lines that were asked for, by their place in the file.
    kept: Mutex<BTreeMap<u64, Vec<SourceLine>>>,
}

impl DebugLines {
    /// The lines of this component. A part that cannot be read has none.
    #[must_use]
    pub(crate) fn of(wasm: &[u8]) -> Self {
        let mut modules = Vec::new();
        let mut open: Vec<DebugSections> = Vec::new();
        let mut bytes = 0;
        for payload in Parser::new(0).parse_all(wasm) {
            match payload {
                Ok(Payload::Version {
                    encoding, range, ..
                }) => open.push(DebugSections {
                    module: match encoding {
                        Encoding::Module => range.start as u64..u64::MAX,
                        Encoding::Component => 0..0,
                    },
                    ..DebugSections::default()
                }),
                Ok(Payload::CodeSectionStart { range, .. }) => {
                    if let Some(module) = open.last_mut() {
                        module.code = range.start as u64;
                    }
                }
                Ok(Payload::CustomSection(section)) if section.name().starts_with(".debug_") => {
                    bytes += section.data().len();
                    if let Some(module) = open.last_mut()
                        && bytes <= MAX_SECTIONS
                    {
                        let data = section.data().to_vec();
                        module.sections.insert(section.name().to_owned(), data);
                    }
                }
                Ok(Payload::End(end)) => {
                    if let Some(mut module) = open.pop() {
                        module.module.end = module.module.end.min(end as u64);
                        modules.push(module);
                    }
                }
                Ok(_) => {}
                Err(_) => break,
            }
        }
        modules.retain(|module| !module.sections.is_empty());
        Self {
            modules,
            kept: Mutex::default(),
        }
    }

    /// A reader for the places of one stack.
    pub(crate) fn reader(&self) -> LineReader<'_> {
        LineReader {
            lines: self,
            contexts: BTreeMap::new(),
        }
    }
}

/// DWARF as `addr2line` reads it.
type DwarfContext<'a> = Context<EndianSlice<'a, LittleEndian>>;

/// Reads the lines of places. It goes through the sections of a module at most once, since that takes the longest.
pub(crate) struct LineReader<'a> {
    lines: &'a DebugLines,
    /// By the index of their modules; none for sections that cannot be read.
    contexts: BTreeMap<usize, Option<DwarfContext<'a>>>,
}

impl LineReader<'_> {
    /// The lines of the code at this place in the component's file, innermost first: functions that were inlined, and
    /// the one that they are in. Empty if the component has none.
    pub(crate) fn at(&mut self, offset: usize) -> Vec<SourceLine> {
        let offset = offset as u64;
        let lines = self.lines;
        let mut modules = lines.modules.iter().enumerate();
        let Some((index, module)) = modules.find(|(_, module)| module.module.contains(&offset))
        else {
            return Vec::new();
        };
        if let Some(known) = lines.kept.lock().get(&offset) {
            return known.clone();
        }
        // Without the lock, since this may take some milliseconds.
        let context = self
            .contexts
            .entry(index)
            .or_insert_with(|| module.context());
        let address = offset.saturating_sub(module.code);
        let read = context
            .as_ref()
            .and_then(|context| read(context, address).ok());
        let read = read.unwrap_or_default();
        let mut kept = lines.kept.lock();
        if kept.len() < MAX_KEPT {
            kept.insert(offset, read.clone());
        }
        read
    }
}

impl DebugSections {
    fn context(&self) -> Option<DwarfContext<'_>> {
        let section = |id: SectionId| {
            let data = self.sections.get(id.name()).map(Vec::as_slice);
            Ok::<_, Error>(EndianSlice::new(data.unwrap_or_default(), LittleEndian))
        };
        Context::from_dwarf(Dwarf::load(section).ok()?).ok()
    }
}

fn read(context: &DwarfContext<'_>, address: u64) -> Result<Vec<SourceLine>, Error> {
    let mut frames = context.find_frames(address).skip_all_loads()?;
    let mut lines = Vec::new();
    while let Some(frame) = frames.next()? {
        let location = frame.location.as_ref();
        let (Some(file), Some(line)) = (
            location.and_then(|location| location.file),
            location.and_then(|location| location.line),
        ) else {
            continue;
        };
        let name = frame.function.as_ref();
        let name = name.and_then(|name| name.raw_name().ok());
        lines.push(SourceLine {
            function: plain_name(&name.unwrap_or(Cow::Borrowed("an unnamed function"))),
            file: file.to_owned(),
            line,
        });
    }
    Ok(lines)
}

/// A function's name as its author wrote it: Rust's without its hash.
#[must_use]
pub(crate) fn plain_name(name: &str) -> String {
    format!("{:#}", rustc_demangle::demangle(name))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_rust_are_shown_as_they_were_written() {
        assert_eq!(
            plain_name("_ZN5probe4spin17h0123456789abcdefE"),
            "probe::spin"
        );
        assert_eq!(plain_name("main.spin"), "main.spin");
    }

    #[test]
    fn a_file_without_debug_sections_has_no_lines() {
        for wasm in [&b"\0asm\x0d\0\x01\0"[..], b"\0asm\x01\0\0\0", b"GIF89a"] {
            let lines = DebugLines::of(wasm);
            assert!(lines.modules.is_empty());
            assert_eq!(lines.reader().at(8), []);
        }
    }
}
