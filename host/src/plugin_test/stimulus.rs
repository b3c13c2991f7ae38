//! What stands in for the client and the endpoint: a request and a response, from the tables of a case.

use std::collections::VecDeque;
use std::net::IpAddr;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use http::header::HOST;
use http::uri::{PathAndQuery, Scheme};
use http::{HeaderMap, HeaderValue, Method, StatusCode};
use http_body::{Body as HttpBody, Frame, SizeHint};
use serde_json::Value as Json;

use crate::config::{CaseFields, PluginCase};
use crate::exchange::AttributeValue;
use crate::http::body::Body;
use crate::http::body_error::{BodyError, FramePoll};

/// A request, and the response of the endpoint to it.
#[derive(Debug, Clone)]
pub(super) struct Stimulus {
    pub(super) method: Method,
    pub(super) target: PathAndQuery,
    pub(super) headers: HeaderMap,
    pub(super) body: TestBody,
    pub(super) client: IpAddr,
    pub(super) scheme: Scheme,
    /// The pattern of the route.
    pub(super) route: String,
    /// The attributes that filters before this one have set.
    pub(super) attributes: Vec<(String, AttributeValue)>,
    pub(super) status: StatusCode,
    pub(super) response_headers: HeaderMap,
    pub(super) response_body: TestBody,
}

impl Stimulus {
    /// That of a case.
    pub(super) fn of(case: &PluginCase) -> Self {
        let (request, response) = (&case.request, &case.response);
        let CaseFields(mut headers) = request.headers.clone();
        if let Ok(host) = HeaderValue::try_from(&*request.host) {
            headers.entry(HOST).or_insert(host);
        }
        Self {
            method: request.method.clone(),
            target: PathAndQuery::try_from(&*request.path)
                .unwrap_or_else(|_| PathAndQuery::from_static("/")),
            headers,
            body: TestBody {
                pieces: request.pieces(),
                trailers: request.trailers.0.clone(),
                cut: request.cut,
            },
            client: request.client,
            scheme: match request.tls {
                true => Scheme::HTTPS,
                false => Scheme::HTTP,
            },
            route: case.route.clone(),
            attributes: attributes(&case.attributes.json),
            status: response.status,
            response_headers: response.headers.0.clone(),
            response_body: TestBody {
                pieces: response.pieces(),
                trailers: response.trailers.0.clone(),
                cut: response.cut,
            },
        }
    }
}

impl Default for Stimulus {
    /// A plain `GET`, and an empty 200.
    fn default() -> Self {
        Self {
            method: Method::GET,
            target: PathAndQuery::from_static("/"),
            headers: HeaderMap::from_iter([(HOST, HeaderValue::from_static("api.example"))]),
            body: TestBody::default(),
            client: IpAddr::from([192, 0, 2, 1]),
            scheme: Scheme::HTTPS,
            route: "$default".to_owned(),
            attributes: Vec::new(),
            status: StatusCode::OK,
            response_headers: HeaderMap::new(),
            response_body: TestBody::default(),
        }
    }
}

/// The attributes of a table: `{ a = { b = 1 } }` is the attribute `a.b`.
pub(super) fn attributes(table: &Json) -> Vec<(String, AttributeValue)> {
    let mut list = Vec::new();
    flatten(table, "", &mut list);
    list
}

fn flatten(value: &Json, name: &str, list: &mut Vec<(String, AttributeValue)>) {
    let value = match value {
        Json::Object(members) => {
            for (key, value) in members {
                let name = match name {
                    "" => key.clone(),
                    name => format!("{name}.{key}"),
                };
                flatten(value, &name, list);
            }
            return;
        }
        Json::String(text) => AttributeValue::Text(text.clone()),
        Json::Bool(flag) => AttributeValue::Flag(*flag),
        Json::Number(number) if number.is_i64() => {
            AttributeValue::Number(number.as_i64().unwrap_or_default())
        }
        other => AttributeValue::Text(other.to_string()),
    };
    list.push((name.to_owned(), value));
}

/// A body that arrives in pieces.
#[derive(Debug, Clone, Default)]
pub(super) struct TestBody {
    pub(super) pieces: Vec<Bytes>,
    pub(super) trailers: HeaderMap,
    /// Whether it breaks off after the pieces.
    pub(super) cut: bool,
}

impl TestBody {
    /// A body of these pieces.
    pub(super) fn of(pieces: Vec<Bytes>) -> Self {
        Self {
            pieces,
            ..Self::default()
        }
    }

    /// As the chain gets it. `first` runs when somebody first reads from it; a body that breaks off ends with
    /// this error.
    pub(super) fn stream(&self, error: BodyError, first: impl FnOnce() + 'static) -> Body {
        if self.pieces.is_empty() && self.trailers.is_empty() && !self.cut {
            return Body::Empty;
        }
        let length = self.pieces.iter().map(|piece| piece.len() as u64).sum();
        Body::Stream(Box::new(PieceStream {
            pieces: self.pieces.iter().cloned().collect(),
            trailers: Some(self.trailers.clone()).filter(|trailers| !trailers.is_empty()),
            error: self.cut.then_some(error),
            first: Some(Box::new(first)),
            length: (!self.cut && self.trailers.is_empty()).then_some(length),
        }))
    }
}

/// A body in pieces.
struct PieceStream {
    pieces: VecDeque<Bytes>,
    trailers: Option<HeaderMap>,
    error: Option<BodyError>,
    first: Option<Box<dyn FnOnce()>>,
    /// How much is left, if its length is told.
    length: Option<u64>,
}

impl HttpBody for PieceStream {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> FramePoll {
        if let Some(first) = self.first.take() {
            first();
        }
        if let Some(piece) = self.pieces.pop_front() {
            let rest = self.length.map(|length| length - piece.len() as u64);
            self.length = rest;
            return Poll::Ready(Some(Ok(Frame::data(piece))));
        }
        if let Some(error) = self.error.take() {
            return Poll::Ready(Some(Err(error)));
        }
        let trailers = self.trailers.take();
        Poll::Ready(trailers.map(|trailers| Ok(Frame::trailers(trailers))))
    }

    fn is_end_stream(&self) -> bool {
        self.pieces.is_empty() && self.trailers.is_none() && self.error.is_none()
    }

    fn size_hint(&self) -> SizeHint {
        self.length
            .map_or_else(SizeHint::default, SizeHint::with_exact)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tables_are_attributes_with_dots() {
        let table = serde_json::json!({ "consumer": { "id": "a", "level": 3 }, "x": true });
        let found = attributes(&table);
        let expected = [
            ("consumer.id", AttributeValue::Text("a".to_owned())),
            ("consumer.level", AttributeValue::Number(3)),
            ("x", AttributeValue::Flag(true)),
        ];
        assert_eq!(
            found,
            expected.map(|(name, value)| (name.to_owned(), value))
        );
    }
}
