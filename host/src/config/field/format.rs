//! How texts of the standard library's types and of others are read.
//!
//! One entry for each type that several sections have; a text with rules of its own has its kind
//! beside its section.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use http::{HeaderName, Method};

use super::{FromValue, Map, Parsed, text_values};
use crate::config::value::address::{self, server_name};
use crate::config::value::message::{field_name, method};
use crate::config::value::name::{line, name};
use crate::config::value::{Refused, url};

impl FromValue for BTreeMap<String, String> {
    type Kind = Map<Parsed<String>>;
    const KIND: Self::Kind = Map {
        of: String::KIND,
        key: name,
        keys: "a name of letters, digits, `_` and `-`",
    };
}

text_values! {
    String: Parsed::new("a text of one line", line);
    Arc<str>: Parsed::new("a text of one line", |text| line(text).map(Self::from));
    PathBuf: Parsed::in_folder("a file", file);
    SocketAddr: Parsed::new("an IP address with a port", address::socket).matching(":[0-9]+$");
    HeaderName: Parsed::new("a field name such as `\"x-consumer-id\"`", field_name)
        .matching("^[!#-'*+.^_`|~0-9A-Za-z-]+$");
    Method: Parsed::new("a method such as `\"GET\"`", |text| {
        method(text)?.ok_or_else(Refused::plain)
    })
    .matching("^[A-Z]+$");
}

/// A name that several tables may not share.
pub(crate) const NAME: Parsed<String> =
    Parsed::new("a name of letters, digits, `_` and `-`", name).matching("^[A-Za-z0-9_-]{1,64}$");

/// A file whose text must not be shown if it stands there itself.
pub(crate) const PRIVATE_FILE: Parsed<PathBuf> = PathBuf::KIND.private();

/// A certificate's name.
pub(crate) const SERVER_NAME: Parsed<String> =
    Parsed::new("a name or an IP address, without a port", server_name)
        .matching("^[^:/ ]+$|^[0-9A-Fa-f:.]+$");

/// A path, relative to the folder of the configuration.
pub(crate) fn file(text: &str, folder: &Path) -> Result<PathBuf, Refused> {
    if text.starts_with("-----BEGIN") || text.starts_with('{') {
        let refused = Refused::because("is no path").private();
        return Err(refused.help("write the name of the file that holds it"));
    }
    Ok(folder.join(line(text)?))
}

/// A URL of HTTP.
pub(crate) const fn url(words: &'static str) -> Parsed<String> {
    Parsed::new(words, url::http).matching("^https?://")
}
