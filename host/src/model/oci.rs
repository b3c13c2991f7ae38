//! References to artifacts in OCI registries: `registry.example/team/name:1.0@sha256:..`.
//!
//! The grammar is that of the OCI distribution specification. A reference has a tag, a digest, or
//! both; there is no tag by default, since a tag that nobody wrote (`latest`) is a surprise.

use std::fmt;

use super::sha256::Sha256;

/// The beginning of a reference in a configuration and on the command line.
pub(crate) const OCI_SCHEME: &str = "oci://";

/// The longest repository, with the host. Bytes: some registries take no more.
const LONGEST: usize = 255;

/// Where an artifact is.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct OciReference {
    /// The host, with a port if one is written.
    pub(crate) registry: String,
    /// The path of the repository in the registry.
    pub(crate) repository: String,
    pub(crate) tag: Option<String>,
    /// The digest of the manifest.
    pub(crate) digest: Option<Sha256>,
}

/// Why a text is not a reference.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum OciReferenceError {
    #[error("does not begin with `oci://`")]
    Scheme,
    #[error("has no registry: the host comes first, as in `oci://registry.example/team/name`")]
    Registry,
    #[error("has no valid repository: lower case letters, digits, `.`, `_`, `-` and `/`")]
    Repository,
    #[error("has no valid tag: up to 128 letters, digits, `_`, `.` and `-`")]
    Tag,
    #[error("has no valid digest: `@sha256:` and 64 hex digits")]
    Digest,
    #[error("has neither a tag nor a digest")]
    Unpinned,
}

impl OciReference {
    /// Reads `oci://<registry>/<repository>[:<tag>][@sha256:<digest>]`.
    ///
    /// # Errors
    ///
    /// The part that is missing or wrong.
    pub(crate) fn parse(text: &str) -> Result<Self, OciReferenceError> {
        let rest = text
            .strip_prefix(OCI_SCHEME)
            .ok_or(OciReferenceError::Scheme)?;
        let (name, digest) = match rest.split_once('@') {
            Some((name, digest)) => {
                let digest = Sha256::from_digest(digest).ok_or(OciReferenceError::Digest)?;
                (name, Some(digest))
            }
            None => (rest, None),
        };
        let (registry, path) = name.split_once('/').ok_or(OciReferenceError::Registry)?;
        if !is_registry(registry) {
            return Err(OciReferenceError::Registry);
        }
        let (repository, tag) = match path.split_once(':') {
            Some((repository, tag)) => (repository, Some(tag)),
            None => (path, None),
        };
        if !repository.split('/').all(is_component) || name.len() > LONGEST {
            return Err(OciReferenceError::Repository);
        }
        if !tag.is_none_or(is_tag) {
            return Err(OciReferenceError::Tag);
        }
        if tag.is_none() && digest.is_none() {
            return Err(OciReferenceError::Unpinned);
        }
        Ok(Self {
            registry: registry.to_ascii_lowercase(),
            repository: repository.to_owned(),
            tag: tag.map(str::to_owned),
            digest,
        })
    }

    /// The same with this digest.
    #[must_use]
    pub(crate) fn pinned(&self, digest: Sha256) -> Self {
        Self {
            digest: Some(digest),
            ..self.clone()
        }
    }
}

impl fmt::Display for OciReference {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{OCI_SCHEME}{}/{}", self.registry, self.repository)?;
        if let Some(tag) = &self.tag {
            write!(f, ":{tag}")?;
        }
        match self.digest {
            Some(digest) => write!(f, "@{}", digest.digest()),
            None => Ok(()),
        }
    }
}

/// A host with a dot or a port, or `localhost`. Others are what Docker takes for a part of a name on its own registry.
pub(crate) fn is_registry(text: &str) -> bool {
    let (host, port) = match text.strip_prefix('[') {
        // An IPv6 address.
        Some(rest) => match rest.split_once(']') {
            Some((host, after)) if host.parse::<std::net::Ipv6Addr>().is_ok() => (
                "localhost",
                after.strip_prefix(':').or(after.is_empty().then_some("1")),
            ),
            Some(_) | None => return false,
        },
        None => match text.split_once(':') {
            Some((host, port)) => (host, Some(port)),
            None => (text, Some("1")),
        },
    };
    let is_label = |label: &str| {
        let is_inside = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-';
        !label.is_empty() && label.bytes().all(is_inside) && !label.starts_with('-')
    };
    let is_host = host.split('.').all(is_label);
    let names_a_server = host.contains('.') || host == "localhost" || text.contains(':');
    let is_port = port.is_some_and(|port| port.parse::<u16>().is_ok_and(|port| port > 0));
    is_host && names_a_server && is_port
}

/// Lower case words, with `.`, `_`, `__` or hyphens between.
fn is_component(text: &str) -> bool {
    let is_word = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    let is_inside = |byte: u8| is_word(byte) || b"._-".contains(&byte);
    let (first, last) = (text.bytes().next(), text.bytes().next_back());
    first.is_some_and(is_word)
        && last.is_some_and(is_word)
        && text.bytes().all(is_inside)
        && !text.contains("..")
}

fn is_tag(text: &str) -> bool {
    let is_word = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
    let first = text.bytes().next();
    let mut rest = text.bytes();
    (1..=128).contains(&text.len())
        && first.is_some_and(is_word)
        && rest.all(|byte| is_word(byte) || b".-".contains(&byte))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reference_is_written_as_it_is_read() {
        let digest = Sha256::of(b"x").digest();
        for text in [
            "oci://ghcr.io/acme/team-check:1.0.0".to_owned(),
            format!("oci://localhost:5000/a@{digest}"),
            format!("oci://[::1]:5000/a/b.c/d_e:latest@{digest}"),
            "oci://registry:5000/a:1".to_owned(),
        ] {
            let read = OciReference::parse(&text).unwrap();
            assert_eq!(read.to_string(), text);
        }
        let read = OciReference::parse("oci://GHCR.io/a/b:V1").unwrap();
        assert_eq!(read.registry, "ghcr.io");
        assert_eq!(read.tag.as_deref(), Some("V1"));
        let pinned = read.pinned(Sha256::of(b"x"));
        assert_eq!(pinned.to_string(), format!("oci://ghcr.io/a/b:V1@{digest}"));
    }

    #[test]
    fn each_part_that_is_wrong_is_named() {
        use OciReferenceError as Error;
        let long = format!("oci://r.example/{}:1", "a".repeat(300));
        for (text, error) in [
            ("ghcr.io/a:1", Error::Scheme),
            ("oci://a:1", Error::Registry),
            ("oci://team/a:1", Error::Registry),
            ("oci://r.example:0/a:1", Error::Registry),
            ("oci://r..example/a:1", Error::Registry),
            ("oci://user:pass@r.example/a:1", Error::Digest),
            ("oci://[::1/a:1", Error::Registry),
            ("oci://r.example/A:1", Error::Repository),
            ("oci://r.example/a//b:1", Error::Repository),
            ("oci://r.example/../b:1", Error::Repository),
            ("oci://r.example/:1", Error::Repository),
            (long.as_str(), Error::Repository),
            ("oci://r.example/a:", Error::Tag),
            ("oci://r.example/a:-x", Error::Tag),
            ("oci://r.example/a:1/b", Error::Tag),
            ("oci://r.example/a@sha256:00", Error::Digest),
            ("oci://r.example/a@sha512:00", Error::Digest),
            ("oci://r.example/a", Error::Unpinned),
        ] {
            assert_eq!(OciReference::parse(text), Err(error), "{text}");
        }
    }
}
