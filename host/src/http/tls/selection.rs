//! Picks the certificate of a handshake, by the name that the client asks for (SNI, RFC 6066 section 3).
//!
//! It promises: a certificate with the name itself comes before one with a wildcard, a wildcard stands for
//! exactly one label (RFC 9525 section 6.3), among several the first whose key the client can verify is
//! picked, and a client that asks for an unknown name or for none gets the default one.

use std::collections::HashMap;
use std::sync::Arc;

use rustls::SignatureScheme;
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use smallvec::SmallVec;

/// The positions of certificates, in the order of the configuration.
type Positions = SmallVec<[u32; 2]>;

/// The certificates of a listener, by name.
#[derive(Debug, Default)]
pub(super) struct CertificateSelection {
    /// All of them, the default one first.
    all: Vec<Arc<CertifiedKey>>,
    names: HashMap<Box<str>, Positions>,
    /// By the part of the name that follows `*.`.
    wildcards: HashMap<Box<str>, Positions>,
}

impl CertificateSelection {
    /// Adds a certificate with its names, after those that are there. False: no client can get it.
    pub(super) fn add(&mut self, key: Arc<CertifiedKey>, names: &[String]) -> bool {
        let algorithm = key.key.algorithm();
        let position = u32::try_from(self.all.len()).unwrap_or(u32::MAX);
        let is_default = self.all.is_empty();
        self.all.push(key);
        let mut is_reachable = is_default;
        for name in names {
            let (map, name) = match name.strip_prefix("*.") {
                Some(parent) => (&mut self.wildcards, parent),
                None => (&mut self.names, &**name),
            };
            let positions = map.entry(name.to_ascii_lowercase().into()).or_default();
            let is_first = !positions.iter().any(|other| {
                let other = self.all.get(*other as usize);
                other.is_some_and(|other| other.key.algorithm() == algorithm)
            });
            is_reachable |= is_first;
            positions.push(position);
        }
        is_reachable
    }

    /// The certificates for this name in lower case, the preferred one first.
    fn candidates(&self, name: Option<&str>) -> impl Iterator<Item = &Arc<CertifiedKey>> {
        let exact = name.and_then(|name| self.names.get(name));
        let parent = name.and_then(|name| Some(name.split_once('.')?.1));
        let wildcard = parent.and_then(|parent| self.wildcards.get(parent));
        let named = exact.into_iter().chain(wildcard).flatten();
        named.filter_map(|position| self.all.get(*position as usize))
    }

    fn pick(&self, name: Option<&str>, schemes: &[SignatureScheme]) -> Option<&Arc<CertifiedKey>> {
        let fits = |one: &&Arc<CertifiedKey>| one.key.choose_scheme(schemes).is_some();
        let named = self.candidates(name).find(fits);
        // A client without a common algorithm gets the default one: the handshake then tells it so.
        named
            .or_else(|| self.all.iter().find(fits))
            .or(self.all.first())
    }
}

impl ResolvesServerCert for CertificateSelection {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        if let [only] = self.all.as_slice() {
            return Some(Arc::clone(only));
        }
        // rustls gives the name in lower case.
        let picked = self.pick(hello.server_name(), hello.signature_schemes());
        picked.map(Arc::clone)
    }
}
