//! `[wasm]` and `[log]`.

use std::num::NonZeroU32;

use crate::config::field::{Choice, Field, Is, Optional, Parsed, Section, Size, Whole, Written};
use crate::config::model::{AccessLog, CompileCache, Log, LogLevel, Wasm};
use crate::config::read::Table;
use crate::config::value::{Refused, size};

/// `[wasm]`.
pub(super) static WASM: Section = Section {
    heading: "[wasm]",
    doc: "Totals of the filter engine. Fixed for the life of the process.",
    fields: &[&MAX_INSTANCES, &MEMORY, &MAX_MEMORY, &CACHE],
    hints: &[],
    short: None,
    private: false,
};

static MAX_INSTANCES: Field<Whole<NonZeroU32>, Is<NonZeroU32>> = Field::new(
    "max_instances",
    Whole {
        least: 1,
        most: 100_000,
        of: |number| NonZeroU32::new(u32::try_from(number).ok()?),
    },
    Is(NonZeroU32::MIN.saturating_add(999)),
    "The most filter instances at once.",
);

static MEMORY: Field<Size<u64>, Is<u64>> = Field::new(
    "memory",
    Size {
        least: 1 << 20,
        most: 1 << 40,
        of: Some,
    },
    Is(1 << 30),
    "The linear memory of all instances together.",
);

static MAX_MEMORY: Field<Size<u64>, Is<u64>> = Field::new(
    "max_memory",
    Size {
        least: 1 << 20,
        most: 1 << 32,
        of: Some,
    },
    Is(256 << 20),
    "The most that one filter may be allowed by its `limits.memory`; at most `memory`.",
);

static CACHE: Field<Parsed<CompileCache>, Optional> = Field::new(
    "cache",
    Parsed {
        words: "a folder, or `\"off\"`",
        pattern: "",
        private: false,
        parse: |text, folder| match text {
            "" => Err(Refused::plain()),
            "off" => Ok(CompileCache::Off),
            path => Ok(CompileCache::Folder(folder.join(path))),
        },
    },
    Optional("`$XDG_CACHE_HOME/windlass`, else `~/.cache/windlass`"),
    "The folder of compiled components, relative to this file; `\"off\"` keeps none.",
);

/// Reads `[wasm]`.
pub(super) fn wasm(table: &mut Table<'_>) -> Option<Wasm> {
    let wasm = Wasm {
        max_instances: table.take(&MAX_INSTANCES),
        memory: table.take(&MEMORY),
        max_memory: table.take(&MAX_MEMORY),
        cache: table.take(&CACHE).unwrap_or(CompileCache::UserFolder),
    };
    if wasm.max_memory > wasm.memory {
        let key = if table.has(MEMORY.key) {
            MEMORY.key
        } else {
            MAX_MEMORY.key
        };
        let span = table.span_of(key);
        let (one, all) = (size::print(wasm.max_memory), size::print(wasm.memory));
        let message =
            format!("`max_memory` ({one}), of one filter, is more than `memory` ({all}), of all");
        table.error(span, &message);
    }
    Some(wasm)
}

/// `[log]`.
pub(super) static LOG: Section = Section {
    heading: "[log]",
    doc: "The gateway's log and the access log.",
    fields: &[&LEVEL, &ACCESS],
    hints: &[],
    short: None,
    private: false,
};

static LEVEL: Field<Choice<LogLevel>, Is<LogLevel>> = Field::new(
    "level",
    Choice {
        options: &[
            ("trace", LogLevel::Trace),
            ("debug", LogLevel::Debug),
            ("info", LogLevel::Info),
            ("warn", LogLevel::Warn),
            ("error", LogLevel::Error),
        ],
        hints: &[],
    },
    Is(LogLevel::Info),
    "The least important of the gateway's own lines that is written, to standard error.",
);

static ACCESS: Field<Parsed<AccessLog>, Written> = Field::new(
    "access",
    Parsed {
        words: "`\"off\"`, `\"stdout\"`, `\"stderr\"` or a file",
        pattern: "",
        private: false,
        parse: |text, folder| match text {
            "" => Err(Refused::plain()),
            "off" => Ok(AccessLog::Off),
            "stdout" => Ok(AccessLog::Stdout),
            "stderr" => Ok(AccessLog::Stderr),
            path => Ok(AccessLog::File(folder.join(path))),
        },
    },
    Written("off"),
    "Where one line of JSON for each request goes; a file is relative to this one.",
);

/// Reads `[log]`.
pub(super) fn log(table: &mut Table<'_>) -> Option<Log> {
    let level = table.take(&LEVEL);
    let access = table.take(&ACCESS);
    Some(Log {
        level,
        access: access.unwrap_or(AccessLog::Off),
    })
}
