//! The threads that make instances, so that no worker has to.
//!
//! Several, and no filter has more than half of them: one whose settings take long to read does
//! not hold up the others. What is to be done is a worker's slot of a filter; each is in the queue
//! once, so that the queue is bounded by the configuration.

use std::collections::{HashMap, VecDeque};
use std::fmt;
use std::sync::{Arc, Weak};
use std::thread;

use parking_lot::{Condvar, Mutex};

use super::filter::Filter;

const THREADS: usize = 4;

/// How many of them work for one filter at once.
const THREADS_PER_FILTER: usize = THREADS / 2;

/// Guests run on these threads.
const STACK: usize = 4 * 1024 * 1024;

/// Asks the threads that make instances. They end with the last of these.
#[derive(Clone)]
pub(crate) struct InstanceMaker {
    handle: Arc<MakerHandle>,
}

/// Closes the queue when it is dropped.
struct MakerHandle(Arc<JobQueue>);

#[derive(Default)]
struct JobQueue {
    jobs: Mutex<Jobs>,
    job_added: Condvar,
}

#[derive(Default)]
struct Jobs {
    waiting: VecDeque<Job>,
    /// How many threads work for a filter, by its address.
    busy: HashMap<usize, usize>,
    closed: bool,
}

/// Look after a worker's instances of a filter.
struct Job {
    filter: Weak<Filter>,
    worker: usize,
}

impl Job {
    /// Tells filters apart, while they are there.
    fn filter_address(&self) -> usize {
        self.filter.as_ptr().addr()
    }
}

impl InstanceMaker {
    /// Start the threads.
    ///
    /// # Errors
    ///
    /// The system cannot start one.
    pub(crate) fn start() -> std::io::Result<Self> {
        let queue = Arc::new(JobQueue::default());
        let handle = Arc::new(MakerHandle(Arc::clone(&queue)));
        for _ in 0..THREADS {
            let queue = Arc::clone(&queue);
            thread::Builder::new()
                .name("windlass-instances".into())
                .stack_size(STACK)
                .spawn(move || queue.work())?;
        }
        Ok(Self { handle })
    }

    /// Have a worker's instances of a filter looked after, soon.
    pub(crate) fn request_instances(&self, filter: Weak<Filter>, worker: usize) {
        let queue = &self.handle.0;
        queue.jobs.lock().waiting.push_back(Job { filter, worker });
        queue.job_added.notify_one();
    }
}

impl JobQueue {
    fn work(&self) {
        while let Some(job) = self.next() {
            if let Some(filter) = job.filter.upgrade() {
                filter.pool().maintain(&filter, job.worker);
            }
            self.done(&job);
        }
    }

    /// The first job whose filter has not its share of the threads.
    fn next(&self) -> Option<Job> {
        let mut jobs = self.jobs.lock();
        loop {
            if jobs.closed {
                return None;
            }
            let may_run = |job: &Job| {
                jobs.busy.get(&job.filter_address()).copied().unwrap_or(0) < THREADS_PER_FILTER
            };
            if let Some(place) = jobs.waiting.iter().position(may_run) {
                let job = jobs.waiting.remove(place)?;
                *jobs.busy.entry(job.filter_address()).or_default() += 1;
                return Some(job);
            }
            self.job_added.wait(&mut jobs);
        }
    }

    fn done(&self, job: &Job) {
        let mut jobs = self.jobs.lock();
        if let Some(count) = jobs.busy.get_mut(&job.filter_address()) {
            *count -= 1;
            if *count == 0 {
                jobs.busy.remove(&job.filter_address());
            }
        }
        drop(jobs);
        // A job of this filter may have waited for it.
        self.job_added.notify_one();
    }
}

impl Drop for MakerHandle {
    fn drop(&mut self) {
        self.0.jobs.lock().closed = true;
        self.0.job_added.notify_all();
    }
}

impl fmt::Debug for InstanceMaker {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("InstanceMaker")
    }
}
