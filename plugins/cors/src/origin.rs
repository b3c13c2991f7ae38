//! Origins: `https://app.example.com` as a browser sends it, and the rules that match it.
//!
//! Origins are compared as text, part by part: scheme, host and port (RFC 6454, section 6.2). Browsers write each
//! origin in only one way, so any other spelling does not come from a browser and matches nothing. Patterns are not
//! regular expressions: a `*` never crosses the end of a part.

use std::collections::BTreeSet;

/// The most rules of one filter.
const MAX_RULES: usize = 1000;

/// The origins that may read responses.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Origins {
    any: bool,
    exact: BTreeSet<String>,
    patterns: Vec<Pattern>,
}

/// `https://*.example.com`, `https://pr-*.example.com`, `http://localhost:*`.
#[derive(Debug, PartialEq, Eq)]
struct Pattern {
    scheme: String,
    /// Whether at least one more label precedes the labels.
    is_suffix: bool,
    labels: Vec<Label>,
    port: Port,
}

/// One label of a host.
#[derive(Debug, PartialEq, Eq)]
enum Label {
    Exact(String),
    /// The text before and after the `*`.
    Around(String, String),
}

#[derive(Debug, PartialEq, Eq)]
enum Port {
    /// This port; empty for the default of the scheme.
    Exact(String),
    Any,
}

/// The parts of an origin.
struct Parts<'a> {
    scheme: &'a str,
    host: &'a str,
    /// Empty for the default of the scheme.
    port: &'a str,
}

impl Origins {
    /// Whether every origin may read responses.
    pub fn is_any(&self) -> bool {
        self.any
    }

    /// Whether `null` may, the origin of pages without an origin.
    pub fn has_null(&self) -> bool {
        self.exact.contains("null")
    }

    /// Whether this origin may read responses.
    pub fn allow(&self, origin: &str) -> bool {
        if self.any || self.exact.contains(origin) {
            return true;
        }
        let Some(parts) = parts(origin) else {
            return false;
        };
        self.patterns.iter().any(|pattern| pattern.matches(&parts))
    }

    /// Add a rule of the settings.
    ///
    /// # Errors
    /// The error, and how to fix it.
    pub fn add(&mut self, rule: &str) -> Result<(), String> {
        if self.exact.len() + self.patterns.len() >= MAX_RULES {
            return Err(format!(
                "is one of more than {MAX_RULES} origins: write a pattern"
            ));
        }
        match rule {
            "*" => self.any = true,
            "null" => {
                self.exact.insert(rule.to_owned());
            }
            _ => {
                let parts = written(rule)?;
                if rule.contains('*') {
                    self.patterns.push(pattern(&parts)?);
                } else {
                    self.exact.insert(rule.to_owned());
                }
            }
        }
        Ok(())
    }
}

/// The parts of a rule.
fn written(rule: &str) -> Result<Parts<'_>, String> {
    let Some((scheme, authority)) = rule.split_once("://") else {
        let host = rule.split(['/', '?', '#']).next().unwrap_or_default();
        return Err(format!(
            "`{rule}` is no origin: write a scheme and a host, such as `{}`",
            as_sent("https", host)
        ));
    };
    if let Some(path) = authority.find(['/', '?', '#']) {
        let origin = authority.get(..path).unwrap_or_default();
        return Err(format!(
            "`{rule}` has a path, which no origin has: write `{}`",
            as_sent(scheme, origin)
        ));
    }
    if rule.to_ascii_lowercase() != rule {
        return Err(format!(
            "`{rule}` has capitals, which browsers do not send: write `{}`",
            as_sent(scheme, authority)
        ));
    }
    if !rule.is_ascii() {
        return Err(format!(
            "`{rule}` is not ASCII: write the host as browsers send it, in Punycode (`xn--...`)"
        ));
    }
    let sent = as_sent(scheme, authority);
    if sent != rule {
        return Err(format!(
            "`{rule}` has the port that its scheme stands for, which browsers leave out: write `{sent}`"
        ));
    }
    parts(rule).ok_or_else(|| format!("`{rule}` is no origin: wanted `<scheme>://<host>[:<port>]`"))
}

/// A scheme and an authority as browsers write them: in lower case, and without the scheme's default port.
fn as_sent(scheme: &str, authority: &str) -> String {
    let (scheme, authority) = (scheme.to_ascii_lowercase(), authority.to_ascii_lowercase());
    let host = match (&*scheme, authority.rsplit_once(':')) {
        ("https", Some((host, "443"))) | ("http", Some((host, "80"))) => host,
        _ => &*authority,
    };
    format!("{scheme}://{host}")
}

/// Parse an origin; `None` if it is not written as browsers do. The host and the port may contain `*`, which browsers
/// never send.
fn parts(origin: &str) -> Option<Parts<'_>> {
    let (scheme, authority) = origin.split_once("://")?;
    let is_scheme = |byte: u8| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'+' | b'-' | b'.');
    if scheme.is_empty() || !scheme.bytes().all(is_scheme) {
        return None;
    }
    // An IPv6 address contains colons.
    let end = authority.rfind(']').map_or(0, |end| end + 1);
    let (host, port) = match authority.get(end..)?.rfind(':') {
        None => (authority, ""),
        Some(colon) => {
            let (host, port) = authority.split_at_checked(end + colon)?;
            (host, port.get(1..).filter(|port| !port.is_empty())?)
        }
    };
    let is_port = |byte: u8| byte.is_ascii_digit();
    let good_port = port == "*" || (port.len() <= 5 && port.bytes().all(is_port));
    (good_port && is_host(host)).then_some(Parts { scheme, host, port })
}

fn is_host(host: &str) -> bool {
    if let Some(address) = host
        .strip_prefix('[')
        .and_then(|rest| rest.strip_suffix(']'))
    {
        let is_part = |byte: u8| matches!(byte, b'0'..=b'9' | b'a'..=b'f' | b':' | b'.');
        return !address.is_empty() && address.bytes().all(is_part);
    }
    let is_part = |byte: u8| matches!(byte, b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_' | b'*');
    let is_label = |label: &str| !label.is_empty() && label.bytes().all(is_part);
    host.len() <= 253 && host.split('.').all(is_label)
}

fn pattern(parts: &Parts<'_>) -> Result<Pattern, String> {
    let Parts { scheme, host, port } = parts;
    let (is_suffix, rest) = match host.strip_prefix("*.") {
        Some(rest) => (true, rest),
        None => (false, *host),
    };
    let labels: Vec<&str> = rest.split('.').collect();
    if labels.last().is_some_and(|last| last.contains('*')) {
        return Err(format!(
            "`{scheme}://{host}` has `*` in the last part of its host, which anybody can have: write the domain, as in `{scheme}://*.example.com`"
        ));
    }
    let labels = labels.into_iter().map(label).collect::<Result<_, _>>()?;
    Ok(Pattern {
        scheme: (*scheme).to_owned(),
        is_suffix,
        labels,
        port: match *port {
            "*" => Port::Any,
            port => Port::Exact(port.to_owned()),
        },
    })
}

fn label(text: &str) -> Result<Label, String> {
    match text.split_once('*') {
        None => Ok(Label::Exact(text.to_owned())),
        Some((_, after)) if after.contains('*') => Err(format!(
            "`{text}` has more than one `*` between two dots: one is enough"
        )),
        Some((before, after)) => Ok(Label::Around(before.to_owned(), after.to_owned())),
    }
}

/// Domains below which anyone can register a name: the usual ones of hosting and tunnel services, and some of
/// countries. The full list is the Public Suffix List, which is larger than this filter.
const SHARED: [&str; 45] = [
    "a.run.app",
    "amplifyapp.com",
    "appspot.com",
    "azurestaticapps.net",
    "azurewebsites.net",
    "blogspot.com",
    "bitbucket.io",
    "cloudfront.net",
    "co.in",
    "co.jp",
    "co.nz",
    "co.uk",
    "co.za",
    "com.au",
    "com.br",
    "com.cn",
    "com.mx",
    "com.tr",
    "deno.dev",
    "firebaseapp.com",
    "fly.dev",
    "github.dev",
    "github.io",
    "gitlab.io",
    "glitch.me",
    "herokuapp.com",
    "loca.lt",
    "netlify.app",
    "ngrok-free.app",
    "ngrok.app",
    "ngrok.io",
    "onrender.com",
    "org.uk",
    "pages.dev",
    "repl.co",
    "replit.app",
    "s3.amazonaws.com",
    "surge.sh",
    "trycloudflare.com",
    "up.railway.app",
    "vercel.app",
    "web.app",
    "web.core.windows.net",
    "wixsite.com",
    "workers.dev",
];

/// Whether a rule has a `*` in place of a registrable name, for example `https://*.com`, `https://app.*.com` and
/// `https://*.github.io`. Almost anyone could have a matching origin.
pub fn is_wide(rule: &str) -> bool {
    let host = rule.split_once("://").map_or(rule, |(_, host)| host);
    let host = host.split(':').next().unwrap_or_default();
    let after = host.rsplit_once('*').map(|(_, after)| after);
    let Some((_, fixed)) = after.and_then(|after| after.split_once('.')) else {
        return false;
    };
    let is_last = !fixed.contains('.') && fixed != "localhost";
    is_last || SHARED.contains(&fixed)
}

impl Pattern {
    fn matches(&self, origin: &Parts<'_>) -> bool {
        let port = match &self.port {
            Port::Any => true,
            Port::Exact(port) => port == origin.port,
        };
        if !port || self.scheme != origin.scheme || origin.host.contains('*') {
            return false;
        }
        let mut labels = origin.host.rsplit('.');
        let all = self.labels.iter().rev().all(|label| {
            let found = labels.next();
            found.is_some_and(|found| label.matches(found))
        });
        all && labels.next().is_some() == self.is_suffix
    }
}

impl Label {
    fn matches(&self, label: &str) -> bool {
        match self {
            Self::Exact(text) => text == label,
            Self::Around(before, after) => {
                label.len() > before.len() + after.len()
                    && label.starts_with(before.as_str())
                    && label.ends_with(after.as_str())
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn origins(rules: &[&str]) -> Origins {
        let mut origins = Origins::default();
        for rule in rules {
            origins.add(rule).expect(rule);
        }
        origins
    }

    fn table(rule: &str, allowed: &[&str], others: &[&str]) {
        let origins = origins(&[rule]);
        for origin in allowed {
            assert!(origins.allow(origin), "{rule}: {origin}");
        }
        for origin in others {
            assert!(!origins.allow(origin), "{rule}: {origin}");
        }
    }

    #[test]
    fn an_exact_origin_is_that_one_only() {
        table(
            "https://app.example.com",
            &["https://app.example.com"],
            &[
                "http://app.example.com",
                "https://app.example.com:8443",
                "https://app.example.com.evil.example",
                "https://app.example.com/",
                "https://APP.example.com",
                "https://app.example.com, https://evil.example",
                "https://example.com",
                "null",
                "",
                "*",
            ],
        );
        table(
            "http://localhost:3000",
            &["http://localhost:3000"],
            &["http://localhost", "http://localhost:30000"],
        );
        table(
            "http://[::1]:8080",
            &["http://[::1]:8080"],
            &["http://[::1]"],
        );
        table("capacitor://localhost", &["capacitor://localhost"], &[]);
        table("null", &["null"], &["https://null", ""]);
    }

    #[test]
    fn a_suffix_is_every_name_below_and_not_the_domain_itself() {
        table(
            "https://*.example.com",
            &["https://a.example.com", "https://a.b-c.example.com"],
            &[
                "https://example.com",
                "https://.example.com",
                "https://a..example.com",
                "https://evil-example.com",
                "https://evilexample.com",
                "https://a.example.com.evil.example",
                "https://a.example.com:444",
                "http://a.example.com",
                "https://evil.example/.example.com",
                "https://evil.example#.example.com",
                "https://evil.example?.example.com",
                "https://evil.example:443@a.example.com",
                "https://user@a.example.com",
                "https://evil.example\\.example.com",
                "https://*.example.com",
                "https://a.example.com ",
                "https://a\u{0}.example.com",
                "https://ä.example.com",
            ],
        );
    }

    #[test]
    fn a_star_stays_between_two_dots() {
        table(
            "https://pr-*.example.com",
            &["https://pr-1.example.com", "https://pr-a-b.example.com"],
            &[
                "https://pr-.example.com",
                "https://pr-1.evil.example.com",
                "https://x.pr-1.example.com",
                "https://pr-1example.com",
            ],
        );
        table(
            "https://app.*.example.com",
            &["https://app.eu.example.com"],
            &["https://app.example.com", "https://app.a.b.example.com"],
        );
        table(
            "https://a*a.example.com",
            &["https://aba.example.com"],
            &["https://aa.example.com", "https://a.example.com"],
        );
        table(
            "http://localhost:*",
            &["http://localhost", "http://localhost:3000"],
            &[
                "http://localhost:",
                "http://localhost:x",
                "http://localhost:123456",
                "https://localhost:3000",
            ],
        );
        table(
            "https://*.dev.example.com:8443",
            &["https://x.dev.example.com:8443"],
            &["https://x.dev.example.com"],
        );
    }

    #[test]
    fn what_no_browser_sends_is_refused_with_its_cure() {
        for (rule, cure) in [
            ("app.example.com", "such as `https://app.example.com`"),
            ("https://example.com/", "write `https://example.com`"),
            ("https://example.com/app", "write `https://example.com`"),
            ("https://Example.com", "write `https://example.com`"),
            (
                "https://App.example.com/",
                "write `https://app.example.com`",
            ),
            ("HTTPS://example.com:443/a", "write `https://example.com`"),
            ("https://Example.com:443", "write `https://example.com`"),
            ("App.example.com/", "such as `https://app.example.com`"),
            ("https://example.com:443", "write `https://example.com`"),
            ("http://example.com:80", "write `http://example.com`"),
            ("https://bücher.example", "Punycode"),
            ("https://", "wanted `<scheme>://<host>[:<port>]`"),
            ("https://a b", "wanted `<scheme>"),
            ("https://a@b", "wanted `<scheme>"),
            ("https://*", "in the last part of its host"),
            ("https://app.*", "in the last part of its host"),
            ("https://*.*", "in the last part of its host"),
            ("https://a*b*c.example.com", "more than one `*`"),
        ] {
            let told = Origins::default().add(rule).expect_err(rule);
            assert!(told.contains(cure), "{rule}: {told}");
        }
    }

    #[test]
    fn a_star_in_place_of_a_domains_own_name_is_wide() {
        assert!(is_wide("https://*.com"));
        assert!(is_wide("https://*.com:8443"));
        assert!(is_wide("https://a.*.com"));
        assert!(is_wide("https://*.a-*.com"));
        assert!(is_wide("https://my-*.com"));
        assert!(!is_wide("https://pr-*.example.com"));
        for shared in [
            "https://*.github.io",
            "https://pr-*.vercel.app",
            "https://*.co.uk:8443",
            "https://app.*.co.uk",
            "https://*.s3.amazonaws.com",
        ] {
            assert!(is_wide(shared), "{shared}");
        }
        for own in [
            "https://acme.github.io",
            "https://*.acme.github.io",
            "https://*.acme.co.uk",
            "https://*.github.io.example",
            "https://*.mygithub.io.example",
        ] {
            assert!(!is_wide(own), "{own}");
        }
        assert!(!is_wide("http://app-*.localhost"));
        assert!(!is_wide("http://localhost:*"));
        assert!(!is_wide("https://*.example.com"));
        assert!(!is_wide("http://*.localhost:3000"));
        assert!(!is_wide("https://com"));
    }
}
