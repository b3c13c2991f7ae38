//! Where a store is: a file, or the URL of a Redis or Valkey.
//!
//! Promises: no refusal repeats a URL, which may hold a password.

use std::path::{Path, PathBuf};

use super::Refused;
use super::address::endpoint;
use super::name::{is_name, line};

/// The cure for a password.
const PASSWORD: &str =
    "take it out, and write `password = \"<name>\"`, where `[secret.<name>]` says where it is";

/// A file, relative to `folder`.
pub(in crate::config) fn file(text: &str, folder: &Path) -> Result<PathBuf, Refused> {
    for scheme in ["redis:", "rediss:", "unix:"] {
        if text.starts_with(scheme) {
            return Err(Refused::because("is a URL").help("write it as `url = \"..\"`"));
        }
    }
    if text.starts_with(':') || text.starts_with("file:") {
        return Err(Refused::because("is no file").write("windlass.db"));
    }
    if text.ends_with('/') {
        return Err(Refused::because("is a folder").write(&format!("{text}windlass.db")));
    }
    Ok(folder.join(line(text)?))
}

/// `redis://`, `rediss://` or `unix:`, without a password.
pub(in crate::config) fn url(text: &str) -> Result<String, Refused> {
    line(text)?;
    if text.contains(|c: char| c.is_whitespace() || !c.is_ascii()) {
        return Err(Refused::because("holds a character that a URL cannot"));
    }
    if text.contains('#') {
        return Err(Refused::because(
            "has a `#`: no certificate is taken unchecked",
        ));
    }
    let (scheme, rest) = text.split_once(':').unwrap_or_default();
    match scheme {
        "redis" | "rediss" => {
            let rest = rest
                .strip_prefix("//")
                .ok_or_else(|| Refused::because("has no `//` after its scheme"))?;
            server(rest)?;
        }
        "unix" => socket(rest)?,
        "valkey" | "valkeys" => {
            let help = "a Valkey is spoken to as a Redis: begin with `redis://`, or `rediss://`";
            return Err(Refused::plain().help(help));
        }
        _other => return Err(Refused::plain()),
    }
    Ok(text.to_owned())
}

/// `[user@]host[:port][/number]`
fn server(rest: &str) -> Result<(), Refused> {
    let (authority, database) = rest.split_once('/').unwrap_or((rest, ""));
    let address = match authority.rsplit_once('@') {
        Some((user, address)) => {
            if user.contains(':') {
                return Err(Refused::because("holds a password").help(PASSWORD));
            }
            address
        }
        None => authority,
    };
    // A host alone has the port that everybody knows; `[::1]` has colons of its own.
    let has_port = address.rsplit(']').next().unwrap_or_default().contains(':');
    let full = if has_port {
        address.to_owned()
    } else {
        format!("{address}:6379")
    };
    if endpoint(&full).is_err() {
        return Err(Refused::because("names no host"));
    }
    if rest.contains('?') {
        return Err(Refused::because("has a `?`, which says nothing here"));
    }
    is_database(database)
}

/// `/path[?db=number&user=name]`
fn socket(rest: &str) -> Result<(), Refused> {
    let (path, query) = rest.split_once('?').unwrap_or((rest, ""));
    let path = path.strip_prefix("//").unwrap_or(path);
    if !path.starts_with('/') || path.ends_with('/') {
        return Err(Refused::because("names no socket").write("unix:/run/redis/redis.sock"));
    }
    for pair in query.split('&').filter(|pair| !pair.is_empty()) {
        match pair.split_once('=').unwrap_or_default() {
            ("pass", _) => return Err(Refused::because("holds a password").help(PASSWORD)),
            ("db", number) => is_database(number)?,
            ("user", user) if is_name(user) => {}
            _other => {
                return Err(Refused::because(
                    "has something after `?` that is neither `db` nor `user`",
                ));
            }
        }
    }
    Ok(())
}

fn is_database(text: &str) -> Result<(), Refused> {
    if text.bytes().all(|byte| byte.is_ascii_digit()) && text.len() <= 4 {
        Ok(())
    } else {
        Err(Refused::because(
            "has a database that is not a small whole number",
        ))
    }
}

/// The prefix of the names of all keys in a shared store.
pub(in crate::config) fn prefix(text: &str) -> Result<String, Refused> {
    if is_name(text) {
        Ok(text.to_owned())
    } else {
        // `{` and `}` would say where a cluster keeps a key.
        Err(Refused::plain().write("windlass"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls() {
        for good in [
            "redis://localhost",
            "redis://localhost:6379/0",
            "rediss://windlass@keys.internal:6380/3",
            "redis://[::1]",
            "redis://[::1]:6379",
            "unix:/run/redis.sock",
            "unix:///run/redis.sock?db=2&user=windlass",
        ] {
            assert_eq!(url(good), Ok(good.to_owned()));
        }
        for bad in [
            "",
            "localhost:6379",
            "redis:localhost",
            "redis://",
            "redis://a b",
            "redis://a/x",
            "redis://a/1/2",
            "redis://a:0",
            "redis://a?db=1",
            "rediss://a#insecure",
            "http://a",
            "valkey://a",
            "unix:",
            "unix:run/x",
            "unix:/run/",
            "unix:/run/x?db=a",
            "unix:/run/x?protocol=resp3",
        ] {
            assert!(url(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_password_is_never_repeated() {
        for bad in [
            "redis://:s3cr3t@localhost:6379",
            "rediss://windlass:s3cr3t@localhost",
            "redis://windlass:@localhost",
            "redis://a:s3cr3t@b@localhost",
            "unix:/run/redis.sock?pass=s3cr3t",
        ] {
            let refused = url(bad).unwrap_err();
            assert_eq!(refused.message.as_deref(), Some("holds a password"));
            assert_eq!(refused.help.as_deref(), Some(PASSWORD));
        }
        for bad in ["redis:/:s3cr3t@localhost", "redis://s3cr3t@", "s3cr3t"] {
            let said = format!("{:?}", url(bad).unwrap_err());
            assert!(!said.contains("s3cr3t"), "{said}");
        }
    }

    #[test]
    fn files() {
        let folder = Path::new("etc");
        let there = PathBuf::from("etc/windlass.db");
        assert_eq!(file("windlass.db", folder), Ok(there));
        for bad in ["", ":memory:", "file:x?mode=memory", "data/", "redis://a"] {
            assert!(file(bad, folder).is_err(), "{bad}");
        }
    }
}
