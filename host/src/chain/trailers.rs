//! The trailers of a request, after its filters decided on the head.
//!
//! Some servers merge the trailers into the head (RFC 9110 section 6.5.1). So Windlass removes every
//! trailer that a filter of the chain reads, sets or removes as a field, that a filter edited in the
//! head, or that is a look-alike of one. Fields that no request may have in its trailers are removed in
//! [`crate::http::headers::clean_trailers`].

use std::pin::Pin;
use std::rc::Rc;
use std::sync::Arc;
use std::task::{Context, Poll};

use bytes::Bytes;
use http::{HeaderMap, HeaderName, Version};
use http_body::{Body as HttpBody, Frame, SizeHint};

use super::{Chain, Passage};
use crate::http::body::Body;
use crate::http::body_error::BodyError;
use crate::http::field_spelling;
use crate::wasm::Filter;

/// The fields that these filters read, set or remove, by their advice in `configure`.
pub(super) fn head_fields<'a>(filters: impl Iterator<Item = &'a Arc<Filter>>) -> Box<[HeaderName]> {
    let mut fields: Vec<HeaderName> = filters
        .map(|filter| &filter.facts().advice)
        .flat_map(|advice| {
            advice
                .read_fields
                .iter()
                .chain(&advice.trusted_fields)
                .chain(&advice.removed_fields)
        })
        .filter_map(|name| HeaderName::try_from(&**name).ok())
        .collect();
    fields.sort_unstable_by(|one, other| one.as_str().cmp(other.as_str()));
    fields.dedup();
    fields.into()
}

impl Passage {
    /// Before the first filter: keep the names of the fields that filters edit, if trailers may come.
    pub(super) fn expect_trailers(&self, body: &Body) {
        if !matches!(body, Body::Client(_)) || body.is_end_stream() {
            return;
        }
        let is_chunked = body.size_hint().exact().is_none();
        self.exchange.with(|exchange| {
            if is_chunked || exchange.request.version == Version::HTTP_2 {
                exchange.account.get_or_insert_default().edited = Some(Vec::new());
            }
        });
    }

    /// After the last filter: the body without the trailers that it must not have.
    pub(crate) fn guard_trailers(&self, body: Body) -> Body {
        let edited = self
            .exchange
            .with(|exchange| exchange.account.as_mut()?.edited.take());
        let Some(edited) = edited else { return body };
        if edited.is_empty() && self.chain.head_fields.is_empty() {
            return body;
        }
        match body {
            // The body is complete, and has no trailers.
            whole @ (Body::Empty | Body::Full(_)) => whole,
            source => Body::Stream(Box::new(Guarded {
                source,
                chain: Rc::clone(&self.chain),
                edited,
            })),
        }
    }
}

/// A body whose trailers hold no field of the head that its filters decided on.
struct Guarded {
    source: Body,
    chain: Rc<Chain>,
    edited: Vec<HeaderName>,
}

impl Guarded {
    fn clean(&self, trailers: &mut HeaderMap) {
        let of_head = |name: &HeaderName| {
            let mut fields = self.chain.head_fields.iter().chain(&self.edited);
            fields.any(|field| {
                field == name || field_spelling::are_look_alikes(field.as_str(), name.as_str())
            })
        };
        let unwanted: Vec<HeaderName> = trailers
            .keys()
            .filter(|name| of_head(name))
            .cloned()
            .collect();
        for name in unwanted {
            trailers.remove(name);
        }
    }
}

impl HttpBody for Guarded {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let mut polled = Pin::new(&mut self.source).poll_frame(cx);
        if let Poll::Ready(Some(Ok(frame))) = &mut polled
            && let Some(trailers) = frame.trailers_mut()
        {
            self.clean(trailers);
        }
        polled
    }

    fn is_end_stream(&self) -> bool {
        self.source.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.source.size_hint()
    }
}
