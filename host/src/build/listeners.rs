//! The certificates of a configuration's listeners, ready for handshakes.

use std::sync::Arc;

use rustls::ServerConfig;

use crate::config::{Config, Problems};
use crate::http::tls;
use crate::http::tls::{HTTP1, HTTP2};

/// How TLS is spoken on each listener, where it is. What cannot be used is an error at its place.
pub(crate) fn tls(config: &Config, problems: &mut Problems) -> Vec<Option<Arc<ServerConfig>>> {
    let mut all = Vec::new();
    for listener in &config.listeners {
        let made = listener.tls.as_ref().and_then(|files| {
            match tls::server(&files.certificate, &files.key, &[HTTP2, HTTP1]) {
                Ok(made) => Some(made),
                Err(first) => {
                    let mut faults = tls::pair_faults(&files.certificate, &files.key);
                    if faults.is_empty() {
                        faults.push(first);
                    }
                    for error in faults {
                        let message = format!("listener `{}`: {error}", listener.address);
                        problems.error(files.span, message).help(error.help());
                    }
                    None
                }
            }
        });
        all.push(made);
    }
    all
}
