//! Reads a request's body: checks its type, its limit and its deadline, and parses it.

use std::sync::Arc;
use std::time::Duration;

use axum::Json;
use axum::body::Body;
use axum::extract::Request;
use axum::extract::rejection::JsonRejection;
use axum::http::{StatusCode, header};
use bytes::{Bytes, BytesMut};
use http_body_util::BodyExt as _;
use serde::de::DeserializeOwned;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::timeout;

use super::{PERMIT_TIMEOUT, acquire};
use crate::admin::problem::ApiProblem;
use crate::control::service::InvalidField;
use crate::keys::masked;
use crate::model::json::Strict;

/// The largest body, except for imports. Bytes.
pub(crate) const MAX_BODY: usize = 64 * 1024;

const READ_TIMEOUT: Duration = Duration::from_secs(10);

const IMPORT_READ_TIMEOUT: Duration = Duration::from_secs(300);

/// Longest wait for the next bytes of a body.
const IDLE_TIMEOUT: Duration = Duration::from_secs(10);

/// The unit in which large bodies reserve memory. Bytes.
const SPACE_UNIT: usize = 64 * 1024;

/// How many large bodies of the full size fit into memory at once.
const LARGE_BODIES: usize = 4;

/// The memory that all large bodies share.
pub(crate) fn body_space(limit: usize) -> Arc<Semaphore> {
    let units = limit.div_ceil(SPACE_UNIT).saturating_mul(LARGE_BODIES);
    Arc::new(Semaphore::new(units.min(Semaphore::MAX_PERMITS)))
}

/// Reads a small body of this type; None if there is no body.
pub(crate) async fn bytes(request: Request, kind: &str) -> Result<Option<Bytes>, ApiProblem> {
    let is = is_kind(&request, kind);
    let bytes = read(request.into_body(), MAX_BODY, READ_TIMEOUT, None).await?;
    let bytes = bytes.0;
    if bytes.is_empty() {
        return Ok(None);
    }
    is.map(|()| Some(bytes))
}

/// Reads a large body of this type. Returns its bytes with the permit for the memory that they
/// use.
pub(crate) async fn large(
    request: Request,
    kind: &str,
    limit: usize,
    space: &Arc<Semaphore>,
) -> Result<(Bytes, Option<OwnedSemaphorePermit>), ApiProblem> {
    is_kind(&request, kind)?;
    read(request.into_body(), limit, IMPORT_READ_TIMEOUT, Some(space)).await
}

/// Reads a JSON body.
pub(crate) async fn json<T: DeserializeOwned>(request: Request) -> Result<(T, Bytes), ApiProblem> {
    let Some(bytes) = bytes(request, "application/json").await? else {
        return Err(ApiProblem::invalid("the body is empty; send a JSON object"));
    };
    Ok((parse(&bytes)?, bytes))
}

/// Like `json`, and a body may be absent.
pub(crate) async fn optional<T: DeserializeOwned + Default>(
    request: Request,
) -> Result<T, ApiProblem> {
    match bytes(request, "application/json").await? {
        Some(bytes) => parse(&bytes),
        None => Ok(T::default()),
    }
}

/// Parses JSON. An error names the member; it repeats no value, and no name that may be a key.
fn parse<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, ApiProblem> {
    let json = Json::<Strict<T>>::from_bytes(bytes);
    json.map(|Json(Strict(value))| value).map_err(|refused| {
        let text = refused.body_text();
        let (_, fault) = text.split_once(": ").unwrap_or(("", &text));
        let (path, message) = match fault.split_once(": ") {
            Some((path, message)) => (
                Some(member_path(path)),
                masked(&without_values(message)).into_owned(),
            ),
            None => (None, masked(fault).into_owned()),
        };
        let part = match refused {
            JsonRejection::JsonDataError(_) => invalid_member(path.as_deref(), &message),
            _ => None,
        };
        let fault = match path {
            Some(path) => format!("{path}: {message}"),
            None => message,
        };
        let mut problem =
            ApiProblem::invalid(format!("the body does not fit its description: {fault}"));
        problem.errors.extend(part);
        problem
    })
}

/// The error of a member. None if it is about the whole body.
fn invalid_member(path: Option<&str>, message: &str) -> Option<InvalidField> {
    let (message, _) = message.rsplit_once(" at line ").unwrap_or((message, ""));
    let named = |words: &str| {
        let (name, _) = message.strip_prefix(words)?.split_once('`')?;
        Some(name.to_owned())
    };
    if let Some(name) = named("missing field `") {
        let field = match path {
            Some(path) => format!("{path}.{name}"),
            None => name,
        };
        return Some(InvalidField::new(field, "is missing"));
    }
    // An error of the whole body begins with its kind where a member's path would be.
    let path = path.filter(|path| !path.starts_with("invalid "));
    let field = path
        .map(str::to_owned)
        .or_else(|| named("unknown field `"))?;
    Some(InvalidField::new(field, message))
}

/// Members with members of their own: a path that begins with one may be long without being a key.
const NESTED: [&str; 4] = ["metadata", "methods", "quota", "rate"];

/// A path of member names, some of which the client chose.
fn member_path(path: &str) -> String {
    if let Some((head, rest)) = path.split_once('.')
        && let Some(name) = head.split('[').next()
        && NESTED.contains(&name)
    {
        return format!("{}.{}", masked(head), masked(rest));
    }
    masked(path).into_owned()
}

/// Removes the strings and numbers that serde quotes from the client's input.
fn without_values(text: &str) -> String {
    if let Some((before, rest)) = text.split_once("string \"") {
        let after = rest.rsplit_once('"').map_or("", |(_, after)| after);
        return format!("{before}a string{after}");
    }
    for kind in ["integer", "floating point", "character"] {
        if let Some((before, rest)) = text.split_once(&*format!("{kind} `")) {
            let after = rest.split_once('`').map_or("", |(_, after)| after);
            return format!("{before}{kind}{after}");
        }
    }
    text.to_owned()
}

/// The longest line of a body that is read by lines. Bytes.
const MAX_LINE: usize = 256 * 1024;

/// A body that is read by lines and may have any length: each line has a limit, and so has the
/// wait for the next bytes.
#[derive(Debug)]
pub(crate) struct BodyLines {
    body: Body,
    buffer: BytesMut,
    /// The buffer holds no end of a line up to here.
    scanned: usize,
    ended: bool,
}

impl BodyLines {
    /// The lines of a request with a body of this type.
    pub(crate) fn of(request: Request, kind: &str) -> Result<Self, ApiProblem> {
        is_kind(&request, kind)?;
        Ok(Self {
            body: request.into_body(),
            buffer: BytesMut::new(),
            scanned: 0,
            ended: false,
        })
    }

    /// The next line, without its end; None after the last.
    pub(crate) async fn next(&mut self) -> Result<Option<Bytes>, ApiProblem> {
        loop {
            let rest = self.buffer.get(self.scanned..).unwrap_or_default();
            if let Some(end) = memchr::memchr(b'\n', rest) {
                let mut line = self.buffer.split_to(self.scanned + end + 1);
                self.scanned = 0;
                line.truncate(line.len() - 1);
                return Ok(Some(line.freeze()));
            }
            self.scanned = self.buffer.len();
            if self.scanned > MAX_LINE {
                let detail = format!("a line has more than {MAX_LINE} bytes");
                let status = StatusCode::PAYLOAD_TOO_LARGE;
                return Err(ApiProblem::new(status, "body_too_large", detail));
            }
            if self.ended {
                let last = std::mem::take(&mut self.buffer);
                self.scanned = 0;
                return Ok((!last.is_empty()).then(|| last.freeze()));
            }
            match next_chunk(&mut self.body).await? {
                None => self.ended = true,
                Some(chunk) => self.buffer.extend_from_slice(&chunk),
            }
        }
    }
}

fn timed_out(_: tokio::time::error::Elapsed) -> ApiProblem {
    let detail = "the body did not arrive in time";
    ApiProblem::new(StatusCode::REQUEST_TIMEOUT, "request_timeout", detail)
}

fn is_kind(request: &Request, kind: &str) -> Result<(), ApiProblem> {
    let value = request.headers().get(header::CONTENT_TYPE);
    let value = value.and_then(|value| value.to_str().ok()).unwrap_or("");
    let essence = value.split(';').next().unwrap_or("").trim();
    if essence.eq_ignore_ascii_case(kind) {
        return Ok(());
    }
    let detail = format!("send `content-type: {kind}`");
    let status = StatusCode::UNSUPPORTED_MEDIA_TYPE;
    Err(ApiProblem::new(status, "unsupported_media_type", detail))
}

/// The next bytes of a body; None at its end.
async fn next_chunk(body: &mut Body) -> Result<Option<Bytes>, ApiProblem> {
    loop {
        let frame = timeout(IDLE_TIMEOUT, body.frame()).await;
        match frame.map_err(timed_out)? {
            None => return Ok(None),
            Some(Err(_)) => return Err(ApiProblem::invalid("the body ended before its end")),
            Some(Ok(frame)) => {
                if let Ok(chunk) = frame.into_data() {
                    return Ok(Some(chunk));
                }
            }
        }
    }
}

/// Reads a body and reserves memory as it arrives: a stalled client occupies only as much as it
/// has sent.
async fn read(
    mut body: Body,
    limit: usize,
    time: Duration,
    space: Option<&Arc<Semaphore>>,
) -> Result<(Bytes, Option<OwnedSemaphorePermit>), ApiProblem> {
    let too_large = || {
        let detail = format!("the body has more than {limit} bytes");
        ApiProblem::new(StatusCode::PAYLOAD_TOO_LARGE, "body_too_large", detail)
    };
    let whole = async {
        let mut whole = BytesMut::new();
        let mut permit: Option<OwnedSemaphorePermit> = None;
        while let Some(chunk) = next_chunk(&mut body).await? {
            if whole.len() + chunk.len() > limit {
                return Err(too_large());
            }
            if let Some(space) = space {
                let has = permit.as_ref().map_or(0, OwnedSemaphorePermit::num_permits);
                let units = (whole.len() + chunk.len()).div_ceil(SPACE_UNIT);
                let more = acquire(space, units.saturating_sub(has), PERMIT_TIMEOUT).await?;
                match &mut permit {
                    Some(permit) => permit.merge(more),
                    None => permit = Some(more),
                }
            }
            whole.extend_from_slice(&chunk);
        }
        Ok((whole.freeze(), permit))
    };
    timeout(time, whole).await.map_err(timed_out)?
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::admin::api::shape::KeyCreate;

    #[test]
    fn an_unknown_member_is_refused_with_its_position() {
        let fault = |text: &str| parse::<KeyCreate>(text.as_bytes()).unwrap_err().detail;
        let detail = fault("{\"consumer\": \"a\",\n \"consumr\": \"b\"}");
        assert!(
            detail.contains("`consumr`") && detail.contains("line 2"),
            "{detail}"
        );
        let detail = fault("[\"name\", \"consumer\"]");
        assert!(detail.contains("an object"), "{detail}");
        let detail = fault("{\"consumer\": \"a\", \"plans\": [\"x\", 7]}");
        assert!(detail.contains("plans[1]"), "{detail}");
    }

    #[test]
    fn a_fault_of_a_member_names_it() {
        use crate::admin::api::shape::PlanCreate;
        use crate::upstream::registry::EndpointChange;

        let part = |problem: ApiProblem| {
            let first = problem.errors.into_iter().next();
            first.map(|part| (part.field, part.message))
        };
        let plan = |text: &str| part(parse::<PlanCreate>(text.as_bytes()).unwrap_err());
        for (text, field, message) in [
            ("{\"name\":\"a\",\"rate\":5}", "rate", "expected an object"),
            ("{\"name\":\"a\",\"rat\":5}", "rat", "unknown field `rat`"),
            (
                "{\"name\":\"a\",\"rate\":{\"burst\":5}}",
                "rate.per_second",
                "is missing",
            ),
            (
                "{\"rate\":{\"per_second\":5,\"burst\":5}}",
                "name",
                "is missing",
            ),
            (
                "{\"name\":\"a\",\"apis\":[\"x\",7]}",
                "apis[1]",
                "expected a string",
            ),
        ] {
            let (is, detail) = plan(text).unwrap();
            assert_eq!(is, field, "{text}: {detail}");
            assert!(
                detail.contains(message) && !detail.contains("line"),
                "{text}: {detail}"
            );
        }
        // These errors belong to no single member.
        for text in ["[]", "5", "{\"name\":"] {
            assert_eq!(plan(text), None, "{text}");
        }
        let weight = parse::<EndpointChange>(b"{\"weight\":-1}").map(|_| ());
        let (field, message) = part(weight.unwrap_err()).unwrap();
        assert_eq!(field, "weight");
        assert!(
            message.ends_with("a whole number from 0 to 1000"),
            "{message}"
        );
    }

    #[test]
    fn nothing_that_may_be_a_key_is_repeated_wherever_it_is() {
        const KEY: &str = "12345678901234567890.123";
        let fault = |text: &str| {
            let text = text.replace("KEY", KEY);
            parse::<KeyCreate>(text.as_bytes()).unwrap_err().detail
        };
        for text in [
            "{\"consumer\": \"a\", \"enabled\": \"wl_secret\\\"quoted\"}",
            "{\"consumer\": \"a\", \"enabled\": \"KEY\"}",
            "{\"consumer\": 1234567890123456789}",
            "{\"consumer\": 12345678901234567.25}",
            "{\"consumer\": KEY}",
            "{\"consumer\": \"a\", \"KEY\": 1}",
            "{\"consumer\": \"a\", \"metadata\": {\"KEY\": 1}}",
            "{\"consumer\": \"a\", \"a KEY: b\": 1}",
        ] {
            let detail = fault(text);
            for part in ["secret", "quoted", "5678"] {
                assert!(!detail.contains(part), "{text}: {detail}");
            }
        }
        let detail = fault("{\"consumer\": \"a\", \"enabled\": \"KEY\"}");
        assert!(
            detail.contains("enabled: invalid type: a string"),
            "{detail}"
        );
        let text = "{\"name\": \"a\", \"methods\": [{\"per_second\": \"x\"}]}";
        let detail = parse::<crate::admin::api::shape::PlanCreate>(text.as_bytes());
        let detail = detail.unwrap_err().detail;
        assert!(detail.contains("methods[0].per_second"), "{detail}");
    }
}
