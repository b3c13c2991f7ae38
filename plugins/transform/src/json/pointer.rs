//! JSON Pointer (RFC 6901).

/// A parsed pointer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pointer(Vec<String>);

impl Pointer {
    /// Points to the whole body.
    pub const WHOLE: Self = Self(Vec::new());

    /// Parses a pointer.
    ///
    /// # Errors
    /// The error, and how to fix it.
    pub fn parse(text: &str) -> Result<Self, String> {
        let Some(rest) = text.strip_prefix('/') else {
            return match text {
                "" => Ok(Self(Vec::new())),
                _ => Err(format!(
                    "`{text}` is no JSON Pointer: write `/{text}`, or `\"\"` for the whole body"
                )),
            };
        };
        let tokens: Option<Vec<String>> = rest.split('/').map(unescape).collect();
        tokens.map(Self).ok_or_else(|| {
            format!("`{text}` has a `~` that begins no escape: write `~0` for `~`, `~1` for `/`")
        })
    }

    pub fn tokens(&self) -> &[String] {
        &self.0
    }

    pub fn split_last(&self) -> Option<(&[String], &str)> {
        let (last, parents) = self.0.split_last()?;
        Some((parents, last))
    }

    /// Whether the other pointer begins with this one.
    pub fn leads_to(&self, other: &Self) -> bool {
        other.0.starts_with(&self.0)
    }
}

fn unescape(token: &str) -> Option<String> {
    let mut pieces = token.split('~');
    let mut name = pieces.next().unwrap_or_default().to_owned();
    for piece in pieces {
        let (escaped, rest) = match piece.as_bytes().first() {
            Some(b'0') => ('~', piece.get(1..)?),
            Some(b'1') => ('/', piece.get(1..)?),
            Some(_) | None => return None,
        };
        name.push(escaped);
        name.push_str(rest);
    }
    Some(name)
}

/// The index of a token in an array: digits without leading zeros.
pub(super) fn index(token: &str) -> Option<usize> {
    let is_index = token == "0" || matches!(token.as_bytes().first(), Some(b'1'..=b'9'));
    // `parse` accepts only digits if the first character is a digit.
    token.parse().ok().filter(|_| is_index)
}
