//! The code of a filter.

use std::path::Path;

use super::Refused;
use super::name::is_name;
use crate::config::section::PluginSource;

/// `builtin:<name>`, or a path to a `.wasm`, relative to `folder`.
pub(in crate::config) fn source(text: &str, folder: &Path) -> Result<PluginSource, Refused> {
    if let Some(name) = text.strip_prefix("builtin:") {
        return if is_name(name) {
            Ok(PluginSource::Builtin(name.to_owned()))
        } else {
            Err(Refused::plain())
        };
    }
    if text.contains("://") {
        let refused = Refused::because("is a URL");
        return Err(refused.help("plugins are not fetched: download it and write its path"));
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
            "https://a/b.wasm",
        ] {
            assert!(source(bad, folder).is_err(), "{bad}");
        }
    }
}
