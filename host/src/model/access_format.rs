//! The format of the access log: its variables, its templates, and the names whose values it masks.
//!
//! Pure. A template is read when the configuration is; `exchange` fills it in.

use std::collections::BTreeSet;

use http::HeaderName;
use percent_encoding::percent_decode_str;

/// Stands for a value that is masked.
pub(crate) const MASK: &str = "***";

/// Query parameters and header fields that usually hold secrets: their values are always masked.
pub(crate) const SECRET_NAMES: [&str; 29] = [
    "access_token",
    "api-key",
    "api_key",
    "apikey",
    "assertion",
    "auth",
    "authorization",
    "client_assertion",
    "client_secret",
    "code",
    "cookie",
    "id_token",
    "jwt",
    "key",
    "passwd",
    "password",
    "proxy-authorization",
    "refresh_token",
    "saml_response",
    "samlresponse",
    "secret",
    "set-cookie",
    "sig",
    "signature",
    "token",
    "x-amz-credential",
    "x-amz-security-token",
    "x-amz-signature",
    "x-api-key",
];

/// The format of the access log's lines.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) struct AccessFormat {
    pub(crate) layout: AccessLayout,
    /// Names whose values are masked beside [`SECRET_NAMES`], in lower case.
    pub(crate) masked: BTreeSet<String>,
}

/// How a line is laid out.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(crate) enum AccessLayout {
    /// A JSON object with the usual fields.
    #[default]
    Json,
    /// A JSON object with these fields.
    Fields(Vec<AccessVariable>),
    /// Text with variables in it.
    Template(Vec<AccessPart>),
}

/// A part of a template.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum AccessPart {
    Text(Box<str>),
    Variable(AccessVariable),
}

/// A variable, with the name that the configuration has for it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct AccessVariable {
    pub(crate) name: Box<str>,
    pub(crate) source: AccessSource,
}

/// Where the value of a variable comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum AccessSource {
    Fact(AccessFact),
    /// A field of the request's head, as it was sent to the endpoint.
    Header(HeaderName),
    /// An attribute that a filter set.
    Attribute(Box<str>),
}

/// Declares facts with the names of their variables.
macro_rules! facts {
    ($($(#[doc = $doc:literal])* $fact:ident = $name:literal,)+) => {
        /// A fact about an exchange that has ended.
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub(crate) enum AccessFact {
            $($(#[doc = $doc])* $fact,)+
        }

        /// The facts by the names of their variables.
        const FACTS: &[(&str, AccessFact)] = &[$(($name, AccessFact::$fact)),+];
    };
}

facts! {
    Time = "time",
    Request = "request",
    Traceparent = "traceparent",
    Client = "client",
    ClientPort = "client_port",
    Method = "method",
    Host = "host",
    Path = "path",
    /// The query, with its `?`, secrets masked.
    Query = "query",
    Scheme = "scheme",
    Protocol = "protocol",
    /// `TLSv1.2` or `TLSv1.3`.
    TlsVersion = "tls_version",
    /// The cipher suite by its name of IANA.
    TlsCipher = "tls_cipher",
    Route = "route",
    Api = "api",
    Stage = "stage",
    Status = "status",
    DurationUs = "duration_us",
    /// The same in seconds, as nginx and an ALB write it.
    DurationS = "duration_s",
    Upstream = "upstream",
    Endpoint = "endpoint",
    UpstreamUs = "upstream_us",
    UpstreamS = "upstream_s",
    Attempts = "attempts",
    RequestBytes = "request_bytes",
    ResponseBytes = "response_bytes",
    Failure = "failure",
    Filter = "filter",
    KeyRejected = "key_rejected",
    TokenRejected = "token_rejected",
    Attributes = "attributes",
    /// The field of that name, the secrets of its query masked.
    Referer = "referer",
}

/// Variables that are attributes or fields with a name of their own.
const ALIASES: [(&str, &str); 4] = [
    ("consumer", "attribute.consumer.id"),
    ("key", "attribute.api-key.id"),
    ("plan", "attribute.plan.id"),
    ("user_agent", "header.user-agent"),
];

/// An error in a variable or a template.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum AccessFormatError {
    /// No variable has this name.
    Unknown(String),
    /// A `${` has no end.
    Open,
    /// It has a control character, such as the end of a line.
    Control,
}

impl AccessVariable {
    /// The variable of that name.
    ///
    /// # Errors
    ///
    /// There is none.
    pub(crate) fn parse(name: &str) -> Result<Self, AccessFormatError> {
        let fact = FACTS.iter().find(|(known, _)| *known == name);
        let alias = ALIASES.iter().find(|(known, _)| *known == name);
        let target = alias.map_or(name, |(_, target)| target);
        let source = match (fact, target.split_once('.')) {
            (Some((_, fact)), _) => AccessSource::Fact(*fact),
            (None, Some(("header", field))) => match HeaderName::from_bytes(field.as_bytes()) {
                Ok(field) => AccessSource::Header(field),
                Err(_) => return Err(AccessFormatError::Unknown(name.to_owned())),
            },
            (None, Some(("attribute", attribute))) if !attribute.is_empty() => {
                AccessSource::Attribute(attribute.into())
            }
            (None, _) => return Err(AccessFormatError::Unknown(name.to_owned())),
        };
        Ok(Self {
            name: name.into(),
            source,
        })
    }

    /// The names of all variables but those of fields and attributes.
    pub(crate) fn names() -> impl Iterator<Item = &'static str> {
        let facts = FACTS.iter().map(|(name, _)| *name);
        facts.chain(ALIASES.iter().map(|(name, _)| *name))
    }
}

/// Reads a template: text with `${name}` in it. `$${` is a literal `${`.
///
/// # Errors
///
/// The first thing wrong with it.
pub(crate) fn parse_template(text: &str) -> Result<Vec<AccessPart>, AccessFormatError> {
    if text
        .chars()
        .any(|letter| letter.is_control() && letter != '\t')
    {
        return Err(AccessFormatError::Control);
    }
    let mut parts = Vec::new();
    let mut literal = String::new();
    let mut rest = text;
    while let Some((before, after)) = rest.split_once("${") {
        if let Some(before) = before.strip_suffix('$') {
            literal.push_str(before);
            literal.push_str("${");
            rest = after;
            continue;
        }
        literal.push_str(before);
        let (name, after) = after.split_once('}').ok_or(AccessFormatError::Open)?;
        if !literal.is_empty() {
            let text = std::mem::take(&mut literal);
            parts.push(AccessPart::Text(text.into()));
        }
        parts.push(AccessPart::Variable(AccessVariable::parse(name)?));
        rest = after;
    }
    literal.push_str(rest);
    if !literal.is_empty() {
        parts.push(AccessPart::Text(literal.into()));
    }
    Ok(parts)
}

impl AccessFormat {
    /// Whether values of this name are masked.
    #[must_use]
    pub(crate) fn is_masked(&self, name: &str) -> bool {
        let name = name.to_ascii_lowercase();
        SECRET_NAMES.binary_search(&&*name).is_ok() || self.masked.contains(&name)
    }

    /// A query without its `?`, with the values of secrets masked. A name may be percent-encoded.
    #[must_use]
    pub(crate) fn mask_query(&self, query: &str) -> String {
        let mut out = String::with_capacity(query.len());
        for (index, pair) in query.split('&').enumerate() {
            if index > 0 {
                out.push('&');
            }
            match pair.split_once('=') {
                Some((name, _))
                    if self.is_masked(&percent_decode_str(name).decode_utf8_lossy()) =>
                {
                    out.push_str(name);
                    out.push('=');
                    out.push_str(MASK);
                }
                _ => out.push_str(pair),
            }
        }
        out
    }

    /// A URL with the values of secrets in its query masked, and without its fragment: a token of OAuth's
    /// implicit grant is there.
    #[must_use]
    pub(crate) fn mask_url(&self, url: &str) -> String {
        let url = url.split_once('#').map_or(url, |(url, _)| url);
        match url.split_once('?') {
            Some((path, query)) => format!("{path}?{}", self.mask_query(query)),
            None => url.to_owned(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_template_is_text_and_variables() {
        let parts = parse_template("${client} $${x} \"${header.x-forwarded-host}\" $1").unwrap();
        let variable = |name: &str| AccessPart::Variable(AccessVariable::parse(name).unwrap());
        let expected = [
            variable("client"),
            AccessPart::Text(" ${x} \"".into()),
            variable("header.x-forwarded-host"),
            AccessPart::Text("\" $1".into()),
        ];
        assert_eq!(parts, expected);
    }

    #[test]
    fn a_template_with_an_error_is_refused() {
        let unknown = |name: &str| Err(AccessFormatError::Unknown(name.to_owned()));
        for (text, error) in [
            ("${clint}", unknown("clint")),
            ("${}", unknown("")),
            ("${header.}", unknown("header.")),
            ("${header.a b}", unknown("header.a b")),
            ("${attribute.}", unknown("attribute.")),
            ("a ${client", Err(AccessFormatError::Open)),
            ("a\n${client}", Err(AccessFormatError::Control)),
        ] {
            assert_eq!(parse_template(text), error, "{text}");
        }
    }

    #[test]
    fn secrets_of_a_query_are_masked_however_their_names_are_written() {
        let format = AccessFormat {
            masked: BTreeSet::from(["session".to_owned()]),
            ..AccessFormat::default()
        };
        for (query, masked) in [
            ("a=1&token=x&b=2", "a=1&token=***&b=2"),
            ("TOKEN=x", "TOKEN=***"),
            ("%74oken=x", "%74oken=***"),
            ("session=1&sessions=2", "session=***&sessions=2"),
            ("token", "token"),
            ("token==x=y&", "token=***&"),
            ("", ""),
        ] {
            assert_eq!(format.mask_query(query), masked);
        }
        let url = "https://a.example/b?code=1&c=2#access_token=3";
        assert_eq!(format.mask_url(url), "https://a.example/b?code=***&c=2");
    }

    #[test]
    fn the_names_of_secrets_are_sorted() {
        assert!(SECRET_NAMES.is_sorted());
    }
}
