//! The sources of a token: how to find it and how to remove it.

use windlass_plugin_sdk::host::jwt::TokenField;
use windlass_plugin_sdk::{EditError, Json, Request, json};

/// The header of credentials (RFC 9110, section 11.6.2), lower case.
pub const AUTHORIZATION: &str = "authorization";

/// The scheme of a token with a proof (RFC 9449, section 7.1).
pub const DPOP: &str = "DPoP";

/// A source of the token.
#[derive(Debug, PartialEq, Eq)]
pub enum Source {
    /// The header of this name, lower case.
    Header {
        name: String,
        /// The word before the token; `None` if the token is the whole value.
        scheme: Option<String>,
    },
    /// The cookie of this name.
    Cookie(String),
    /// The query parameter of this name.
    Query(String),
}

impl Source {
    /// The source as an OpenAPI security scheme: a name that distinguishes it, and the scheme.
    pub fn describe(&self) -> (String, Json) {
        let (place, name) = match self {
            Self::Header {
                name,
                scheme: Some(scheme),
            } if name == AUTHORIZATION => {
                let scheme = scheme.to_ascii_lowercase();
                let about = json!({ "type": "http", "scheme": scheme, "bearerFormat": "JWT" });
                return (scheme, about);
            }
            Self::Header { name, .. } => ("header", name),
            Self::Cookie(name) => ("cookie", name),
            Self::Query(name) => ("query", name),
        };
        let about = json!({ "type": "apiKey", "in": place, "name": name });
        // A cookie or a parameter may have the same name as a header.
        let scheme = match self {
            Self::Header { .. } => name.clone(),
            Self::Query(_) | Self::Cookie(_) => format!("{place}-{name}"),
        };
        (scheme, about)
    }

    /// The first text in this source that holds a token. It ignores further values; [`Self::count`] counts them.
    pub fn find(&self, request: &Request) -> Option<String> {
        let token = |value: Vec<u8>| {
            let text = String::from_utf8(value).ok()?;
            self.token(&text).is_some().then_some(text)
        };
        match self {
            Self::Header { name, .. } => request.header_all(name).into_iter().find_map(token),
            Self::Cookie(name) => {
                let fields = request.header_all("cookie");
                let mut found = fields.iter().flat_map(|field| cookies(field, name));
                found.find_map(|value| token(value.to_vec()))
            }
            Self::Query(name) => request.query_param(name).filter(|text| !text.is_empty()),
        }
    }

    /// The token in a text from this source. `None` if it holds none.
    pub fn token<'a>(&self, found: &'a str) -> Option<&'a str> {
        let token = match self {
            Self::Header {
                scheme: Some(scheme),
                ..
            } => after(scheme, found)?,
            Self::Header { scheme: None, .. } | Self::Cookie(_) | Self::Query(_) => found,
        };
        (!token.is_empty()).then_some(token)
    }

    /// The field, if this source is a header.
    pub fn field(&self, hide: bool) -> Option<TokenField<'_>> {
        match self {
            Self::Header { name, scheme } => Some(TokenField {
                name,
                scheme: scheme.as_deref(),
                hide,
            }),
            Self::Cookie(_) | Self::Query(_) => None,
        }
    }

    /// Whether tokens in this source come with a proof.
    pub fn is_dpop(&self) -> bool {
        match self {
            Self::Header {
                scheme: Some(scheme),
                ..
            } => scheme.eq_ignore_ascii_case(DPOP),
            Self::Header { scheme: None, .. } | Self::Cookie(_) | Self::Query(_) => false,
        }
    }

    /// Whether both sources read the same header.
    pub fn is_header_of(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Header { name: one, .. }, Self::Header { name: other, .. }) => one == other,
            _ => false,
        }
    }

    pub fn takes_all_of(&self, other: &Self) -> bool {
        matches!(self, Self::Header { scheme: None, .. }) && self.is_header_of(other)
    }

    /// The number of values that the request has in this source.
    pub fn count(&self, request: &Request) -> usize {
        match self {
            Self::Header { name, .. } => request.header_all(name).len(),
            Self::Cookie(name) => {
                let fields = request.header_all("cookie");
                let counts = fields.iter().map(|field| cookies(field, name).count());
                counts.sum()
            }
            Self::Query(name) => request.path_and_query().remove_query(name),
        }
    }

    /// Removes all values of this source. Returns how many there were.
    ///
    /// # Errors
    /// The reason why the gateway refused the edit.
    pub fn remove(&self, request: &mut Request) -> Result<usize, EditError> {
        match self {
            Self::Header { name, .. } => Ok(request.remove_header(name)? as usize),
            Self::Cookie(name) => {
                let count = self.count(request);
                remove_cookie(request, name)?;
                Ok(count)
            }
            Self::Query(name) => {
                let mut path = request.path_and_query();
                let count = path.remove_query(name);
                request.set_path(path.to_string())?;
                Ok(count)
            }
        }
    }
}

/// The credentials after this scheme, compared without case (RFC 9110, section 11.1).
fn after<'a>(scheme: &str, value: &'a str) -> Option<&'a str> {
    // RFC 9110 does not allow a tab here, but some endpoints accept it, so a token after a tab counts too.
    let blank = [' ', '\t'];
    let (first, rest) = value.split_once(blank)?;
    first
        .eq_ignore_ascii_case(scheme)
        .then(|| rest.trim_start_matches(blank))
}

/// The values of the cookies of this name, without empty ones (RFC 6265, section 4.2.1).
fn cookies<'a>(field: &'a [u8], name: &str) -> impl Iterator<Item = &'a [u8]> {
    let pairs = field.split(|byte| *byte == b';').map(<[u8]>::trim_ascii);
    let values = pairs.filter_map(move |pair| {
        let end = pair.iter().position(|byte| *byte == b'=')?;
        let (key, value) = (pair[..end].trim_ascii(), pair[end + 1..].trim_ascii());
        (key == name.as_bytes()).then(|| unquoted(value))
    });
    values.filter(|value| !value.is_empty())
}

/// The value of a cookie without optional quotes.
fn unquoted(value: &[u8]) -> &[u8] {
    match value {
        [b'"', inside @ .., b'"'] => inside,
        _ => value,
    }
}

/// Remove one cookie, and keep the others.
fn remove_cookie(request: &mut Request, name: &str) -> Result<(), EditError> {
    let mut others: Vec<Vec<u8>> = Vec::new();
    for value in request.header_all("cookie") {
        let pairs = value.split(|byte| *byte == b';').map(<[u8]>::trim_ascii);
        let kept = pairs.filter(|pair| {
            let end = pair.iter().position(|byte| *byte == b'=');
            end.is_none_or(|end| pair[..end].trim_ascii() != name.as_bytes())
        });
        others.extend(kept.map(<[u8]>::to_vec));
    }
    match others.is_empty() {
        true => request.remove_header("cookie").map(|_| ()),
        false => request.set_header("cookie", others.join(&b"; "[..])),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cookies_are_found_among_others_unless_they_are_empty() {
        let found = |field: &[u8], name: &str| {
            let values = cookies(field, name).map(<[u8]>::to_vec);
            values.collect::<Vec<_>>()
        };
        assert_eq!(found(b"a=1; token=x.y.z; b=2", "token"), [b"x.y.z"]);
        assert_eq!(found(b"token=\"x\"; token = y", "token"), [b"x", b"y"]);
        assert_eq!(found(b"token=; token=\"\"; token=y", "token"), [b"y"]);
        assert_eq!(found(b"a=\xff; token=\xfe", "token"), [b"\xfe"]);
        assert_eq!(found(b"my-token=x; token", "token"), [b""; 0]);
    }
}
