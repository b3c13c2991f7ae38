//! Methods, statuses and fields.

use http::{HeaderName, HeaderValue, Method, StatusCode};

use super::{Refused, nearest, quoted};

/// The methods of RFC 9110 and RFC 5789 that a gateway can carry.
const METHODS: [&str; 8] = [
    "GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE",
];

/// Fields of one connection or of one message's framing (RFC 9110, section 7.6.1; RFC 9112,
/// section 6): the gateway alone writes them.
const RESERVED: [&str; 10] = [
    "connection",
    "content-length",
    "keep-alive",
    "proxy-authenticate",
    "proxy-authorization",
    "proxy-connection",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
];

/// A method, upper-case; none is `ANY`.
pub(in crate::config) fn method(text: &str) -> Result<Option<Method>, Refused> {
    let upper = text.to_uppercase();
    if upper != text {
        return Err(Refused::because("is not upper-case").write(&upper));
    }
    match text {
        "ANY" => return Ok(None),
        "CONNECT" => return Err(Refused::because("is not carried by this gateway")),
        "*" => return Err(Refused::plain().write("ANY")),
        _other => {}
    }
    if !METHODS.contains(&text)
        && let Some(meant) = nearest(text, METHODS)
    {
        return Err(Refused::plain().help(format!("did you mean {}?", quoted(meant))));
    }
    let method = Method::from_bytes(text.as_bytes()).map_err(|_| Refused::plain())?;
    Ok(Some(method))
}

/// The name of a response's field.
pub(in crate::config) fn field_name(text: &str) -> Result<HeaderName, Refused> {
    let name = HeaderName::from_bytes(text.as_bytes())
        .map_err(|_| Refused::because("is not a field name (RFC 9110, section 5.1)"))?;
    if RESERVED.contains(&name.as_str()) {
        return Err(
            Refused::because("belongs to the gateway, which frames every message itself")
                .help("remove it"),
        );
    }
    Ok(name)
}

/// The value of a field: visible ASCII, spaces and tabs between.
pub(in crate::config) fn field_value(text: &str) -> Result<HeaderValue, Refused> {
    if text != text.trim_matches([' ', '\t']) {
        return Err(Refused::because("begins or ends with white space"));
    }
    HeaderValue::from_str(text).map_err(|_| {
        Refused::because("holds a character that a field cannot (RFC 9110, section 5.5)")
    })
}

/// Whether a response of this status has no body (RFC 9110, sections 15.3.5, 15.3.6, 15.4.5).
pub(in crate::config) fn is_bodiless(status: StatusCode) -> bool {
    matches!(
        status,
        StatusCode::NO_CONTENT | StatusCode::RESET_CONTENT | StatusCode::NOT_MODIFIED
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn methods() {
        assert_eq!(method("GET"), Ok(Some(Method::GET)));
        assert_eq!(method("PROPFIND").unwrap().unwrap().as_str(), "PROPFIND");
        assert_eq!(method("ANY"), Ok(None));
        assert_eq!(
            method("get").unwrap_err().help.as_deref(),
            Some("write `\"GET\"`")
        );
        let help = method("PSOT").unwrap_err().help;
        assert_eq!(help.as_deref(), Some("did you mean `\"POST\"`?"));
        for bad in ["", "CONNECT", "*", "A B", "Get", "GET,PUT"] {
            assert!(method(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn fields() {
        assert!(field_name("Content-Type").is_ok() && field_value("text/plain").is_ok());
        for bad in [
            "",
            "a b",
            "Content-Length",
            "transfer-encoding",
            "Upgrade",
            "ä",
        ] {
            assert!(field_name(bad).is_err(), "{bad}");
        }
        for bad in ["a\r\nb", " a", "a\0", "\u{7f}"] {
            assert!(field_value(bad).is_err(), "{bad:?}");
        }
    }

    #[test]
    fn statuses() {
        assert!(is_bodiless(StatusCode::NO_CONTENT) && !is_bodiless(StatusCode::OK));
    }
}
