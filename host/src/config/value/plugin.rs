//! The code of a filter.

use std::net::IpAddr;
use std::path::Path;

use http::Uri;

use super::name::{is_name, line};
use super::{Refused, url};
use crate::config::section::PluginSource;
use crate::model::oci::{OCI_SCHEME, OciReference, OciReferenceError, is_registry};
use crate::model::sha256::Sha256;

/// `builtin:<name>`, `oci://..`, `https://..`, or a path to a `.wasm`, relative to `folder`.
pub(in crate::config) fn source(text: &str, folder: &Path) -> Result<PluginSource, Refused> {
    if let Some(name) = text.strip_prefix("builtin:") {
        return if is_name(name) {
            Ok(PluginSource::Builtin(name.to_owned()))
        } else {
            Err(Refused::plain())
        };
    }
    if text.starts_with(OCI_SCHEME) {
        return artifact(text).map(PluginSource::Artifact);
    }
    if text.contains("://") {
        return download(text).map(PluginSource::Download);
    }
    #[expect(
        clippy::case_sensitive_file_extension_comparisons,
        reason = "one spelling, as every toolchain writes it"
    )]
    if text.ends_with(".wasm") {
        return Ok(PluginSource::File(folder.join(text)));
    }
    Err(if is_name(text) {
        Refused::plain().help(format!(
            "write `\"builtin:{text}\"` for one that comes with the gateway, or a path that ends in `.wasm`"
        ))
    } else {
        Refused::plain()
    })
}

/// A reference to an artifact in a registry.
fn artifact(text: &str) -> Result<OciReference, Refused> {
    let name = text.strip_prefix(OCI_SCHEME).unwrap_or_default();
    let host = name.split('/').next().unwrap_or_default();
    if host.contains('@') {
        let refused = Refused::because("has a user in it, which is never sent");
        return Err(refused
            .private()
            .help("write `username` and `password` into `[[plugins.registry]]`"));
    }
    OciReference::parse(text).map_err(|error| {
        Refused::because(error.to_string()).help(match error {
            OciReferenceError::Unpinned => {
                "add the tag and the digest that `windlass plugin push` or `pull` printed: `:1.0.0@sha256:..`"
            }
            _ => "write it as `\"oci://registry.example/team/name:1.0.0@sha256:..\"`",
        })
    })
}

/// A URL of a file: by TLS, or on this machine.
fn download(text: &str) -> Result<String, Refused> {
    let text = url::http(text)?;
    let uri: Uri = text.parse().map_err(|_| Refused::plain())?;
    if url::is_in_the_clear(&uri) {
        let refused = Refused::because("is not fetched by TLS");
        return Err(refused.help("begin it with `https://`"));
    }
    Ok(text)
}

/// 64 hex digits, with or without `sha256:` before them.
pub(in crate::config) fn digest(text: &str) -> Result<Sha256, Refused> {
    let hex = text.strip_prefix("sha256:").unwrap_or(text);
    Sha256::from_hex(hex).ok_or_else(|| {
        let length = hex.chars().count();
        Refused::because(if length == 64 {
            "holds something else than hex digits".to_owned()
        } else {
            format!("has {length} characters, wanted 64 hex digits")
        })
        .help("`sha256sum FILE` prints it")
    })
}

/// A host of a registry, with a port if it is not the usual one.
pub(in crate::config) fn registry(text: &str) -> Result<String, Refused> {
    line(text)?;
    let bare = text.rsplit("://").next().unwrap_or_default();
    let host = bare.split('/').next().unwrap_or_default();
    if host.contains('@') {
        return Err(Refused::because("has a user in it").private());
    }
    let is_bare_v6 = text.parse().is_ok_and(|ip: IpAddr| ip.is_ipv6());
    if is_bare_v6 {
        return Err(Refused::plain().write(&format!("[{text}]")));
    }
    if is_registry(text) {
        return Ok(text.to_ascii_lowercase());
    }
    let is_meant = host != text && is_registry(host);
    Err(match is_meant {
        true => Refused::plain().write(host),
        false => Refused::plain(),
    })
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use super::*;

    #[test]
    fn plugins() {
        let folder = Path::new("etc");
        let builtin = PluginSource::Builtin("api-key".to_owned());
        assert_eq!(source("builtin:api-key", folder), Ok(builtin));
        let file = PluginSource::File(PathBuf::from("etc/a/b.wasm"));
        assert_eq!(source("a/b.wasm", folder), Ok(file));
        let file = PluginSource::File(PathBuf::from("/b.wasm"));
        assert_eq!(source("/b.wasm", folder), Ok(file));
        for bad in [
            "",
            "builtin:",
            "builtin:a b",
            "api-key",
            "a/b",
            "ftp://a/b.wasm",
            "http://a.example/b.wasm",
            "https://user:s3cr3t@a.example/b.wasm",
            "oci://a.example/b",
        ] {
            assert!(source(bad, folder).is_err(), "{bad}");
        }
    }

    #[test]
    fn plugins_elsewhere() {
        let folder = Path::new("etc");
        let url = "https://a.example/b";
        let download = PluginSource::Download(url.to_owned());
        assert_eq!(source(url, folder), Ok(download));
        let local = "http://127.0.0.1:1/b.wasm";
        let download = PluginSource::Download(local.to_owned());
        assert_eq!(source(local, folder), Ok(download));
        let reference = "oci://r.example/team/name:1.0";
        let artifact = OciReference::parse(reference).unwrap();
        assert_eq!(
            source(reference, folder),
            Ok(PluginSource::Artifact(artifact))
        );
        for private in [
            "https://u:s3cr3t@a.example/b",
            "oci://u:s3cr3t@r.example/n:1",
        ] {
            let refused = source(private, folder).unwrap_err();
            assert!(refused.private && !format!("{refused:?}").contains("s3cr3t"));
        }
    }

    #[test]
    fn digests_have_their_word_or_none() {
        let hex = "0aFf".repeat(16);
        assert_eq!(digest(&hex), digest(&format!("sha256:{hex}")));
        assert!(digest(&hex).is_ok());
        for bad in ["", "sha256:", "abc", &"g".repeat(64)] {
            assert!(digest(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn hosts_of_registries() {
        assert_eq!(registry("GHCR.io"), Ok("ghcr.io".to_owned()));
        assert!(registry("localhost:5000").is_ok());
        for (bad, meant) in [
            ("https://ghcr.io/a", Some("`\"ghcr.io\"`")),
            ("ghcr.io/acme", Some("`\"ghcr.io\"`")),
            ("::1", Some("`\"[::1]\"`")),
            ("acme", None),
            ("", None),
        ] {
            let refused = registry(bad).unwrap_err();
            let help = refused.help.unwrap_or_default();
            assert_eq!(
                help.contains(meant.unwrap_or("write")),
                meant.is_some(),
                "{bad}: {help}"
            );
        }
    }
}
