//! The threads that make instances, since that takes too long for a worker.
//!
//! A pool asks them through its [`JobSender`]. They end when the last pool and the registry are gone.

use std::{io, thread};

use super::job_queue::{JobQueue, JobSender};
use super::pool::InstancePool;

const THREADS: usize = 4;

/// How many of the threads work for one filter at once.
const THREADS_PER_FILTER: usize = THREADS / 2;

/// Guests run on these threads.
const STACK: usize = 4 * 1024 * 1024;

/// Start the threads.
///
/// # Errors
///
/// The system cannot start one.
pub(super) fn start() -> io::Result<JobSender<InstancePool>> {
    let (sender, queue) = JobSender::new(THREADS_PER_FILTER);
    for _ in 0..THREADS {
        let queue = queue.clone();
        thread::Builder::new()
            .name("windlass-instances".into())
            .stack_size(STACK)
            .spawn(move || work(&queue))?;
    }
    Ok(sender)
}

fn work(queue: &JobQueue<InstancePool>) {
    while let Some(job) = queue.next() {
        if let Some(pool) = job.pool.upgrade() {
            pool.maintain(job.worker);
        }
        queue.done(&job);
    }
}
