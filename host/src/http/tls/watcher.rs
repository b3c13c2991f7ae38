//! Watches the files of the certificates in use, and replaces those whose files change.
//!
//! It looks at the files by itself, since notices of the system are lost on network file systems and for
//! links that are swapped. It works on a thread of its own, never on a worker. It promises that files that
//! cannot be used are told once, and that a certificate in use that nears its end is told daily.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock, Weak};
use std::time::Duration;

use parking_lot::Mutex;

use super::live::{LiveTls, Refreshed, TlsOwner};
use super::server::TlsFault;
use crate::runtime::clock::Timestamp;

/// The time between two looks at the files. A change is used after one to two of it.
const INTERVAL: Duration = Duration::from_secs(1);
/// The time between two warnings of a certificate's end. Seconds.
const REMINDER_S: i64 = 24 * 3600;

/// The certificates in use, and the thread that watches their files.
#[derive(Debug, Default)]
pub(crate) struct CertificateWatcher {
    watched: Arc<Watched>,
    thread: OnceLock<()>,
}

#[derive(Debug, Default)]
struct Watched {
    in_use: Mutex<Vec<Arc<LiveTls>>>,
    done: AtomicU64,
    refused: AtomicU64,
}

impl CertificateWatcher {
    /// Watches these from now on, and no others.
    pub(crate) fn put_in_use(&self, all: Vec<Arc<LiveTls>>) {
        let is_any = !all.is_empty();
        *self.watched.in_use.lock() = all;
        if is_any {
            self.thread.get_or_init(|| start(&self.watched));
        }
    }

    /// The certificates in use of this owner.
    #[must_use]
    pub(crate) fn in_use(&self, owner: &TlsOwner) -> Option<Arc<LiveTls>> {
        let all = self.watched.in_use.lock();
        all.iter().find(|one| one.owner() == owner).cloned()
    }

    /// How often changed files were used, and how often they could not be.
    #[must_use]
    pub(crate) fn counts(&self) -> [(&'static str, u64); 2] {
        let (done, refused) = (&self.watched.done, &self.watched.refused);
        [
            ("done", done.load(Ordering::Relaxed)),
            ("refused", refused.load(Ordering::Relaxed)),
        ]
    }
}

fn start(watched: &Arc<Watched>) {
    let watched = Arc::downgrade(watched);
    let thread = std::thread::Builder::new().name("certificates".into());
    if let Err(error) = thread.spawn(move || run(&watched)) {
        tracing::error!(
            "the system gives no thread to watch the certificates' files: {error}; send SIGHUP when they change"
        );
    }
}

/// Looks at the files until the watcher is gone.
fn run(watched: &Weak<Watched>) {
    let mut reminded_s = Timestamp::now().unix_s();
    loop {
        std::thread::sleep(INTERVAL);
        let Some(watched) = watched.upgrade() else {
            return;
        };
        let now_s = Timestamp::now().unix_s();
        let is_time = now_s.saturating_sub(reminded_s) >= REMINDER_S;
        if is_time {
            reminded_s = now_s;
        }
        let all = watched.in_use.lock().clone();
        for one in all {
            watched.look(&one, now_s);
            if is_time {
                remind(&one, now_s);
            }
        }
    }
}

impl Watched {
    fn look(&self, tls: &LiveTls, now_s: i64) {
        let owner = tls.owner();
        match tls.refresh(now_s) {
            Refreshed::Unchanged => {}
            Refreshed::Done(warnings) => {
                self.done.fetch_add(1, Ordering::Relaxed);
                tracing::info!("{owner}: its certificates were read again, since files changed");
                report(owner, "", &warnings);
            }
            Refreshed::Refused(faults) => {
                self.refused.fetch_add(1, Ordering::Relaxed);
                let kept = "the changed certificates are not used, and the old ones stay: ";
                report(owner, kept, &faults);
            }
        }
    }
}

fn report(owner: &TlsOwner, kept: &str, faults: &[TlsFault]) {
    for TlsFault { error, .. } in faults {
        tracing::warn!("{owner}: {kept}{error}; {}", error.help());
    }
}

fn remind(tls: &LiveTls, now_s: i64) {
    for error in tls.validity_faults(now_s) {
        tracing::warn!("{}: {error}; {}", tls.owner(), error.help());
    }
}
