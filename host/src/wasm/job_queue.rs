//! The queue of the threads that make instances ([`super::maker`]).
//!
//! A job is a worker's part of a pool. No pool has more than half of the threads: a filter whose
//! settings take long to read does not hold up the others. A pool asks once for each worker until the
//! job is done, so that the configuration bounds the queue.

use std::collections::{HashMap, VecDeque};
use std::fmt;
use std::sync::{Arc, Weak};

use parking_lot::{Condvar, Mutex};

/// Sends jobs for pools of type `P`. The queue closes with the last sender.
pub(super) struct JobSender<P> {
    close: Arc<CloseOnDrop<P>>,
}

/// Closes the queue when it is dropped.
struct CloseOnDrop<P>(Arc<JobQueue<P>>);

/// Jobs that wait for a thread.
pub(super) struct JobQueue<P> {
    jobs: Mutex<Jobs<P>>,
    job_added: Condvar,
    /// How many threads may work for one pool at once.
    threads_per_pool: usize,
}

struct Jobs<P> {
    waiting: VecDeque<Job<P>>,
    /// How many threads work for a pool, by its address.
    busy: HashMap<usize, usize>,
    closed: bool,
}

/// Look after a worker's part of a pool.
pub(super) struct Job<P> {
    pub(super) pool: Weak<P>,
    pub(super) worker: usize,
}

impl<P> Job<P> {
    /// Distinguishes pools, while they exist.
    fn pool_address(&self) -> usize {
        self.pool.as_ptr().addr()
    }
}

impl<P> JobSender<P> {
    /// A sender, and the queue that threads take its jobs from.
    pub(super) fn new(threads_per_pool: usize) -> (Self, Arc<JobQueue<P>>) {
        let queue = Arc::new(JobQueue {
            jobs: Mutex::new(Jobs {
                waiting: VecDeque::new(),
                busy: HashMap::new(),
                closed: false,
            }),
            job_added: Condvar::new(),
            threads_per_pool,
        });
        let close = Arc::new(CloseOnDrop(Arc::clone(&queue)));
        (Self { close }, queue)
    }

    /// Have a worker's part of a pool looked after, soon.
    pub(super) fn send(&self, pool: Weak<P>, worker: usize) {
        let queue = &self.close.0;
        queue.jobs.lock().waiting.push_back(Job { pool, worker });
        queue.job_added.notify_one();
    }
}

impl<P> JobQueue<P> {
    /// The first job whose pool does not have its share of the threads. Waits for one; none when the
    /// queue is closed.
    pub(super) fn next(&self) -> Option<Job<P>> {
        let mut jobs = self.jobs.lock();
        loop {
            if jobs.closed {
                return None;
            }
            let may_run = |job: &Job<P>| {
                jobs.busy.get(&job.pool_address()).copied().unwrap_or(0) < self.threads_per_pool
            };
            if let Some(index) = jobs.waiting.iter().position(may_run) {
                let job = jobs.waiting.remove(index)?;
                *jobs.busy.entry(job.pool_address()).or_default() += 1;
                return Some(job);
            }
            self.job_added.wait(&mut jobs);
        }
    }

    /// The job that [`next`](Self::next) gave is done.
    pub(super) fn done(&self, job: &Job<P>) {
        let mut jobs = self.jobs.lock();
        if let Some(count) = jobs.busy.get_mut(&job.pool_address()) {
            *count -= 1;
            if *count == 0 {
                jobs.busy.remove(&job.pool_address());
            }
        }
        drop(jobs);
        // A job of this pool may have waited for it.
        self.job_added.notify_one();
    }
}

impl<P> Clone for JobSender<P> {
    fn clone(&self) -> Self {
        Self {
            close: Arc::clone(&self.close),
        }
    }
}

impl<P> Drop for CloseOnDrop<P> {
    fn drop(&mut self) {
        self.0.jobs.lock().closed = true;
        self.0.job_added.notify_all();
    }
}

impl<P> fmt::Debug for JobSender<P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("JobSender")
    }
}
