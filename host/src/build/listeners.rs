//! The certificates of a configuration's listeners, ready for handshakes.

use std::sync::Arc;

use crate::config::{Config, ListenerTls, Problems};
use crate::http::tls::live::{LiveTls, TlsOwner};
use crate::http::tls::server::TlsFault;
use crate::http::tls::watcher::CertificateWatcher;

/// The certificates of a configuration.
#[derive(Debug)]
pub(crate) struct ListenersTls {
    /// Those of each listener that has TLS, in the order of the configuration.
    pub(crate) listeners: Vec<Option<Arc<LiveTls>>>,
    /// Those of the admin listener.
    pub(crate) admin: Option<Arc<LiveTls>>,
}

/// Reads all of them. Those that cannot be used are errors at their place.
pub(crate) fn tls(
    config: &Config,
    watcher: &CertificateWatcher,
    problems: &mut Problems,
) -> ListenersTls {
    let mut read = |owner: TlsOwner, settings: Option<&ListenerTls>| {
        let former = watcher.in_use(&owner);
        let title = owner.to_string();
        let read = LiveTls::read(owner, settings?, former.as_deref());
        let (made, warnings) = match read {
            Ok((made, warnings)) => (Some(Arc::new(made)), warnings),
            Err(faults) => {
                for TlsFault { span, error } in faults {
                    let message = format!("{title}: {error}");
                    problems.error(span, message).help(error.help());
                }
                return None;
            }
        };
        for TlsFault { span, error } in warnings {
            let message = format!("{title}: {error}");
            problems.warning(span, message).help(error.help());
        }
        made
    };
    let listeners = config.listeners.iter().map(|listener| {
        let owner = TlsOwner::Listener(listener.address.to_string());
        read(owner, listener.tls.as_ref())
    });
    let listeners = listeners.collect();
    let admin = config.admin.as_ref().and_then(|admin| {
        let owner = TlsOwner::Admin(admin.address.to_string());
        read(owner, admin.tls.as_ref())
    });
    ListenersTls { listeners, admin }
}
