//! The demand of a registry in a 401 (RFC 9110, section 11.3; the token protocol of the distribution project).

use http::{HeaderMap, header};
use http_auth::parser;

/// How a registry wants to know who asks.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum LoginChallenge {
    /// The user and the password themselves.
    Basic,
    /// A token of this server.
    Token {
        realm: String,
        service: Option<String>,
        scope: Option<String>,
    },
}

/// The challenge that can be met; the one for a token if there are several.
pub(super) fn challenge(fields: &HeaderMap) -> Option<LoginChallenge> {
    let fields = fields.get_all(header::WWW_AUTHENTICATE).iter();
    let texts = fields.filter_map(|field| field.to_str().ok());
    let mut found = None;
    for text in texts {
        for challenge in parser::ChallengeParser::new(text).map_while(Result::ok) {
            let param = |name: &str| {
                let mut params = challenge.params.iter();
                let value = params.find(|(known, _)| known.eq_ignore_ascii_case(name));
                value.map(|(_, value)| value.to_unescaped())
            };
            if challenge.scheme.eq_ignore_ascii_case("bearer") {
                if let Some(realm) = param("realm") {
                    return Some(LoginChallenge::Token {
                        realm,
                        service: param("service"),
                        scope: param("scope"),
                    });
                }
            } else if challenge.scheme.eq_ignore_ascii_case("basic") {
                found = Some(LoginChallenge::Basic);
            }
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    fn of(texts: &[&'static str]) -> Option<LoginChallenge> {
        let mut fields = HeaderMap::new();
        for text in texts {
            fields.append(header::WWW_AUTHENTICATE, HeaderValue::from_static(text));
        }
        challenge(&fields)
    }

    #[test]
    fn a_token_comes_before_a_password() {
        let token =
            r#"Bearer realm="https://a.example/token",service="a, b",scope="repository:x:pull""#;
        let expected = Some(LoginChallenge::Token {
            realm: "https://a.example/token".to_owned(),
            service: Some("a, b".to_owned()),
            scope: Some("repository:x:pull".to_owned()),
        });
        assert_eq!(of(&[r#"Basic realm="x""#, token]), expected);
        assert_eq!(of(&[token, r#"Basic realm="x""#]), expected);
        assert_eq!(of(&[r#"basic realm="x""#]), Some(LoginChallenge::Basic));
    }

    #[test]
    fn what_cannot_be_met_is_none() {
        for texts in [
            &[][..],
            &["Negotiate"],
            &["Bearer"],
            &["Bearer realm"],
            &["\"", ","],
        ] {
            assert_eq!(of(texts), None, "{texts:?}");
        }
    }
}
