//! The servers of a configuration that filters may ask.

use std::sync::Arc;

use super::ProcessResources;
use crate::callout::{CalloutTarget, CalloutThread, Callouts};
use crate::config::{self, Config, Problems};
use crate::http::tls;
use crate::http::tls::{ClientTls, HTTP1, HTTP2, SystemRoots};

/// Build them. Leaves out those of which something is wrong.
pub(super) fn build(
    config: &Config,
    foundation: &ProcessResources,
    problems: &mut Problems,
) -> Callouts {
    if config.callouts.is_empty() {
        return Callouts::default();
    }
    let thread = match thread(foundation) {
        Ok(thread) => thread,
        Err(error) => {
            let message = format!("cannot start the thread of callouts: {error}");
            problems.error(config::Span::default(), message);
            return Callouts::default();
        }
    };
    let mut system = SystemRoots::default();
    let all = config.callouts.iter();
    let built = all.filter_map(|callout| {
        let mut client = None;
        if callout.url.scheme_str() == Some("https") {
            let trust = ClientTls {
                ca: callout.ca.as_deref(),
                identity: None,
                verify: true,
                protocols: &[HTTP2, HTTP1],
            };
            match tls::client(&trust, &mut system) {
                Ok(tls) => client = Some(tls),
                Err(error) => {
                    problems.error_of(callout, &error).help(error.help());
                    return None;
                }
            }
        }
        let target = CalloutTarget::new(callout.clone(), client, thread);
        Some(Arc::new(target))
    });
    Callouts(built.collect())
}

/// Started for the first configuration that has callouts.
fn thread(foundation: &ProcessResources) -> std::io::Result<&CalloutThread> {
    if let Some(thread) = foundation.callout_thread.get() {
        return Ok(thread);
    }
    let thread = CalloutThread::start()?;
    Ok(foundation.callout_thread.get_or_init(|| thread))
}
