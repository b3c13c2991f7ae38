//! Many requests on many connections at once.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use crate::client::{Client, Request, Response};

/// The load to send.
#[derive(Debug, Clone)]
pub struct Load {
    to: SocketAddr,
    request: Request,
    connections: usize,
}

/// The results of a load.
#[derive(Debug, Clone, Default)]
pub struct Report {
    /// The number of responses by status.
    pub statuses: BTreeMap<u16, usize>,
    /// The number of responses by body.
    pub bodies: BTreeMap<String, usize>,
    /// Broken connections and malformed responses.
    pub failures: Vec<String>,
    /// How long each response took.
    pub times: Vec<Duration>,
}

impl Report {
    /// The number of responses with this status.
    #[must_use]
    pub fn status(&self, status: u16) -> usize {
        self.statuses.get(&status).copied().unwrap_or_default()
    }

    /// The share of responses with this body, from 0 to 1.
    #[must_use]
    #[allow(clippy::cast_precision_loss, reason = "counts are small")]
    pub fn share(&self, body: &str) -> f64 {
        let all: usize = self.bodies.values().sum();
        self.bodies.get(body).copied().unwrap_or_default() as f64 / all as f64
    }

    /// The 90th percentile of the response times.
    ///
    /// # Panics
    ///
    /// If there is no response.
    #[must_use]
    pub fn p90(&self) -> Duration {
        let mut times = self.times.clone();
        times.sort_unstable();
        times[times.len() * 9 / 10]
    }

    fn note(&mut self, response: &Response) {
        *self.statuses.entry(response.status).or_default() += 1;
        if let Some(count) = self.bodies.get_mut(response.text()) {
            *count += 1;
        } else {
            self.bodies.insert(response.text().to_owned(), 1);
        }
    }

    fn join(&mut self, other: Self) {
        for (status, count) in other.statuses {
            *self.statuses.entry(status).or_default() += count;
        }
        for (body, count) in other.bodies {
            *self.bodies.entry(body).or_default() += count;
        }
        self.failures.extend(other.failures);
        self.times.extend(other.times);
    }
}

/// A load that runs until a test stops it.
#[derive(Debug)]
pub struct Running {
    stop: Arc<AtomicBool>,
    answered: Arc<AtomicUsize>,
    threads: Vec<JoinHandle<Report>>,
}

impl Running {
    /// The number of responses so far.
    #[must_use]
    pub fn answered(&self) -> usize {
        self.answered.load(Ordering::Relaxed)
    }

    /// Wait for this many more responses.
    pub fn wait_for_more(&self, more: usize) {
        let wanted = self.answered() + more;
        crate::wait::until("more answers", || (self.answered() >= wanted).then_some(()));
    }

    /// Stop once the active requests have ended.
    ///
    /// # Panics
    ///
    /// If a thread of the load panicked.
    #[must_use]
    pub fn stop(self) -> Report {
        self.stop.store(true, Ordering::Relaxed);
        let mut report = Report::default();
        for thread in self.threads {
            report.join(thread.join().expect("a load thread"));
        }
        report
    }
}

impl Load {
    /// A load that repeats one request on one connection.
    #[must_use]
    pub fn of(request: Request, to: SocketAddr) -> Self {
        Self {
            to,
            request,
            connections: 1,
        }
    }

    /// Use this many connections, each kept alive.
    #[must_use]
    pub fn connections(mut self, count: usize) -> Self {
        self.connections = count;
        self
    }

    /// Send this many requests in all, and read the responses.
    #[must_use]
    pub fn run(self, requests: usize) -> Report {
        let left = AtomicUsize::new(requests);
        let take = || {
            left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| {
                left.checked_sub(1)
            })
            .is_ok()
        };
        let whole = Mutex::new(Report::default());
        std::thread::scope(|scope| {
            for _ in 0..self.connections {
                scope.spawn(|| {
                    let report = self.repeat(take, || {});
                    whole
                        .lock()
                        .unwrap_or_else(PoisonError::into_inner)
                        .join(report);
                });
            }
        });
        whole.into_inner().unwrap_or_else(PoisonError::into_inner)
    }

    /// Send requests until the test stops the load.
    #[must_use]
    pub fn start(self) -> Running {
        let stop = Arc::new(AtomicBool::new(false));
        let answered = Arc::new(AtomicUsize::new(0));
        let threads = (0..self.connections).map(|_| {
            let (load, stop, answered) = (self.clone(), Arc::clone(&stop), Arc::clone(&answered));
            std::thread::spawn(move || {
                load.repeat(
                    || !stop.load(Ordering::Relaxed),
                    || {
                        answered.fetch_add(1, Ordering::Relaxed);
                    },
                )
            })
        });
        Running {
            threads: threads.collect(),
            stop,
            answered,
        }
    }

    fn repeat(&self, go_on: impl Fn() -> bool, answered: impl Fn()) -> Report {
        let mut report = Report::default();
        let mut client = Client::connect(self.to);
        let bytes = self.request.bytes();
        while go_on() {
            let began = Instant::now();
            let sent = client.try_send_raw(&bytes);
            match sent.and_then(|()| client.try_read(false, true)) {
                Ok(Some(response)) => {
                    report.note(&response);
                    report.times.push(began.elapsed());
                    answered();
                    if response.header("connection") == Some("close") {
                        client = Client::connect(self.to);
                    }
                }
                Ok(None) => {
                    report.failures.push("the connection was closed".to_owned());
                    client = Client::connect(self.to);
                }
                Err(error) => {
                    report.failures.push(error.to_string());
                    client = Client::connect(self.to);
                }
            }
        }
        report
    }
}
