//! The certificates of a listener that are in use, which can be replaced while it serves.
//!
//! It promises that every handshake after a replacement uses the new certificates, that open connections
//! and session tickets stay good, and that files that cannot be used change nothing.

use std::path::Path;
use std::sync::Arc;

use arc_swap::ArcSwap;
use parking_lot::Mutex;
use rustls::ServerConfig;

use super::certificate::{ServedCertificate, ValidityFault};
use super::server::{self, LoadedTls, TlsFault};
use super::stamp::FileStamp;
use super::{HTTP1, HTTP2, TlsError};
use crate::config::{CertificateFiles, ListenerTls};
use crate::runtime::clock::Timestamp;

/// When files that cannot be used are read again. Seconds: a certificate may begin meanwhile.
const RETRY_S: i64 = 60;

/// The owner of certificates.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum TlsOwner {
    /// The listener with this address.
    Listener(String),
    /// The admin listener, with this address.
    Admin(String),
}

/// The certificates of a listener, ready for handshakes.
pub(crate) struct LiveTls {
    owner: TlsOwner,
    settings: ListenerTls,
    current: ArcSwap<LoadedTls>,
    files: Mutex<WatchedFiles>,
}

/// The state of the files as the certificates were read, and as it was seen since.
#[derive(Debug)]
struct WatchedFiles {
    read: Vec<FileStamp>,
    seen: Vec<FileStamp>,
    /// When files that could not be used are read again. Seconds since 1970.
    retry_at_s: Option<i64>,
}

/// The result of a look at the files.
#[derive(Debug)]
pub(super) enum Refreshed {
    Unchanged,
    /// New certificates are in use; there are these warnings.
    Done(Vec<TlsFault>),
    /// The new files are not used.
    Refused(Vec<TlsFault>),
}

impl LiveTls {
    /// Reads the files. Sessions that began with `former` can be resumed. Returns the warnings, too.
    ///
    /// # Errors
    ///
    /// All files that cannot be used; among them certificates that are not valid now, while the one that
    /// `former` has of the same file is.
    pub(crate) fn read(
        owner: TlsOwner,
        settings: &ListenerTls,
        former: Option<&Self>,
    ) -> Result<(Self, Vec<TlsFault>), Vec<TlsFault>> {
        // Before the files are read, so that a change in between is seen.
        let read: Vec<FileStamp> = files(settings).map(FileStamp::of).collect();
        let present = former.map(|former| former.current.load_full());
        let mut loaded = server::load(settings, owner.protocols(), present.as_deref())?;
        if let Some(former) = former {
            former.check_not_worse(&loaded)?;
        }
        let warnings = std::mem::take(&mut loaded.warnings);
        let made = Self {
            owner,
            settings: settings.clone(),
            current: ArcSwap::from_pointee(loaded),
            files: Mutex::new(WatchedFiles {
                seen: read.clone(),
                read,
                retry_at_s: None,
            }),
        };
        Ok((made, warnings))
    }

    pub(crate) fn owner(&self) -> &TlsOwner {
        &self.owner
    }

    /// The settings of the next handshake.
    #[must_use]
    pub(crate) fn config(&self) -> Arc<ServerConfig> {
        Arc::clone(&self.current.load().config)
    }

    /// The certificates in use, for `/metrics`.
    #[must_use]
    pub(crate) fn served(&self) -> Vec<ServedCertificate> {
        let (audience, name) = match &self.owner {
            TlsOwner::Listener(address) => ("listener", address),
            TlsOwner::Admin(address) => ("admin", address),
        };
        let current = self.current.load();
        let all = current.certificates.iter().map(|one| ServedCertificate {
            audience,
            name: name.clone(),
            file: one.file.clone(),
            ends_s: one.validity.ends_s,
        });
        all.collect()
    }

    /// The certificates in use that have expired, or expire soon.
    pub(super) fn validity_faults(&self, now_s: i64) -> Vec<TlsError> {
        let current = self.current.load();
        let all = current.certificates.iter();
        let faults = all.filter_map(|one| {
            let fault = one.validity.fault(now_s)?;
            Some(not_valid(&one.file, &fault))
        });
        faults.collect()
    }

    /// Reads the files again if they have changed, but not since the last look: whoever writes several files
    /// has then finished. Files that cannot be used are tried again each minute, and told once.
    pub(super) fn refresh(&self, now_s: i64) -> Refreshed {
        let now: Vec<FileStamp> = files(&self.settings).map(FileStamp::of).collect();
        let mut watched = self.files.lock();
        let is_settled = watched.seen == now;
        watched.seen.clone_from(&now);
        let is_changed = watched.read != now;
        let is_due = match watched.retry_at_s {
            Some(at_s) => at_s <= now_s,
            None => self.has_stale_response(now_s),
        };
        if !is_settled || !(is_changed || is_due) {
            return Refreshed::Unchanged;
        }
        watched.read = now;
        let is_told = !is_changed && watched.retry_at_s.is_some();
        match self.replace() {
            Ok(warnings) => {
                watched.retry_at_s = None;
                Refreshed::Done(warnings)
            }
            Err(faults) => {
                watched.retry_at_s = Some(now_s.saturating_add(RETRY_S));
                if is_told {
                    Refreshed::Unchanged
                } else {
                    Refreshed::Refused(faults)
                }
            }
        }
    }

    fn replace(&self) -> Result<Vec<TlsFault>, Vec<TlsFault>> {
        let present = self.current.load_full();
        let mut loaded = server::load(&self.settings, self.owner.protocols(), Some(&present))?;
        self.check_not_worse(&loaded)?;
        let warnings = std::mem::take(&mut loaded.warnings);
        self.current.store(Arc::new(loaded));
        Ok(warnings)
    }

    /// Whether an OCSP response that is stapled is out of date.
    fn has_stale_response(&self, now_s: i64) -> bool {
        let current = self.current.load();
        let mut ends = current.certificates.iter().map(|one| one.staple_ends_s);
        ends.any(|ends_s| ends_s.is_some_and(|ends_s| ends_s <= now_s))
    }

    /// Refuses certificates that are not valid now while the present one of the same file is.
    fn check_not_worse(&self, next: &LoadedTls) -> Result<(), Vec<TlsFault>> {
        let now_s = Timestamp::now().unix_s();
        let present = self.current.load();
        let is_valid = |fault: Option<ValidityFault>| {
            matches!(fault, None | Some(ValidityFault::ExpiresSoon(_)))
        };
        let worse = next.certificates.iter().filter_map(|one| {
            let fault = one.validity.fault(now_s)?;
            let mut former = present.certificates.iter();
            let former = former.find(|former| former.file == one.file)?;
            let is_worse = !is_valid(Some(fault)) && is_valid(former.validity.fault(now_s));
            is_worse.then(|| TlsFault {
                span: one.span,
                error: not_valid(&one.file, &fault),
            })
        });
        let worse: Vec<TlsFault> = worse.collect();
        if worse.is_empty() { Ok(()) } else { Err(worse) }
    }
}

impl std::fmt::Debug for LiveTls {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("LiveTls").field(&self.owner).finish()
    }
}

impl TlsOwner {
    /// The protocols of ALPN, the preferred one first.
    fn protocols(&self) -> &'static [&'static [u8]] {
        match self {
            Self::Listener(_) => &[HTTP2, HTTP1],
            Self::Admin(_) => &[HTTP1],
        }
    }
}

impl std::fmt::Display for TlsOwner {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Listener(address) => write!(f, "listener `{address}`"),
            Self::Admin(_) => f.write_str("`[admin] tls`"),
        }
    }
}

/// All files of a listener.
fn files(settings: &ListenerTls) -> impl Iterator<Item = &Path> {
    let own = settings.all().flat_map(|one: &CertificateFiles| {
        let always = [&*one.certificate, &*one.key];
        always.into_iter().chain(one.ocsp.as_deref())
    });
    let clients = settings.client_auth.iter().flat_map(|clients| {
        let lists = clients.crl.iter().map(|path| &**path);
        lists.chain([&*clients.ca])
    });
    own.chain(clients)
}

fn not_valid(path: &Path, fault: &ValidityFault) -> TlsError {
    let what = format!("holds a certificate that {fault}");
    let help = match fault {
        ValidityFault::NotYetValid(_) => {
            "see that the clock of this machine is right, or wait until then"
        }
        ValidityFault::Expired(_) | ValidityFault::ExpiresSoon(_) => {
            "renew it, and put the new one in its place"
        }
    };
    TlsError::new(path, &what, help)
}
