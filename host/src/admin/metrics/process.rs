//! Metrics of the process, with the names that all programs give them.

use crate::observe::metrics::{MetricFamily, families};
use crate::runtime::descriptors;
use crate::runtime::process::{ProcessFigures, open_files};

families! {
    /// The families of the process.
    struct OwnProcessFamilies {
        process_cpu_seconds = Counter, "CPU time of the process, of the user and the system";
        process_resident_memory_bytes = Gauge, "Resident memory of the process";
        process_virtual_memory_bytes = Gauge, "Virtual memory of the process; most of it is reserved for filter instances and not used";
        process_start_time_seconds = Gauge, "When the process started, in seconds since 1970";
        process_open_fds = Gauge, "Open files and sockets";
        process_max_fds = Gauge, "Files and sockets that the process may have open; 0: no limit";
    }
}

pub(super) fn families() -> Vec<MetricFamily> {
    let mut families = OwnProcessFamilies::default();
    if let Some(figures) = ProcessFigures::read() {
        let cpu = figures.cpu.as_secs_f64();
        families.process_cpu_seconds.push(&[], cpu);
        let resident = &mut families.process_resident_memory_bytes;
        resident.push(&[], figures.resident_bytes);
        let virtual_memory = &mut families.process_virtual_memory_bytes;
        virtual_memory.push(&[], figures.virtual_bytes);
        if let Some(started) = figures.started() {
            let start = &mut families.process_start_time_seconds;
            start.push(&[], started.as_secs_f64());
        }
    }
    if let Some(open) = open_files() {
        families.process_open_fds.push(&[], open);
    }
    families.process_max_fds.push(&[], descriptors::limit());
    families.into()
}
