//! The fields that say who sent a request: proxies write them, and endpoints believe them.
//!
//! [`headers`](crate::upstream::headers) removes them from the request of a client that is not a trusted proxy,
//! and removes their look-alikes from every request.
//!
//! A look-alike has another character where the real name has `-`: CGI, WSGI and PHP pass `x_real_ip`
//! and `x-real-ip` to the application as one variable, `HTTP_X_REAL_IP` (RFC 3875 section 4.1.18). The
//! look-alikes of a field that a filter sets are removed when it sets the field.

use http::{HeaderMap, HeaderName};
use smallvec::SmallVec;

use crate::http::field_spelling;

/// The kind of a name. Few requests have any but the first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum FieldKind {
    /// Anything else.
    Other,
    /// An identity field: it says who sent the request, or how it came.
    Identity,
    /// A name that a server may read as another.
    Ambiguous,
}

/// The identity fields: addresses, hosts, schemes and paths, a client's certificate, and who has logged in.
/// `*` ends a prefix.
fn identity_fields_like(name: &[u8]) -> &'static [&'static str] {
    match name {
        [b'x', b'-', b'a', ..] => &[
            "x-amzn-mtls-*",
            "x-amzn-oidc-*",
            "x-anonymous-consumer",
            "x-appengine-*",
            "x-arr-*",
            "x-auth-request-*",
            "x-authenticated-*",
            "x-azure-clientip",
            "x-azure-socketip",
        ],
        [b'x', b'-', b'c', ..] => &[
            "x-client-cert*",
            "x-client-dn*",
            "x-client-ip",
            "x-client-port",
            "x-client-scheme",
            "x-client-verify*",
            "x-cluster-client-ip",
            "x-consumer-*",
            "x-credential-*",
        ],
        [b'x', b'-', b'e', ..] => &["x-envoy-*"],
        [b'x', b'-', b'f', ..] => &["x-forwarded*"],
        [b'x', b'-', b'g', ..] => &["x-goog-authenticated-*", "x-goog-iap-*"],
        [b'x', b'-', b'h', ..] => &["x-host", "x-http-host-override"],
        [b'x', b'-', b'm', ..] => &["x-ms-client-principal*"],
        [b'x', b'-', b'o', ..] => &["x-original-*"],
        [b'x', b'-', b'p', ..] => &["x-proxyuser-ip"],
        [b'x', b'-', b'r', ..] => &["x-real-*", "x-remote-*", "x-replaced-*", "x-rewrite-*"],
        [b'x', b'-', b's', ..] => &["x-scheme", "x-ssl-*"],
        [b'x', b'-', b't', ..] => &["x-tls-*"],
        [b'x', b'-', b'u', ..] => &["x-url-scheme", "x-userinfo"],
        [b'x', b'-', b'w', ..] => &["x-webauth-*"],
        [b'c', ..] => &["cf-connecting-ip*", "client-cert*", "client-ip"],
        [b'f', ..] => &[
            "fastly-client-ip",
            "fly-client-ip",
            "forwarded",
            "forwarded-*",
            "front-end-https",
        ],
        // CGI makes `proxy` the variable `HTTP_PROXY`, which some clients use as their proxy.
        [b'p', ..] => &["proxy", "proxy-client-ip"],
        [b'r', ..] => &["remote-addr", "remote-user*"],
        [b's', ..] => &["ssl-client*"],
        [b't', ..] => &["true-client-ip"],
        [b'w', ..] => &["wl-proxy-client-ip"],
        _ => &[],
    }
}

/// Other names that a look-alike must not imitate: framing, credentials, identity.
const GUARDED_PREFIXES: &[&str] = &[
    "accept-",
    "access-control-",
    "cache-",
    "content-",
    "if-",
    "max-forwards",
    "proxy-",
    "sec-",
    "set-",
    "transfer-",
    "user-agent",
    "www-",
    "x-access-",
    "x-account",
    "x-admin",
    "x-amz",
    "x-api",
    "x-app-",
    "x-auth",
    "x-caller",
    "x-client",
    "x-consumer",
    "x-correlation-",
    "x-credential",
    "x-csrf",
    "x-group",
    "x-http-method",
    "x-id-token",
    "x-internal",
    "x-jwt",
    "x-method-override",
    "x-org",
    "x-permission",
    "x-plan",
    "x-principal",
    "x-remote",
    "x-request-id",
    "x-role",
    "x-scope",
    "x-session",
    "x-subject",
    "x-tenant",
    "x-tier",
    "x-token",
    "x-user",
    "x-xsrf",
];

/// The same, whole names.
const GUARDED_NAMES: &[&str] = &["api-key", "auth-token", "keep-alive", "user-id"];

/// The kind of a field with this name, in lower case.
pub(crate) fn field_kind(name: &str) -> FieldKind {
    if field_spelling::is_ambiguous(name) {
        return FieldKind::Ambiguous;
    }
    if is_identity_field(name) {
        FieldKind::Identity
    } else {
        FieldKind::Other
    }
}

fn is_identity_field(name: &str) -> bool {
    let mut claims = identity_fields_like(name.as_bytes()).iter();
    claims.any(|claim| match claim.strip_suffix('*') {
        Some(prefix) => name.starts_with(prefix),
        None => name == *claim,
    })
}

/// Remove the identity fields that a client sent, except those that the operator allows.
pub(crate) fn drop_identity_fields(headers: &mut HeaderMap, passed: &[HeaderName]) {
    let claims = matching(headers, passed, |name| {
        field_kind(name.as_str()) == FieldKind::Identity
    });
    for name in claims {
        headers.remove(name);
    }
}

/// Remove the look-alikes of fields that matter, and of other fields of the same request.
pub(crate) fn drop_look_alikes(headers: &mut HeaderMap, passed: &[HeaderName]) {
    let alike = matching(headers, passed, |name| {
        if field_kind(name.as_str()) != FieldKind::Ambiguous {
            return false;
        }
        let real = field_spelling::normalize(name.as_str());
        is_identity_field(&real)
            || GUARDED_PREFIXES
                .iter()
                .any(|prefix| real.starts_with(prefix))
            || GUARDED_NAMES.contains(&&*real)
            || headers.contains_key(&*real)
    });
    for name in alike {
        headers.remove(name);
    }
}

fn matching(
    headers: &HeaderMap,
    passed: &[HeaderName],
    is: impl Fn(&HeaderName) -> bool,
) -> SmallVec<[HeaderName; 4]> {
    let asked = headers.keys().filter(|name| !passed.contains(name));
    asked.filter(|name| is(name)).cloned().collect()
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    fn left(
        names: &[&'static str],
        passed: &[&'static str],
        drop: fn(&mut HeaderMap, &[HeaderName]),
    ) -> Vec<String> {
        let name = |name: &&'static str| HeaderName::from_static(name);
        let mut headers = HeaderMap::new();
        for name in names.iter().map(name) {
            headers.append(name, HeaderValue::from_static("x"));
        }
        let passed: Vec<HeaderName> = passed.iter().map(name).collect();
        drop(&mut headers, &passed);
        let mut left: Vec<String> = headers.keys().map(ToString::to_string).collect();
        left.sort();
        left
    }

    #[test]
    fn claims_are_known_by_their_names() {
        for claim in [
            "forwarded",
            "x-forwarded-for",
            "x-forwarded-port",
            "x-forwarded-server",
            "x-forwarded-uri",
            "x-forwarded-method",
            "x-forwarded-scheme",
            "x-forwarded-ssl",
            "x-forwarded-user",
            "x-forwarded-tls-client-cert-info",
            "x-forwarded-client-cert",
            "x-forwarded",
            "x-real-ip",
            "x-original-url",
            "x-rewrite-url",
            "true-client-ip",
            "client-cert-chain",
            "ssl-client-subject-dn",
            "x-ssl-client-cn",
            "x-remote-user",
            "x-auth-request-email",
        ] {
            assert_eq!(field_kind(claim), FieldKind::Identity, "{claim}");
        }
        for other in [
            "",
            "host",
            "cookie",
            "x-api-key",
            "x-request-id",
            "x-custom",
            "proxy-x",
            "content-type",
            "forward",
            "xforwarded",
            "x-user-agent",
            "traceparent",
        ] {
            assert_eq!(field_kind(other), FieldKind::Other, "{other}");
        }
        for odd in [
            "x_forwarded_for",
            "my_field",
            "x.real.ip",
            "x~y",
            "forwarded-",
        ] {
            let expected = if odd.ends_with('-') {
                FieldKind::Identity
            } else {
                FieldKind::Ambiguous
            };
            assert_eq!(field_kind(odd), expected, "{odd}");
        }
    }

    #[test]
    fn claims_go_unless_the_operator_lets_them_pass() {
        let names = ["x-real-ip", "accept", "x-consumer-id", "x-mine"];
        assert_eq!(
            left(&names, &[], drop_identity_fields),
            ["accept", "x-mine"]
        );
        assert_eq!(
            left(&names, &["x-consumer-id"], drop_identity_fields),
            ["accept", "x-consumer-id", "x-mine"]
        );
    }

    #[test]
    fn look_alikes_of_what_matters_go_and_others_stay() {
        let names = [
            "x_forwarded_for",
            "x_api_key",
            "x.real.ip",
            "content_length",
            "my_field",
            "x_custom",
            "x_mine",
            "x-mine",
            "x-real-ip",
        ];
        assert_eq!(
            left(&names, &[], drop_look_alikes),
            ["my_field", "x-mine", "x-real-ip", "x_custom"]
        );
        assert_eq!(
            left(&["x_api_key"], &["x_api_key"], drop_look_alikes),
            ["x_api_key"]
        );
    }
}
