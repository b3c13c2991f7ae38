//! Fields that every response has, whoever made it: security headers, and the `server` field.
//!
//! Made once for a configuration. [`super::answer`] adds them to the head that the connection gets, after the chain: so
//! errors have them, too.

use std::time::Duration;

use http::header::{
    CONTENT_SECURITY_POLICY, REFERRER_POLICY, SERVER, STRICT_TRANSPORT_SECURITY,
    X_CONTENT_TYPE_OPTIONS, X_FRAME_OPTIONS,
};
use http::{HeaderMap, HeaderName, HeaderValue};

use crate::config::{Frames, Referrer, SecurityHeaders, Server, ServerHeader};

const PERMISSIONS_POLICY: HeaderName = HeaderName::from_static("permissions-policy");

/// The fields of every response.
#[derive(Debug)]
pub(crate) struct ResponseFields {
    server: ServerHeader,
    /// Those of every response, unless it has the field already.
    always: Vec<(HeaderName, HeaderValue)>,
    /// `strict-transport-security`, of responses over HTTPS.
    hsts: Option<HeaderValue>,
}

impl ResponseFields {
    pub(crate) fn new(server: &Server) -> Self {
        let headers = server.security_headers.as_ref();
        Self {
            server: server.product.clone(),
            always: headers.map(always).unwrap_or_default(),
            hsts: headers.and_then(hsts),
        }
    }

    /// Completes the head of a response.
    pub(super) fn complete(&self, headers: &mut HeaderMap, is_https: bool) {
        match &self.server {
            ServerHeader::Pass => {}
            ServerHeader::Off => {
                headers.remove(SERVER);
            }
            ServerHeader::Text(text) => {
                headers.insert(SERVER, text.clone());
            }
        }
        for (name, value) in &self.always {
            headers.entry(name).or_insert_with(|| value.clone());
        }
        // RFC 6797 section 7.2: not over clear text.
        if let (Some(hsts), true) = (&self.hsts, is_https) {
            headers
                .entry(STRICT_TRANSPORT_SECURITY)
                .or_insert_with(|| hsts.clone());
        }
    }
}

fn always(headers: &SecurityHeaders) -> Vec<(HeaderName, HeaderValue)> {
    let fixed = |name: HeaderName, value: Option<&'static str>| {
        value.map(|value| (name, HeaderValue::from_static(value)))
    };
    let own =
        |name: HeaderName, value: &Option<HeaderValue>| value.clone().map(|value| (name, value));
    let frames = match headers.frames {
        Frames::Deny => Some("DENY"),
        Frames::SameOrigin => Some("SAMEORIGIN"),
        Frames::Any => None,
    };
    let referrer = match headers.referrer {
        Referrer::NoReferrer => Some("no-referrer"),
        Referrer::SameOrigin => Some("same-origin"),
        Referrer::StrictOrigin => Some("strict-origin"),
        Referrer::StrictOriginWhenCrossOrigin => Some("strict-origin-when-cross-origin"),
        Referrer::Unset => None,
    };
    let fields = [
        fixed(X_CONTENT_TYPE_OPTIONS, headers.nosniff.then_some("nosniff")),
        fixed(X_FRAME_OPTIONS, frames),
        fixed(REFERRER_POLICY, referrer),
        own(CONTENT_SECURITY_POLICY, &headers.content_security_policy),
        own(PERMISSIONS_POLICY, &headers.permissions_policy),
    ];
    fields.into_iter().flatten().collect()
}

/// RFC 6797 section 6.1.
fn hsts(headers: &SecurityHeaders) -> Option<HeaderValue> {
    let age = headers.hsts.as_ref().map(Duration::as_secs)?;
    let subdomains = match headers.hsts_subdomains {
        true => "; includeSubDomains",
        false => "",
    };
    let preload = match headers.hsts_preload {
        true => "; preload",
        false => "",
    };
    HeaderValue::try_from(format!("max-age={age}{subdomains}{preload}")).ok()
}
