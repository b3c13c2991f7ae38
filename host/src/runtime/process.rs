//! Figures of this process, as the kernel has them: CPU time, memory, open files, and its start.
//!
//! They are read when somebody asks. A figure that cannot be read (no `/proc` in a container) is none.

use std::fs;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use rustix::param::{clock_ticks_per_second, page_size};

/// The fields of `/proc/self/stat` (`proc_pid_stat(5)`), counted from the one after the name.
const USER_TICKS: usize = 11;
const SYSTEM_TICKS: usize = 12;
const START_TICKS: usize = 19;
const VIRTUAL_BYTES: usize = 20;
const RESIDENT_PAGES: usize = 21;

/// Figures of this process.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct ProcessFigures {
    pub(crate) cpu: Duration,
    pub(crate) resident_bytes: u64,
    pub(crate) virtual_bytes: u64,
    /// From the start of the machine to that of the process.
    started_after_boot: Duration,
}

impl ProcessFigures {
    #[must_use]
    pub(crate) fn read() -> Option<Self> {
        let stat = fs::read_to_string("/proc/self/stat").ok()?;
        Self::parse(&stat, clock_ticks_per_second(), page_size() as u64)
    }

    fn parse(stat: &str, ticks_per_second: u64, page_size: u64) -> Option<Self> {
        // The name of the process may have spaces and parentheses.
        let (_, rest) = stat.rsplit_once(") ")?;
        let fields: Vec<&str> = rest.split_ascii_whitespace().collect();
        let number = |index: usize| fields.get(index)?.parse::<u64>().ok();
        let time = |ticks: u64| {
            let millis = ticks.saturating_mul(1000).checked_div(ticks_per_second)?;
            Some(Duration::from_millis(millis))
        };
        Some(Self {
            cpu: time(number(USER_TICKS)?.saturating_add(number(SYSTEM_TICKS)?))?,
            resident_bytes: number(RESIDENT_PAGES)?.saturating_mul(page_size),
            virtual_bytes: number(VIRTUAL_BYTES)?,
            started_after_boot: time(number(START_TICKS)?)?,
        })
    }

    /// When the process started, since 1970.
    #[must_use]
    pub(crate) fn started(&self) -> Option<Duration> {
        let uptime = fs::read_to_string("/proc/uptime").ok()?;
        let uptime: f64 = uptime.split_ascii_whitespace().next()?.parse().ok()?;
        let uptime = Duration::try_from_secs_f64(uptime).ok()?;
        let now = SystemTime::now().duration_since(UNIX_EPOCH).ok()?;
        (now + self.started_after_boot).checked_sub(uptime)
    }
}

/// How many files and sockets are open.
#[must_use]
pub(crate) fn open_files() -> Option<usize> {
    // One of them is the folder that is read.
    let count = fs::read_dir("/proc/self/fd").ok()?.count();
    Some(count.saturating_sub(1))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_name_of_the_process_may_look_like_fields() {
        let stat = "7 (a) 1 (b) S 1 7 7 0 -1 4194560 1 0 0 0 150 50 0 0 20 0 4 0 900 4096 3 18446744073709551615";
        let figures = ProcessFigures::parse(stat, 100, 4096).unwrap();
        let expected = ProcessFigures {
            cpu: Duration::from_secs(2),
            resident_bytes: 3 * 4096,
            virtual_bytes: 4096,
            started_after_boot: Duration::from_secs(9),
        };
        assert_eq!(figures, expected);
        assert_eq!(ProcessFigures::parse("7 (a) S 1", 100, 4096), None);
    }

    #[test]
    fn this_process_has_figures() {
        let figures = ProcessFigures::read().unwrap();
        assert!(figures.resident_bytes > 0 && figures.virtual_bytes >= figures.resident_bytes);
        let started = UNIX_EPOCH + figures.started().unwrap();
        let age = SystemTime::now().duration_since(started).unwrap();
        assert!(age < Duration::from_hours(1), "{age:?}");
        assert!(open_files().unwrap() >= 3);
    }
}
