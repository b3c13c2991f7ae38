//! The values of the access log's variables, and lines that are made of them.
//!
//! A line of a template is one line, whatever a client sent: control characters, quotes and backslashes in
//! values are escaped.

use std::borrow::Cow;
use std::io::Write as _;
use std::time::SystemTime;

use serde::ser::SerializeMap as _;
use serde::{Serialize, Serializer};

use super::{AccessLogLine, AttributeValue, Exchange};
use crate::model::access_format::{
    AccessFact, AccessFormat, AccessLayout, AccessPart, AccessSource, AccessVariable, MASK,
};

/// An exchange that has ended, for the access log.
#[derive(Debug, Clone, Copy)]
pub(crate) struct AccessEntry<'a> {
    pub(crate) exchange: &'a Exchange,
    pub(crate) format: &'a AccessFormat,
    /// The protocol of the client's connection: `HTTP/1.1`.
    pub(crate) protocol: &'static str,
}

/// The value of a variable.
enum AccessValue<'a> {
    Absent,
    Text(Cow<'a, str>),
    Number(u64),
    Seconds(f64),
    /// A value with a structure.
    Json(serde_json::Value),
}

impl Serialize for AccessValue<'_> {
    fn serialize<S: Serializer>(&self, out: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Absent => out.serialize_none(),
            Self::Text(text) => out.serialize_str(text),
            Self::Number(number) => out.serialize_u64(*number),
            Self::Seconds(seconds) => out.serialize_f64(*seconds),
            Self::Json(value) => value.serialize(out),
        }
    }
}

impl AccessEntry<'_> {
    /// Writes the line, without its end.
    ///
    /// # Errors
    ///
    /// A value cannot be written; a part of the line may have been.
    pub(crate) fn write(&self, out: &mut Vec<u8>) -> Result<(), serde_json::Error> {
        match &self.format.layout {
            AccessLayout::Json => serde_json::to_writer(out, &AccessLogLine::of(self.exchange)),
            AccessLayout::Fields(variables) => {
                let fields = ChosenFields {
                    entry: self,
                    variables,
                };
                serde_json::to_writer(out, &fields)
            }
            AccessLayout::Template(parts) => {
                for part in parts {
                    match part {
                        AccessPart::Text(text) => out.extend_from_slice(text.as_bytes()),
                        AccessPart::Variable(variable) => write_plain(&self.value(variable), out),
                    }
                }
                Ok(())
            }
        }
    }

    fn value(&self, variable: &AccessVariable) -> AccessValue<'_> {
        match &variable.source {
            AccessSource::Fact(fact) => self.fact(*fact).unwrap_or(AccessValue::Absent),
            AccessSource::Header(name) => {
                let value = self.exchange.request.headers.get(name);
                match value {
                    Some(_) if self.format.is_masked(name.as_str()) => text(MASK),
                    Some(value) => AccessValue::Text(String::from_utf8_lossy(value.as_bytes())),
                    None => AccessValue::Absent,
                }
            }
            AccessSource::Attribute(name) => match self.exchange.attributes.find(name) {
                Some(AttributeValue::Text(value)) => text(value),
                Some(AttributeValue::Number(number)) => AccessValue::Json((*number).into()),
                Some(AttributeValue::Flag(flag)) => AccessValue::Json((*flag).into()),
                Some(AttributeValue::Bytes(_)) => AccessValue::Absent,
                None => match self.exchange.host_fact(name) {
                    Some(AttributeValue::Text(value)) => AccessValue::Text(value.into()),
                    Some(AttributeValue::Number(number)) => AccessValue::Json(number.into()),
                    _ => AccessValue::Absent,
                },
            },
        }
    }

    fn fact(&self, fact: AccessFact) -> Option<AccessValue<'_>> {
        let exchange = self.exchange;
        let (outcome, route) = (&exchange.outcome, exchange.route.as_deref());
        let headers = &exchange.request.headers;
        let number = |number: u64| Some(AccessValue::Number(number));
        Some(match fact {
            AccessFact::Time => {
                let time = humantime::format_rfc3339_millis(SystemTime::now());
                AccessValue::Text(time.to_string().into())
            }
            AccessFact::Request => text(exchange.id.as_str()),
            AccessFact::Traceparent => text(exchange.trace.as_ref()?.to_str().ok()?),
            AccessFact::Client => AccessValue::Text(exchange.client.ip.to_string().into()),
            AccessFact::ClientPort => return number(exchange.client.port.into()),
            AccessFact::Method => text(exchange.request.method.as_str()),
            AccessFact::Host => text(headers.get(http::header::HOST)?.to_str().ok()?),
            AccessFact::Path => text(exchange.original_target.path()),
            AccessFact::Query => {
                let query = self.format.mask_query(exchange.original_target.query()?);
                AccessValue::Text(format!("?{query}").into())
            }
            AccessFact::Scheme => text(exchange.client.scheme.as_str()),
            AccessFact::Protocol => text(self.protocol),
            AccessFact::TlsVersion => text(exchange.client.tls.as_ref()?.version_name()),
            AccessFact::TlsCipher => text(exchange.client.tls.as_ref()?.cipher),
            AccessFact::Route => text(&route?.name),
            AccessFact::Api => text(route?.api.as_ref()?),
            AccessFact::Stage => text(route?.stage.as_ref()?),
            AccessFact::Status => {
                return number(exchange.response.as_ref()?.status.as_u16().into());
            }
            AccessFact::DurationUs => return number(super::micros(exchange.arrived.elapsed())),
            AccessFact::DurationS => AccessValue::Seconds(exchange.arrived.elapsed().as_secs_f64()),
            AccessFact::Upstream => text(outcome.upstream.as_ref()?),
            AccessFact::Endpoint => text(outcome.endpoint.as_ref()?),
            AccessFact::UpstreamUs => return number(outcome.upstream_us?.get()),
            AccessFact::UpstreamS => {
                let time = std::time::Duration::from_micros(outcome.upstream_us?.get());
                AccessValue::Seconds(time.as_secs_f64())
            }
            AccessFact::Attempts => json(&outcome.attempts)?,
            AccessFact::RequestBytes => return number(outcome.request_bytes),
            AccessFact::ResponseBytes => return number(outcome.response_bytes),
            AccessFact::Failure => text(outcome.failure.as_ref()?),
            AccessFact::Filter => text(outcome.filter.as_ref()?),
            AccessFact::KeyRejected => json(outcome.rejection()?)?,
            AccessFact::TokenRejected => json(outcome.token_rejection()?)?,
            AccessFact::Attributes => json(&self.attributes())?,
            AccessFact::Referer => {
                let referer = headers.get(http::header::REFERER)?;
                let referer = String::from_utf8_lossy(referer.as_bytes());
                AccessValue::Text(self.format.mask_url(&referer).into())
            }
        })
    }

    /// The attributes that are not bytes.
    fn attributes(&self) -> std::collections::BTreeMap<&str, &AttributeValue> {
        let attributes = self.exchange.attributes.iter();
        attributes
            .filter(|(_, value)| !matches!(value, AttributeValue::Bytes(_)))
            .collect()
    }
}

fn text(text: &str) -> AccessValue<'_> {
    AccessValue::Text(text.into())
}

fn json<'a>(value: &impl Serialize) -> Option<AccessValue<'a>> {
    serde_json::to_value(value).ok().map(AccessValue::Json)
}

/// The chosen fields of an entry, as a JSON object in that order.
struct ChosenFields<'a> {
    entry: &'a AccessEntry<'a>,
    variables: &'a [AccessVariable],
}

impl Serialize for ChosenFields<'_> {
    fn serialize<S: Serializer>(&self, out: S) -> Result<S::Ok, S::Error> {
        let mut map = out.serialize_map(Some(self.variables.len()))?;
        for variable in self.variables {
            map.serialize_entry(&variable.name, &self.entry.value(variable))?;
        }
        map.end()
    }
}

/// Writes a value into a line of a template; `-` if there is none.
fn write_plain(value: &AccessValue<'_>, out: &mut Vec<u8>) {
    // Writing to a `Vec` cannot fail.
    let _ = match value {
        AccessValue::Absent => out.write_all(b"-"),
        AccessValue::Text(text) if text.is_empty() => out.write_all(b"-"),
        AccessValue::Text(text) => {
            write_escaped(text, out);
            Ok(())
        }
        AccessValue::Number(number) => write!(out, "{number}"),
        AccessValue::Seconds(seconds) => write!(out, "{seconds:.3}"),
        AccessValue::Json(value) => {
            write_escaped(&value.to_string(), out);
            Ok(())
        }
    };
}

/// Writes text so that it ends neither a line nor a quoted value: `"`, `\` and control characters as `\x22`.
fn write_escaped(text: &str, out: &mut Vec<u8>) {
    let is_special = |letter: char| letter.is_control() || matches!(letter, '"' | '\\');
    let mut rest = text;
    while let Some((at, letter)) = rest.char_indices().find(|(_, letter)| is_special(*letter)) {
        let (before, from) = rest.split_at(at);
        let (special, after) = from.split_at(letter.len_utf8());
        out.extend_from_slice(before.as_bytes());
        for byte in special.bytes() {
            let _ = write!(out, "\\x{byte:02X}");
        }
        rest = after;
    }
    out.extend_from_slice(rest.as_bytes());
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_ends_neither_its_line_nor_its_quotes() {
        let mut out = Vec::new();
        write_escaped("a\"b\\c\r\nd\u{85}e\u{7f}é", &mut out);
        let text = String::from_utf8(out).unwrap();
        assert_eq!(text, r"a\x22b\x5Cc\x0D\x0Ad\xC2\x85e\x7Fé");
    }
}
