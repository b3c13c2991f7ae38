//! Where the filter reads a key, and how it removes the key from there.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use windlass_plugin_sdk::{Contribution, EditError, Request, json};

/// A source of keys.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Place {
    /// The header of this name, lower case; the key is the whole value, or follows this scheme (RFC 9110, section
    /// 11.4).
    Header {
        name: String,
        /// The scheme. With `Basic` (RFC 7617), either the key is the password and its consumer or its id is the user;
        /// or the key is the user and the password is empty.
        scheme: Option<String>,
    },
    /// The query parameter of this name.
    Query(String),
    /// The cookie of this name.
    Cookie(String),
}

/// A key as a client presented it.
#[derive(Debug, PartialEq, Eq)]
pub struct Presented {
    pub key: Vec<u8>,
    /// The user name, if the client sent one.
    pub user: Option<String>,
}

impl Presented {
    fn key(key: Vec<u8>) -> Option<Self> {
        (!key.is_empty()).then_some(Self { key, user: None })
    }
}

impl Place {
    /// The key in this source, if any.
    pub fn presented(&self, request: &Request) -> Option<Presented> {
        match self {
            Self::Header { name, scheme } => {
                let field = request.header(name)?;
                match scheme {
                    None => Presented::key(field),
                    Some(scheme) => {
                        let credentials = credentials(&field, scheme)?;
                        match is_basic(scheme) {
                            true => basic(credentials),
                            false => Presented::key(credentials.to_vec()),
                        }
                    }
                }
            }
            Self::Query(name) => Presented::key(request.query_param(name)?.into_bytes()),
            Self::Cookie(name) => {
                let lines = request.header_all("cookie");
                let mut values = lines.iter().filter_map(|line| cookie(line, name));
                Presented::key(values.next()?.to_vec())
            }
        }
    }

    /// Remove the values of this source.
    pub fn hide(&self, request: &mut Request) -> Result<(), EditError> {
        match self {
            Self::Header { name, scheme } => {
                let fields = match scheme {
                    None => Vec::new(),
                    Some(_) => request.header_all(name),
                };
                let is_there = |scheme: &String| {
                    let mut fields = fields.iter();
                    fields.any(|field| credentials(field, scheme).is_some())
                };
                if scheme.as_ref().is_none_or(is_there) {
                    request.remove_header(name)?;
                }
            }
            Self::Query(name) => {
                let mut path = request.path_and_query();
                if path.remove_query(name) > 0 {
                    request.set_path(path.to_string())?;
                }
            }
            Self::Cookie(name) => {
                let lines = request.header_all("cookie");
                if lines.iter().any(|line| cookie(line, name).is_some()) {
                    request.remove_header("cookie")?;
                    let rest = lines.iter().filter_map(|line| without(line, name));
                    let rest: Vec<_> = rest.collect();
                    if !rest.is_empty() {
                        request.set_header("cookie", rest.join(&b"; "[..]))?;
                    }
                }
            }
        }
        Ok(())
    }

    /// Keep only the value that was checked, so that the endpoint sees no other.
    pub fn keep_one(&self, request: &mut Request) -> Result<(), EditError> {
        match self {
            Self::Header { name, .. } => {
                if let Some(field) = request.header(name) {
                    request.set_header(name, field)?;
                }
            }
            Self::Query(name) => {
                let mut path = request.path_and_query();
                if let Some(first) = path.raw_query_param(name)
                    && path.clone().remove_query(name) > 1
                {
                    path.set_encoded_query(name, first.as_str());
                    request.set_path(path.to_string())?;
                }
            }
            Self::Cookie(name) => {
                let lines = request.header_all("cookie");
                let all = lines.iter().flat_map(|line| pairs(line));
                if all.filter(|pair| value_of(pair, name).is_some()).count() > 1 {
                    request.set_header("cookie", with_first(&lines, name))?;
                }
            }
        }
        Ok(())
    }

    /// Whether both are the same source, or read the same header.
    pub fn is_of_one_field(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Header { name: one, .. }, Self::Header { name: other, .. }) => one == other,
            _ => self == other,
        }
    }

    /// The header that this source reads.
    pub fn header(&self) -> Option<&str> {
        match self {
            Self::Header { name, .. } => Some(name),
            Self::Cookie(_) => Some("cookie"),
            Self::Query(_) => None,
        }
    }

    /// The challenge of a 401 (RFC 9110, section 11.6.1). `ApiKey` is not a registered scheme; it names the source as
    /// OpenAPI names API keys.
    pub fn challenge(&self) -> String {
        let (place, name) = match self {
            // RFC 7617, section 2: the realm is required.
            Self::Header {
                scheme: Some(scheme),
                ..
            } if is_basic(scheme) => return format!("{scheme} realm=\"api\", charset=\"UTF-8\""),
            Self::Header {
                scheme: Some(scheme),
                ..
            } => return format!("{scheme} realm=\"api\""),
            Self::Header { name, scheme: None } => ("header", name),
            Self::Query(name) => ("query", name),
            Self::Cookie(name) => ("cookie", name),
        };
        let mut challenge = format!("ApiKey in=\"{place}\", name=\"");
        for character in name.chars() {
            if matches!(character, '"' | '\\') {
                challenge.push('\\');
            }
            challenge.push(if character.is_control() {
                ' '
            } else {
                character
            });
        }
        challenge.push('"');
        challenge
    }

    /// Describe the source as an OpenAPI security scheme.
    pub fn describe(&self, contribution: Contribution) -> Contribution {
        let (place, name) = match self {
            Self::Header { name, scheme: None } => ("header", name),
            Self::Query(name) => ("query", name),
            Self::Cookie(name) => ("cookie", name),
            Self::Header {
                scheme: Some(scheme),
                ..
            } => {
                let scheme = scheme.to_ascii_lowercase();
                let about = json!({ "type": "http", "scheme": scheme });
                return contribution.scheme(&format!("api-key-{scheme}"), about, &[]);
            }
        };
        let about = json!({ "type": "apiKey", "in": place, "name": name });
        // A cookie or a parameter may have the same name as a header.
        let scheme = match self {
            Self::Header { .. } => format!("api-key-{name}"),
            Self::Query(_) | Self::Cookie(_) => format!("api-key-{place}-{name}"),
        };
        contribution.scheme(&scheme, about, &[])
    }
}

/// The credentials after a scheme, compared without case (RFC 9110, section 11.1).
fn credentials<'f>(field: &'f [u8], scheme: &str) -> Option<&'f [u8]> {
    let (start, rest) = field.split_at_checked(scheme.len())?;
    // RFC 9110 does not allow a tab here, but some endpoints accept it, so a key after a tab counts too.
    let is_apart = matches!(rest.first(), Some(b' ' | b'\t'));
    let is_scheme = start.eq_ignore_ascii_case(scheme.as_bytes()) && is_apart;
    is_scheme.then(|| rest.trim_ascii())
}

fn is_basic(scheme: &str) -> bool {
    scheme.eq_ignore_ascii_case("basic")
}

/// Decode the user and the password.
fn basic(credentials: &[u8]) -> Option<Presented> {
    let pair = STANDARD.decode(credentials).ok()?;
    let colon = pair.iter().position(|byte| *byte == b':')?;
    let (user, password) = pair.split_at_checked(colon)?;
    let password = password.strip_prefix(b":")?;
    if password.is_empty() {
        return Presented::key(user.to_vec());
    }
    Some(Presented {
        key: password.to_vec(),
        user: Some(String::from_utf8_lossy(user).into_owned()),
    })
}

/// The cookies of one header line (RFC 6265, section 4.2.1).
fn pairs(line: &[u8]) -> impl Iterator<Item = &[u8]> {
    let pairs = line.split(|byte| *byte == b';').map(<[u8]>::trim_ascii);
    pairs.filter(|pair| !pair.is_empty())
}

/// The value of a cookie, without optional quotes.
fn cookie<'l>(line: &'l [u8], name: &str) -> Option<&'l [u8]> {
    let value = pairs(line).find_map(|pair| value_of(pair, name))?;
    let inside = value
        .strip_prefix(b"\"")
        .and_then(|rest| rest.strip_suffix(b"\""));
    Some(inside.unwrap_or(value))
}

/// The value of a cookie of this name. Spaces around the name and the value are ignored, because many endpoints ignore
/// them.
fn value_of<'p>(pair: &'p [u8], name: &str) -> Option<&'p [u8]> {
    let rest = pair.strip_prefix(name.as_bytes())?.trim_ascii_start();
    Some(rest.strip_prefix(b"=")?.trim_ascii_start())
}

/// All cookies in one line, with only the first one of this name.
fn with_first(lines: &[impl AsRef<[u8]>], name: &str) -> Vec<u8> {
    let mut found = false;
    let all = lines.iter().flat_map(|line| pairs(line.as_ref()));
    let kept = all.filter(|pair| {
        let is_named = value_of(pair, name).is_some();
        !is_named || !std::mem::replace(&mut found, true)
    });
    kept.collect::<Vec<_>>().join(&b"; "[..])
}

/// A line without this cookie. `None` if no cookie is left.
fn without(line: &[u8], name: &str) -> Option<Vec<u8>> {
    let rest: Vec<_> = pairs(line)
        .filter(|pair| value_of(pair, name).is_none())
        .collect();
    (!rest.is_empty()).then(|| rest.join(&b"; "[..]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cookie_is_found_and_taken_out() {
        let line = b"a=1; key=\"secret\";b=2; keys=3; key = again";
        assert_eq!(cookie(line, "key"), Some(&b"secret"[..]));
        assert_eq!(cookie(line, "ey"), None);
        assert_eq!(
            without(line, "key").as_deref(),
            Some(&b"a=1; b=2; keys=3"[..])
        );
        assert_eq!(without(b"key=x", "key"), None);
        assert_eq!(cookie(b"key = x", "key"), Some(&b"x"[..]));
        let lines = [&line[..], b"key=third; c=3"];
        assert_eq!(
            with_first(&lines, "key"),
            b"a=1; key=\"secret\"; b=2; keys=3; c=3"
        );
    }

    #[test]
    fn credentials_are_those_of_the_scheme() {
        for (field, found) in [
            (&b"Bearer abc"[..], Some(&b"abc"[..])),
            (b"bEARER   abc ", Some(b"abc")),
            (b"Bearer\tabc", Some(b"abc")),
            (b"Bearer", None),
            (b"Bearerabc", None),
            (b"Basic abc", None),
        ] {
            assert_eq!(credentials(field, "Bearer"), found);
        }
        let presented = |pair: &str| basic(STANDARD.encode(pair).as_bytes());
        let key = |key: &str, user: Option<&str>| Presented {
            key: key.into(),
            user: user.map(str::to_owned),
        };
        assert_eq!(presented("me:se:cret"), Some(key("se:cret", Some("me"))));
        assert_eq!(presented("secret:"), Some(key("secret", None)));
        assert_eq!(presented(":"), None);
        assert_eq!(presented("secret"), None);
        assert_eq!(basic(b"not base64!"), None);
    }

    #[test]
    fn a_challenge_is_quoted() {
        assert_eq!(
            Place::Query("a\"b".into()).challenge(),
            r#"ApiKey in="query", name="a\"b""#
        );
    }
}
