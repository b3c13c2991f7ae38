//! Builds the request to a target from a filter's call. Pure.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use http::header::{AUTHORIZATION, CONTENT_TYPE};
use http::uri::PathAndQuery;
use http::{HeaderMap, HeaderName, HeaderValue, Method, Request, Uri};
use http_body_util::Full;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};
use zeroize::Zeroizing;

use crate::config::{BasicForm, Callout};
use crate::filter_store::crypto::digest_of_parts;
use crate::filter_store::secrets::SecretValue;

/// The most fields of a request: as many as a listener accepts from a client, since a filter may
/// pass them on, and some of its own.
const MAX_FIELDS: usize = 1024;
/// The largest path and fields together: twice what a listener accepts from a client by default,
/// since a filter may send a request's target in several fields. Bytes.
const MAX_HEAD: usize = 64 * 1024;
const FORM: &str = "application/x-www-form-urlencoded";

/// Characters that are escaped in a form: all but the unreserved ones of RFC 3986, section 2.3.
const ESCAPED: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'.')
    .remove(b'_')
    .remove(b'~');

/// Identifies a request, including its target and its credential.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct RequestDigest([u8; 32]);

/// Why a request cannot be sent. The texts are for the author of the filter.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum CalloutRequestError {
    #[error("the method cannot be sent")]
    Method,
    #[error("the path must be empty, or begin with `/` or `?`, without a segment `.` or `..`")]
    Path,
    #[error("a field has an invalid name or value, or is one that only the gateway sets")]
    Field,
    /// Path and fields together are too large.
    #[error("path and fields are larger than 64 KiB, or more than 1,024")]
    Head,
    #[error("the body is larger than the target's `max_request`")]
    Body,
    /// The user of a credential is invalid.
    #[error("the user of a basic credential is empty, or has a `:` or a control character")]
    User,
    /// The secret of a credential is invalid.
    #[error("the secret has characters that the credential cannot have")]
    Secret,
    /// The body is not a form, so no field can be added.
    #[error("a credential in a form needs a body of `application/x-www-form-urlencoded`")]
    Form,
}

/// A secret to add to a request.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Credential<'a> {
    /// A bearer token.
    Bearer(&'a SecretValue),
    /// The password of this user.
    Basic(&'a str, &'a SecretValue),
    /// A form field of this name.
    FormField(&'a str, &'a SecretValue),
}

/// A request that is ready to be sent.
#[derive(Debug)]
pub(crate) struct CalloutRequest(Request<Full<Bytes>>);

impl RequestDigest {
    /// The digest of all parts, each separated from the next by its length.
    #[must_use]
    pub(crate) fn of<'p>(parts: impl IntoIterator<Item = &'p [u8]>) -> Self {
        Self(digest_of_parts(parts))
    }
}

impl CalloutRequest {
    /// Builds a request from a filter's call and a credential. `fields` has none that frames the
    /// message or belongs to its connection.
    ///
    /// # Errors
    ///
    /// The request cannot be sent.
    pub(crate) fn new<'f>(
        target: &Callout,
        method: &str,
        path: &str,
        fields: impl IntoIterator<Item = (&'f str, &'f [u8])>,
        body: Vec<u8>,
        credential: Option<Credential<'_>>,
    ) -> Result<Self, CalloutRequestError> {
        let method =
            Method::from_bytes(method.as_bytes()).map_err(|_| CalloutRequestError::Method)?;
        if method == Method::CONNECT || method == Method::TRACE {
            return Err(CalloutRequestError::Method);
        }
        if body.len() as u64 > target.max_request {
            return Err(CalloutRequestError::Body);
        }
        let uri = join_url(&target.url, path)?;
        let mut headers = HeaderMap::new();
        let mut size = path.len();
        for (name, value) in fields {
            size += name.len() + value.len();
            if headers.len() >= MAX_FIELDS || size > MAX_HEAD {
                return Err(CalloutRequestError::Head);
            }
            let name =
                HeaderName::from_bytes(name.as_bytes()).map_err(|_| CalloutRequestError::Field)?;
            let value = HeaderValue::from_bytes(value).map_err(|_| CalloutRequestError::Field)?;
            headers.append(name, value);
        }
        let mut body = Zeroizing::new(body);
        if let Some(credential) = credential {
            credential.add(target.basic == BasicForm::Form, &mut headers, &mut body)?;
        }
        let mut request = Request::new(Full::new(std::mem::take(&mut *body).into()));
        *request.method_mut() = method;
        *request.uri_mut() = uri;
        *request.headers_mut() = headers;
        Ok(Self(request))
    }

    pub(super) fn into_http(self) -> Request<Full<Bytes>> {
        self.0
    }
}

impl Credential<'_> {
    fn add(
        self,
        form_basic: bool,
        headers: &mut HeaderMap,
        body: &mut Vec<u8>,
    ) -> Result<(), CalloutRequestError> {
        let text = |secret: &SecretValue| secret.login().ok_or(CalloutRequestError::Secret);
        // A space is `%20`, which means the same as `+` in a form, also to servers that only undo
        // escapes.
        let escape = |text| utf8_percent_encode(text, ESCAPED);
        match self {
            Self::Bearer(secret) => authorize(headers, "Bearer ", &text(secret)?),
            Self::Basic(user, secret) if form_basic && !user.is_empty() => {
                let secret = text(secret)?;
                let pair = Zeroizing::new(format!("{}:{}", escape(user), escape(&secret)));
                authorize(headers, "Basic ", &Zeroizing::new(STANDARD.encode(&*pair)))
            }
            Self::Basic(user, secret) => {
                if user.is_empty() || user.contains(|c: char| c == ':' || c.is_control()) {
                    return Err(CalloutRequestError::User);
                }
                let pair = Zeroizing::new(format!("{user}:{}", &*text(secret)?));
                authorize(headers, "Basic ", &Zeroizing::new(STANDARD.encode(&*pair)))
            }
            Self::FormField(name, secret) => {
                let kind = headers.get(CONTENT_TYPE);
                let kind = kind.map(|kind| kind.to_str().unwrap_or_default());
                let kind = kind.map(|kind| kind.split(';').next().unwrap_or_default().trim());
                match kind {
                    None if body.is_empty() => {
                        headers.insert(CONTENT_TYPE, HeaderValue::from_static(FORM));
                    }
                    Some(kind) if kind.eq_ignore_ascii_case(FORM) => {}
                    Some(_) | None => return Err(CalloutRequestError::Form),
                }
                let secret = text(secret)?;
                let field = Zeroizing::new(format!("{}={}", escape(name), escape(&secret)));
                if !body.is_empty() {
                    body.push(b'&');
                }
                body.extend_from_slice(field.as_bytes());
                Ok(())
            }
        }
    }
}

fn authorize(headers: &mut HeaderMap, scheme: &str, text: &str) -> Result<(), CalloutRequestError> {
    let value = HeaderValue::try_from(format!("{scheme}{text}"));
    let mut value = value.map_err(|_| CalloutRequestError::Secret)?;
    value.set_sensitive(true);
    headers.insert(AUTHORIZATION, value);
    Ok(())
}

/// Appends a request's path and query to the target's URL.
fn join_url(url: &Uri, added: &str) -> Result<Uri, CalloutRequestError> {
    let refused = |_| CalloutRequestError::Path;
    let base = url.path_and_query().map_or("/", PathAndQuery::as_str);
    let whole = match added.as_bytes().first() {
        None => base.to_owned(),
        Some(b'?') if !base.contains('?') => format!("{base}{added}"),
        // The URL has a query already.
        Some(b'?') => format!("{base}&{}", added.get(1..).unwrap_or_default()),
        Some(b'/') if !base.contains('?') && !may_escape_base(added) => {
            format!("{}{added}", base.strip_suffix('/').unwrap_or(base))
        }
        Some(_) => return Err(CalloutRequestError::Path),
    };
    let mut parts = url.clone().into_parts();
    parts.path_and_query = Some(PathAndQuery::try_from(whole).map_err(refused)?);
    Uri::from_parts(parts).map_err(|_| CalloutRequestError::Path)
}

/// Whether a path has a segment that a server may resolve to its parent, or a character that some
/// servers take for `/`.
fn may_escape_base(path: &str) -> bool {
    let path = path.split(['?', '#']).next().unwrap_or_default();
    path.split('/').any(|segment| {
        let plain = percent_decode_str(segment).decode_utf8_lossy();
        let mut names = plain.split(['/', '\\']);
        names.any(|name| matches!(name.split(';').next(), Some("." | "..")))
    })
}
