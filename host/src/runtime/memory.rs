//! The memory that the process uses, against the most that it may use (`[server] max_memory`).
//!
//! A thread of its own reads the resident memory a few times a second. Near the bound it sets a flag, and the spine
//! refuses new requests until the memory has fallen. A request only reads the flag. The bound that nobody sets is
//! a part of what the machine or the control group (container) has.

use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, OnceLock, Weak};
use std::time::Duration;
use std::{fs, thread};

use super::process::ProcessFigures;

/// The time between two looks.
const INTERVAL: Duration = Duration::from_millis(100);
/// The share of the memory of the machine or control group that is the bound if none is set, in percent.
const DEFAULT_PERCENT: u64 = 90;
/// Requests are taken again when the memory is this part below the bound, as a divisor.
const RECOVERY_SHARE: u64 = 32;

/// Whether the process uses too much memory.
#[derive(Debug, Default)]
pub(crate) struct MemoryPressure {
    /// 0: none.
    most: AtomicU64,
    is_high: AtomicBool,
}

impl MemoryPressure {
    /// Whether new requests must be refused.
    #[must_use]
    pub(crate) fn is_high(&self) -> bool {
        self.is_high.load(Relaxed)
    }

    /// Compare the memory that is used now with the bound. Some if requests are refused from now on, or no longer.
    fn look(&self, used: u64) -> Option<bool> {
        let (most, was_high) = (self.most.load(Relaxed), self.is_high());
        let is_high = match was_high {
            _ if most == 0 => false,
            true => used > most - most / RECOVERY_SHARE,
            false => used >= most,
        };
        self.is_high.store(is_high, Relaxed);
        (is_high != was_high).then_some(is_high)
    }
}

/// The thread that looks.
#[derive(Debug, Default)]
pub(crate) struct MemoryWatcher {
    pub(crate) pressure: Arc<MemoryPressure>,
    thread: OnceLock<()>,
}

impl MemoryWatcher {
    /// Use this bound from now on. None: there is none.
    pub(crate) fn put_in_use(&self, most: Option<u64>) {
        self.pressure.most.store(most.unwrap_or(0), Relaxed);
        if most.is_some() {
            self.thread.get_or_init(|| start(&self.pressure));
        }
    }
}

fn start(pressure: &Arc<MemoryPressure>) {
    let pressure = Arc::downgrade(pressure);
    let thread = thread::Builder::new().name("memory".into());
    if let Err(error) = thread.spawn(move || run(&pressure)) {
        tracing::error!(
            "the system gives no thread to watch the memory: {error}; `max_memory` is not in force, so restart the gateway"
        );
    }
}

/// Look until the watcher is gone.
fn run(pressure: &Weak<MemoryPressure>) {
    loop {
        thread::sleep(INTERVAL);
        let Some(pressure) = pressure.upgrade() else {
            return;
        };
        let Some(figures) = ProcessFigures::read() else {
            continue;
        };
        let (used, most) = (figures.resident_bytes, pressure.most.load(Relaxed));
        match pressure.look(used) {
            Some(true) => tracing::warn!(
                resident_bytes = used,
                max_memory = most,
                "the gateway uses `max_memory`: new requests get 503 until it uses less; give it more memory, or lower `max_connections`, `max_active_requests` or `[wasm] memory`"
            ),
            Some(false) => tracing::info!(
                resident_bytes = used,
                max_memory = most,
                "the gateway uses less than `max_memory` again: requests are accepted"
            ),
            None => {}
        }
    }
}

/// The bound if the configuration sets none.
#[must_use]
pub(crate) fn default_bound() -> Option<u64> {
    let all = available(Path::new("/"))?;
    Some(all / 100 * DEFAULT_PERCENT)
}

/// The memory of the machine or of the control group, whichever is less.
fn available(root: &Path) -> Option<u64> {
    let read = |path: &str| fs::read_to_string(root.join(path)).ok();
    let machine = read("proc/meminfo").and_then(|info| memory_total(&info));
    let groups = read("proc/self/cgroup").unwrap_or_default();
    let limits = groups.lines().flat_map(limit_files);
    let limits = limits.filter_map(|path| read(&path)?.trim().parse::<u64>().ok());
    limits.chain(machine).min()
}

fn memory_total(info: &str) -> Option<u64> {
    let row = info.lines().find_map(|row| row.strip_prefix("MemTotal:"))?;
    let kib: u64 = row.trim().strip_suffix("kB")?.trim().parse().ok()?;
    kib.checked_mul(1024)
}

/// The files with the limits of a control group and of those around it, for a row of `/proc/self/cgroup`.
fn limit_files(row: &str) -> Vec<String> {
    let mut parts = row.splitn(3, ':').skip(1);
    let (Some(controllers), Some(path)) = (parts.next(), parts.next()) else {
        return Vec::new();
    };
    let (base, file) = match controllers {
        "" => ("sys/fs/cgroup", "memory.max"),
        other if other.split(',').any(|one| one == "memory") => {
            ("sys/fs/cgroup/memory", "memory.limit_in_bytes")
        }
        _ => return Vec::new(),
    };
    // In a container the path may be that of the host, which is not visible: the root is the container's then.
    let groups = Path::new(path).ancestors().map(Path::to_string_lossy);
    let groups = groups.map(|group| group.trim_matches('/').to_owned());
    groups
        .map(|group| format!("{base}/{group}/{file}"))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_are_refused_at_the_bound_and_taken_again_well_below_it() {
        let pressure = MemoryPressure::default();
        assert_eq!(pressure.look(u64::MAX), None, "no bound");
        pressure.most.store(3200, Relaxed);
        let looks = [3199, 3200, 3101, 3100, 3199, 4000].map(|used| pressure.look(used));
        let (begins, ends) = (Some(true), Some(false));
        assert_eq!(looks, [None, begins, None, ends, None, begins]);
        // A reload takes the bound away.
        pressure.most.store(0, Relaxed);
        assert_eq!(pressure.look(4000), ends);
    }

    /// The available memory of a machine with these files.
    fn with(files: &[(&str, &str)]) -> Option<u64> {
        let root = tempfile::tempdir().unwrap();
        for (path, text) in files {
            let path = root.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }
        available(root.path())
    }

    #[test]
    fn the_least_limit_of_the_machine_and_of_the_control_groups_counts() {
        let machine = ("proc/meminfo", "MemTotal:        4096 kB\nMemFree: 1 kB\n");
        assert_eq!(with(&[]), None);
        assert_eq!(with(&[machine]), Some(4096 * 1024));
        let group = ("proc/self/cgroup", "0::/a/b\n");
        let files = [
            machine,
            group,
            ("sys/fs/cgroup/a/memory.max", "1000\n"),
            ("sys/fs/cgroup/a/b/memory.max", "max\n"),
        ];
        assert_eq!(with(&files), Some(1000));
        let first = ("proc/self/cgroup", "3:cpu,cpuacct:/x\n2:memory:/docker/1\n");
        let limit = "sys/fs/cgroup/memory/memory.limit_in_bytes";
        assert_eq!(with(&[machine, first, (limit, "2000\n")]), Some(2000));
    }
}
