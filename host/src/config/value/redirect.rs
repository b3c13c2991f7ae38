//! Where a redirect leads: `https://example.com${path}${query}`, or a path on the same host.
//!
//! Promises: the client's request never chooses the host that it is sent to.

use super::address::is_host_or_ipv6;
use super::{Refused, nearest};

/// The names of parts of the request.
const VARIABLES: [&str; 2] = ["path", "query"];

pub(in crate::config) fn target(text: &str) -> Result<String, Refused> {
    variables(text)?;
    if let Some(odd) = text
        .chars()
        .find(|c| !c.is_ascii_graphic() || "\"<>\\^`|".contains(*c))
    {
        return Err(Refused::because(format!("holds `{}`", odd.escape_debug()))
            .help("escape it with `%` and two hex digits"));
    }
    match text
        .strip_prefix("https://")
        .or_else(|| text.strip_prefix("http://"))
    {
        Some(rest) => {
            let end = rest.find(['/', '?', '#', '$']).unwrap_or(rest.len());
            let authority = rest.get(..end).unwrap_or_default();
            authority_is_fixed(authority)?;
        }
        None => path_on_same_host(text)?,
    }
    Ok(text.to_owned())
}

fn variables(text: &str) -> Result<(), Refused> {
    for variable in text.split("${").skip(1) {
        let name = variable.split_once('}').map(|(name, _)| name);
        if name.is_some_and(|name| VARIABLES.contains(&name)) {
            continue;
        }
        let refused = Refused::because("has a variable that is neither `${path}` nor `${query}`");
        let meant = name.and_then(|name| nearest(name, VARIABLES));
        return Err(match meant {
            Some(meant) => refused.help(format!("did you mean `${{{meant}}}`?")),
            None => refused,
        });
    }
    Ok(())
}

fn authority_is_fixed(authority: &str) -> Result<(), Refused> {
    let has_port = |port: &str| port.parse::<u16>().is_ok();
    let host = match authority.rsplit_once(':') {
        Some((host, port)) if has_port(port) => host,
        Some(_) | None => authority,
    };
    if is_host_or_ipv6(host) {
        Ok(())
    } else {
        Err(Refused::because("names no host").write("https://example.com${path}${query}"))
    }
}

/// `//x` would be another host, and so would `${path}` for a request of `//x`.
fn path_on_same_host(text: &str) -> Result<(), Refused> {
    let Some(rest) = text.strip_prefix('/') else {
        return Err(Refused::plain());
    };
    if rest.starts_with(['/', '$']) {
        return Err(
            Refused::because("can lead to a host that the client chooses").help(
                "begin with `https://<host>` or with a fixed segment, such as `\"/new${path}\"`",
            ),
        );
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn targets() {
        for good in [
            "https://example.com/new",
            "http://example.com:8080${path}${query}",
            "/new",
            "/",
            "/v2${path}${query}",
            "https://[::1]/",
            "https://example.com",
        ] {
            assert_eq!(target(good), Ok(good.to_owned()));
        }
        for bad in [
            "",
            "new",
            "//evil.example",
            "/${path}",
            "${path}",
            "https://",
            "https://${path}",
            "https://a b",
            "/a\r\nb",
            "/${host}",
            "/${",
            "ftp://a",
            "https://a@b/",
            "javascript:x",
            "/\\a",
        ] {
            assert!(target(bad).is_err(), "{bad}");
        }
        let help = target("/x${pth}").unwrap_err().help;
        assert_eq!(help.as_deref(), Some("did you mean `${path}`?"));
    }
}
