//! The documents of a filter: files that the operator named, as bytes with their digests.
//!
//! `build::documents` reads the files, within their limits, before the filter is made. A filter's
//! documents never change: a reload that finds other bytes makes another filter, by the digests.

use std::collections::BTreeMap;
use std::fmt;

use aws_lc_rs::digest;

/// All documents of one filter, by name.
pub(crate) type Documents = BTreeMap<String, Document>;

#[derive(PartialEq, Eq)]
pub(crate) struct Document {
    pub(crate) bytes: Vec<u8>,
    /// The SHA-256 of its bytes.
    pub(super) digest: [u8; 32],
}

impl Document {
    /// A document of these bytes.
    #[must_use]
    pub(crate) fn new(bytes: Vec<u8>) -> Self {
        let mut digest = [0; 32];
        digest.copy_from_slice(digest::digest(&digest::SHA256, &bytes).as_ref());
        Self { bytes, digest }
    }

    /// Up to `length` bytes from `offset`, fewer at its end.
    #[must_use]
    pub(crate) fn range(&self, offset: u64, length: u32) -> &[u8] {
        let index = |offset: u64| {
            let index = usize::try_from(offset).unwrap_or(usize::MAX);
            index.min(self.bytes.len())
        };
        let end = offset.saturating_add(u64::from(length));
        self.bytes
            .get(index(offset)..index(end))
            .unwrap_or_default()
    }
}

/// Shows the digest in place of the bytes.
impl fmt::Debug for Document {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("sha256:")?;
        self.digest
            .iter()
            .try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

/// The digest of each, by name: two filters with the same ones have the same documents.
pub(super) fn digests(documents: &Documents) -> BTreeMap<String, [u8; 32]> {
    let digest = |(name, document): (&String, &Document)| (name.clone(), document.digest);
    documents.iter().map(digest).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_range_is_cut_at_the_end() {
        let document = Document::new(b"abcdef".to_vec());
        for (offset, length, found) in [
            (0, 6, "abcdef"),
            (0, u32::MAX, "abcdef"),
            (2, 2, "cd"),
            (4, 9, "ef"),
            (6, 1, ""),
            (7, 1, ""),
            (u64::MAX, u32::MAX, ""),
            (0, 0, ""),
        ] {
            let range = document.range(offset, length);
            assert_eq!(range, found.as_bytes(), "{offset} {length}");
        }
    }

    #[test]
    fn the_text_of_documents_tells_other_bytes_and_other_names_apart() {
        let text = |name: &str, bytes: &[u8]| {
            let document = (name.to_owned(), Document::new(bytes.to_vec()));
            format!("{:?}", Documents::from_iter([document]))
        };
        assert_eq!(text("a", b"x"), text("a", b"x"));
        assert_ne!(text("a", b"x"), text("a", b"y"));
        assert_ne!(text("a", b"x"), text("b", b"x"));
        // FIPS 180-4: the digest of `abc`.
        let known = "sha256:ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
        assert!(text("a", b"abc").contains(known), "{}", text("a", b"abc"));
    }
}
