//! The identity of a component: the digest of its bytes.

use std::fmt;

use aws_lc_rs::digest;

/// SHA-256 of a `.wasm`.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) struct ComponentDigest([u8; 32]);

impl ComponentDigest {
    /// The digest of these bytes.
    #[must_use]
    pub(crate) fn of(wasm: &[u8]) -> Self {
        let mut bytes = [0; 32];
        bytes.copy_from_slice(digest::digest(&digest::SHA256, wasm).as_ref());
        Self(bytes)
    }
}

impl fmt::Display for ComponentDigest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for ComponentDigest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ComponentDigest({self})")
    }
}
