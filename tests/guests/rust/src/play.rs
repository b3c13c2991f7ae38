//! Plays steps.

use core::fmt::Write as _;

use serde_json::{Value, json};
use windlass_plugin_sdk::gateway::{
    api_description, cache, crypto, documents, exchange, keys, limits, log, metrics, rates,
    raw_params, response_edits,
};
use windlass_plugin_sdk::{
    AttributeRef, AttributeValue, BodyMode, ChunkVerdict, EditError, LocalResponse, Message,
    ResponseEdit, RouteHint,
};

use windlass_plugin_sdk::host::keys::{FieldError, IdentifyError};

use super::SeriesHandles;
use super::misbehave;
use super::settings::{Answer, Fact, Hint, Of, Phase, Step};

pub(crate) enum End {
    /// No step gave a verdict.
    Next,
    /// Go on, and ask for the body in this mode.
    Mode(BodyMode),
    /// Keep the chunk, and wait for more.
    More,
    /// Make no more calls for this body.
    Done,
    /// Respond.
    Respond(LocalResponse),
    /// Go on, with a hint to the balancer.
    Route(RouteHint),
    /// Respond with the report.
    Report,
    /// Report that the filter could not do its work.
    Fail(String),
}

impl End {
    /// The end as a verdict on a head; an end without a mode skips the body.
    pub(crate) fn mode(self) -> BodyMode {
        match self {
            Self::Mode(mode) => mode,
            Self::Next
            | Self::More
            | Self::Done
            | Self::Respond(_)
            | Self::Route(_)
            | Self::Report
            | Self::Fail(_) => BodyMode::Skip,
        }
    }

    /// The end as a verdict on a chunk.
    pub(crate) fn of_piece(self) -> Result<ChunkVerdict, String> {
        Ok(match self {
            Self::More => ChunkVerdict::More,
            Self::Done => ChunkVerdict::Done,
            Self::Respond(response) => response.into(),
            Self::Next | Self::Mode(_) | Self::Route(_) | Self::Report => ChunkVerdict::Next,
            Self::Fail(detail) => return Err(detail),
        })
    }
}

/// Whether the request has a field.
pub(crate) fn request_has(condition: &str) -> bool {
    let (name, value) = condition.split_once('=').unwrap_or((condition, ""));
    let there = exchange::header(Message::Request, name);
    there.is_some_and(|there| value.is_empty() || there == value.as_bytes())
}

pub(crate) struct Player {
    series: SeriesHandles,
    report: Vec<Value>,
    ticket: u64,
}

impl Player {
    /// A player that has played no steps.
    pub(crate) fn new(series: SeriesHandles) -> Self {
        Self {
            series,
            report: Vec::new(),
            ticket: 0,
        }
    }

    /// Play steps until the first verdict.
    pub(crate) fn play(&mut self, steps: &[Step]) -> End {
        for step in steps {
            if let Some(end) = verdict(step) {
                return end;
            }
            if let Step::Occupy(key) = step {
                if cache::get(key).is_some() {
                    return End::Respond(LocalResponse::new(503, "occupied"));
                }
                cache::put(key, b"1", 60_000);
                continue;
            }
            let given = match step {
                Step::Ask(wanted) => match super::ask::ask(wanted) {
                    Some(given) => given,
                    None => return End::Next,
                },
                _ => self.step(step),
            };
            self.report.push(given);
        }
        End::Next
    }

    /// Write the results of the steps to the log.
    pub(crate) fn tell(&self, phase: Phase) {
        let line = format!("{} gave {}", phase.name(), json!(self.report));
        log::write(log::Level::Info, &line, &[]);
    }

    /// The results of the steps as a response.
    pub(crate) fn report(&self) -> LocalResponse {
        LocalResponse::new(200, "report")
            .header("content-type", "application/json")
            .body(json!(self.report).to_string())
    }

    fn step(&mut self, step: &Step) -> Value {
        read(step)
            .or_else(|| document(step))
            .or_else(|| edit(step))
            .or_else(|| bounded(step))
            .or_else(|| self.call(step))
            .unwrap_or_else(|| misbehave(step))
    }

    /// The steps that call host interfaces.
    fn call(&mut self, step: &Step) -> Option<Value> {
        Some(match step {
            Step::Log(level, message) => {
                log::write(self::level(level), message, &[("from", "actor")]);
                Value::Null
            }
            Step::LogFields(level, message, fields) => {
                let fields: Vec<_> = fields.iter().map(|(n, v)| (&**n, &**v)).collect();
                log::write(self::level(level), message, &fields);
                Value::Null
            }
            Step::LogEnabled(level) => json!(log::enabled(self::level(level))),
            Step::Count(tier, value) => {
                self.series.seen.add(&[tier], *value);
                Value::Null
            }
            Step::Gauge(value) => {
                self.series.open.add(&[], *value);
                Value::Null
            }
            Step::Observe(value) => {
                self.series.wait.observe(&[], *value);
                Value::Null
            }
            Step::Add(series, labels, value) => {
                // Every actor has three series before these.
                let labels: Vec<_> = labels.iter().map(String::as_str).collect();
                metrics::add(3 + series, &labels, value.parse().unwrap_or(f64::NAN));
                Value::Null
            }
            Step::FloodLabels(count) => {
                for n in 0..*count {
                    self.series.seen.increment(&[&format!("tier-{n}")]);
                }
                Value::Null
            }
            Step::CacheGet(key) => json!(cache::get(key).as_deref().map(text)),
            Step::CachePut(key, value, ttl) => json!(cache::put(key, value.as_bytes(), *ttl)),
            Step::FloodCache(count, size) => {
                let value = vec![7; *size];
                let kept = (0..*count).filter(|n| cache::put(&n.to_string(), &value, 60_000));
                json!(kept.count())
            }
            Step::CacheDelete(key) => {
                cache::delete(key);
                Value::Null
            }
            Step::CacheIncrement(key, delta, ttl) => json!(cache::increment(key, *delta, *ttl)),
            Step::Take(plan, key, cost) => match limits::take(plan, key, *cost) {
                Some(decision) => self.decision(&decision),
                None => Value::Null,
            },
            Step::TakeInline(key, cost, capacity, refill) => {
                let decision = limits::take_inline(key, *cost, *capacity, *refill);
                self.decision(&decision)
            }
            Step::Charge(plan, cost) => {
                let plan = Some(plan.as_str()).filter(|plan| !plan.is_empty());
                match limits::charge(plan, *cost) {
                    Ok(decision) => self.decision(&decision),
                    Err(why) => json!({ "uncharged": why.name() }),
                }
            }
            Step::Standing => match limits::standing() {
                Some(levels) => json!({
                    "rate": levels.rate.as_ref().map(level_report),
                    "quota": levels.quota.as_ref().map(level_report),
                }),
                None => Value::Null,
            },
            Step::GiveBack => {
                limits::give_back(self.ticket);
                Value::Null
            }
            Step::GiveBackTicket(ticket) => {
                limits::give_back(*ticket);
                Value::Null
            }
            Step::FindKey(presented) => key(presented),
            Step::IdentifyField(name) => identified_by_field(keys::identify_field(name, true)),
            Step::Identify(presented) => identified(keys::identify(presented.as_bytes())),
            Step::Digest(hash, data) => {
                json!(hex(&crypto::digest(self::hash(hash), data.as_bytes())))
            }
            Step::HmacSign(hash, secret, data) => {
                match crypto::hmac_sign(self::hash(hash), secret, data.as_bytes()) {
                    Ok(tag) => json!(hex(&tag)),
                    Err(why) => json!({ "error": why }),
                }
            }
            Step::HmacVerify(hash, secret, data, tag) => json!(crypto::hmac_verify(
                self::hash(hash),
                secret,
                data.as_bytes(),
                &unhex(tag)
            )),
            _ => return None,
        })
    }

    fn decision(&mut self, decision: &limits::Decision) -> Value {
        self.ticket = decision.ticket;
        json!({
            "allowed": decision.allowed,
            "refused-by": decision.refused_by.map(|bound| format!("{bound:?}")),
            "retry-after": decision.retry_after_ms,
            "rate": decision.rate.as_ref().map(level_report),
            "quota": decision.quota.as_ref().map(level_report),
            "ticket": decision.ticket != 0,
        })
    }
}

/// The steps that limit requests by the filter's own limits.
fn bounded(step: &Step) -> Option<Value> {
    Some(match step {
        Step::DefineRates(names) => {
            rates::define(&names.iter().map(|name| bound(name)).collect::<Vec<_>>());
            Value::Null
        }
        Step::TakeRates(cost) => {
            let decision = rates::take(*cost);
            let standing = rates::standing();
            let left = standing
                .iter()
                .map(|level| json!([level.bound, level.remaining]));
            json!({
                "outcome": format!("{:?}", decision.outcome),
                "by": decision.by,
                "left": left.collect::<Vec<_>>(),
            })
        }
        _ => return None,
    })
}

fn bound(name: &str) -> rates::Bound<'_> {
    rates::Bound {
        name,
        by: rates::Source::All,
        missing: rates::Missing::Share,
        algorithm: rates::Algorithm::TokenBucket,
        limit: 2,
        window_ms: 3_600_000,
        burst: 2,
        shadow: false,
    }
}

fn level_report(level: &limits::Level) -> Value {
    json!({
        "limit": level.limit,
        "remaining": level.remaining,
        "window": level.window_ms,
        "reset": level.reset_ms,
    })
}

fn verdict(step: &Step) -> Option<End> {
    Some(match step {
        Step::Skip => End::Mode(BodyMode::Skip),
        Step::Chunks => End::Mode(BodyMode::Chunks),
        Step::Whole(max) => End::Mode(BodyMode::Whole(*max)),
        Step::More => End::More,
        Step::Done => End::Done,
        Step::Respond(answer) => End::Respond(local_response(answer)),
        Step::Route(hint) => End::Route(route_hint(hint)),
        Step::Report => End::Report,
        Step::Fail(detail) => End::Fail(detail.clone()),
        _ => return None,
    })
}

fn local_response(answer: &Answer) -> LocalResponse {
    let mut response = LocalResponse::new(answer.status, &*answer.reason).body(&*answer.body);
    for (name, value) in &answer.headers {
        response = response.header(name, &**value);
    }
    response
}

fn route_hint(hint: &Hint) -> RouteHint {
    let mut made = RouteHint::new();
    made.upstream.clone_from(&hint.upstream);
    made.labels.clone_from(&hint.labels);
    made.timeout_ms = hint.timeout.and_then(|ms| u32::try_from(ms).ok());
    made
}

fn identified(result: Result<(), IdentifyError>) -> Value {
    match result {
        Ok(()) => json!("ok"),
        Err(IdentifyError::Rejected(why)) => json!({ "rejected": why.name() }),
        Err(IdentifyError::Attribute(error)) => edited(Err(error)),
    }
}

fn identified_by_field(result: Result<(), FieldError>) -> Value {
    match result {
        Ok(()) => json!("ok"),
        Err(FieldError::Missing) => json!("missing"),
        Err(FieldError::Rejected(why)) => json!({ "rejected": why.name() }),
        Err(FieldError::Attribute(error) | FieldError::Edit(error)) => edited(Err(error)),
    }
}

fn response_edit((how, name, value): &(String, String, String)) -> ResponseEdit<'_> {
    match how.as_str() {
        "append" => ResponseEdit::append(name, value),
        "add-member" => ResponseEdit::add_member(name, value),
        "remove" => ResponseEdit::remove(name),
        _ => ResponseEdit::set(name, value),
    }
}

/// The steps that read the exchange.
fn read(step: &Step) -> Option<Value> {
    Some(match step {
        Step::Method => json!(exchange::method()),
        Step::Scheme => json!(exchange::scheme()),
        Step::Authority => json!(exchange::authority()),
        Step::Path => json!(exchange::path()),
        Step::OriginalPath => json!(exchange::original_path()),
        Step::PathParam(name) => json!(exchange::path_param(name)),
        Step::QueryParam(name) => json!(exchange::query_param(name)),
        Step::RawPathParam(name) => json!(raw_params::path_param(name)),
        Step::RawQueryParam(name) => json!(raw_params::query_param(name)),
        Step::Status => json!(exchange::status()),
        Step::Header(of, name) => json!(exchange::header(of.message(), name).as_deref().map(text)),
        Step::HeaderText(of, name) => json!(exchange::header_text(of.message(), name)),
        Step::HeaderAll(of, name) => {
            let values = exchange::header_all(of.message(), name);
            values.iter().map(|value| text(value)).collect()
        }
        Step::HeaderMany(of, names) => {
            let names: Vec<&str> = names.iter().map(String::as_str).collect();
            let values = exchange::header_many(of.message(), &names);
            values
                .iter()
                .map(|value| value.as_deref().map(text))
                .collect()
        }
        Step::Headers(of) => {
            let fields = exchange::headers(of.message());
            fields
                .iter()
                .map(|(name, value)| json!([name, text(value)]))
                .collect()
        }
        Step::HeadersPacked(of) => unpack(&exchange::headers_packed(of.message())),
        Step::ReadPiece(offset, len) => json!(text(&exchange::read_piece(*offset, *len))),
        Step::Attribute(name) => match exchange::attribute(name) {
            None => Value::Null,
            Some(AttributeValue::Text(text)) => json!(text),
            Some(AttributeValue::Number(number)) => json!(number),
            Some(AttributeValue::Flag(flag)) => json!(flag),
            Some(AttributeValue::Bytes(bytes)) => json!({ "bytes": bytes }),
        },
        Step::Note(key) => json!(exchange::note(key).as_deref().map(text)),
        _ => return None,
    })
}

/// The steps that read documents.
fn document(step: &Step) -> Option<Value> {
    Some(match step {
        Step::Documents => json!(documents::names()),
        Step::DocumentSize(name) => json!(documents::size(name)),
        Step::ReadDocument(name, offset, len) => {
            json!(documents::read(name, *offset, *len).as_deref().map(text))
        }
        Step::ReadApis => {
            json!(serde_json::from_str::<Value>(&api_description::read()).ok())
        }
        Step::ApisDigest => json!(hex(&api_description::digest())),
        Step::DocumentDigest(name) => json!(documents::digest(name).as_deref().map(hex)),
        _ => return None,
    })
}

/// The steps that edit the exchange.
fn edit(step: &Step) -> Option<Value> {
    Some(match step {
        Step::SetMethod(method) => edited(exchange::set_method(method)),
        Step::SetPath(path) => edited(exchange::set_path(path)),
        Step::SetAuthority(authority) => edited(exchange::set_authority(authority)),
        Step::SetStatus(status) => edited(exchange::set_status(*status)),
        Step::SetHeader(of, name, value) => {
            edited(exchange::set_header(of.message(), name, value.as_bytes()))
        }
        Step::SetHeaders(of, fields) => {
            let fields: Vec<_> = fields
                .iter()
                .map(|(name, value)| (name.as_str(), value.as_bytes()))
                .collect();
            edited(exchange::set_headers(of.message(), &fields))
        }
        Step::EditResponse(edits) => {
            let edits: Vec<_> = edits.iter().map(response_edit).collect();
            edited(response_edits::edit(&edits))
        }
        Step::SkipOnResponse => {
            response_edits::skip_on_response();
            Value::Null
        }
        Step::AppendHeader(of, name, value) => edited(exchange::append_header(
            of.message(),
            name,
            value.as_bytes(),
        )),
        Step::SetHeaderBytes(of, name, value) => {
            edited(exchange::set_header(of.message(), name, value))
        }
        Step::RemoveHeader(of, name) => match exchange::remove_header(of.message(), name) {
            Ok(count) => json!(count),
            Err(error) => edited(Err(error)),
        },
        Step::FloodFields(of, count, size) => {
            let value = vec![b'x'; *size];
            first_refusal(*count, |n| {
                exchange::append_header(of.message(), &format!("x-flood-{n}"), &value)
            })
        }
        Step::ReplacePiece(text) => edited(exchange::replace_piece(text.as_bytes())),
        Step::PrependPiece(text) => edited(exchange::prepend_piece(text.as_bytes())),
        Step::AppendPiece(text) => edited(exchange::append_piece(text.as_bytes())),
        Step::FloodPiece(size) => edited(exchange::append_piece(&vec![b'x'; *size])),
        Step::SetAttribute(name, fact) => edited(exchange::set_attribute(name, fact.value())),
        Step::SetAttributes(facts) => {
            let facts: Vec<_> = facts
                .iter()
                .map(|(name, fact)| (name.as_str(), fact.value()))
                .collect();
            edited(exchange::set_attributes(&facts))
        }
        Step::FloodAttributes(count, size) => {
            let value = vec![0; *size];
            first_refusal(*count, |n| {
                let value = AttributeRef::Bytes(&value);
                exchange::set_attribute(&format!("flood.{n}"), value)
            })
        }
        Step::OverwriteAttribute(count, size) => {
            let value = vec![0; *size];
            first_refusal(*count, |_| {
                exchange::set_attribute("flood.again", AttributeRef::Bytes(&value))
            })
        }
        Step::SetNote(key, value) => edited(exchange::set_note(key, value.as_bytes())),
        Step::FloodNotes(count, size) => {
            let value = vec![0; *size];
            first_refusal(*count, |n| exchange::set_note(&n.to_string(), &value))
        }
        _ => return None,
    })
}

/// The steps that a filter must not take.
fn misbehave(step: &Step) -> Value {
    match step {
        Step::Trap => misbehave::trap(),
        Step::Panic => misbehave::panic(),
        Step::Loop => misbehave::endless(),
        Step::Recurse => json!(misbehave::recurse(0)),
        Step::RecurseDeeply => json!(misbehave::recurse_deeply(0)),
        Step::GrowUntilRefused => {
            misbehave::grow_until_refused();
            Value::Null
        }
        Step::Grow(bytes) => {
            misbehave::grow(*bytes);
            Value::Null
        }
        Step::Exit => std::process::exit(0),
        Step::ReadFile(path) => misbehave::read_file(path),
        Step::Connect(address) => misbehave::connect(address),
        Step::Sleep => {
            misbehave::sleep();
            Value::Null
        }
        Step::SpinUntilPassed(milliseconds) => {
            misbehave::spin_until_passed(*milliseconds);
            Value::Null
        }
        Step::Print(line) => {
            misbehave::print(line);
            Value::Null
        }
        Step::PrintBytes(bytes) => {
            misbehave::print_bytes(bytes);
            Value::Null
        }
        Step::FloodPrint(count) => {
            (0..*count).for_each(|n| misbehave::print(&format!("flood {n}")));
            Value::Null
        }
        Step::FloodLog(count, size) => {
            let line = "x".repeat(*size);
            (0..*count)
                .for_each(|n| log::write(log::Level::Info, &format!("flood {n} {line}"), &[]));
            Value::Null
        }
        Step::FloodCalls(count) => {
            let known = (0..*count).filter(|_| exchange::status().is_some());
            json!(known.count())
        }
        Step::NeedHeader(name) => {
            if !request_has(name) {
                misbehave::trap();
            }
            Value::Null
        }
        Step::TellLast(name) => {
            let value = exchange::header(Message::Request, name).unwrap_or_default();
            let last = misbehave::replace_last(&value);
            edited(exchange::set_header(Message::Request, "x-last", &last))
        }
        other => json!({ "unknown": format!("{other:?}") }),
    }
}

/// The number of edits that succeeded before the first refusal, and the reason
/// for it.
fn first_refusal(count: usize, edit: impl Fn(usize) -> Result<(), EditError>) -> Value {
    for n in 0..count {
        if let Err(error) = edit(n) {
            return json!({ "taken": n, "then": edited(Err(error)) });
        }
    }
    json!({ "taken": count })
}

fn edited(result: Result<(), EditError>) -> Value {
    json!(match result {
        Ok(()) => "ok",
        Err(EditError::Syntax) => "syntax",
        Err(EditError::Forbidden) => "forbidden",
        Err(EditError::TooLate) => "too-late",
        Err(EditError::TooLarge) => "too-large",
    })
}

impl Of {
    fn message(self) -> Message {
        match self {
            Self::Request => Message::Request,
            Self::Response => Message::Response,
            Self::Trailers => Message::Trailers,
        }
    }
}

impl Fact {
    fn value(&self) -> AttributeRef<'_> {
        match self {
            Self::Text(text) => AttributeRef::Text(text),
            Self::Number(number) => AttributeRef::Number(*number),
            Self::Flag(flag) => AttributeRef::Flag(*flag),
            Self::Bytes(bytes) => AttributeRef::Bytes(bytes),
        }
    }
}

fn level(name: &str) -> log::Level {
    match name {
        "trace" => log::Level::Trace,
        "debug" => log::Level::Debug,
        "warn" => log::Level::Warn,
        "error" => log::Level::Error,
        _ => log::Level::Info,
    }
}

fn hash(name: &str) -> crypto::Hash {
    match name {
        "sha384" => crypto::Hash::Sha384,
        "sha512" => crypto::Hash::Sha512,
        _ => crypto::Hash::Sha256,
    }
}

fn key(presented: &str) -> Value {
    match keys::find(presented.as_bytes()) {
        Ok(key) => json!({
            "id": key.id,
            "consumer": key.consumer,
            "plan": key.plan,
            "attributes": key.attributes,
        }),
        Err(reject) => json!({ "error": reject.name() }),
    }
}

fn unpack(packed: &[u8]) -> Value {
    let mut fields = Vec::new();
    let mut rest = packed;
    while let Some((name_len, after)) = rest.split_first_chunk::<2>() {
        let Some((value_len, after)) = after.split_first_chunk::<4>() else {
            break;
        };
        let name_len = usize::from(u16::from_le_bytes(*name_len));
        let value_len = u32::from_le_bytes(*value_len) as usize;
        let Some((name, after)) = after.split_at_checked(name_len) else {
            break;
        };
        let Some((value, after)) = after.split_at_checked(value_len) else {
            break;
        };
        fields.push(json!([text(name), text(value)]));
        rest = after;
    }
    json!(fields)
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

fn hex(bytes: &[u8]) -> String {
    let mut hex = String::new();
    for byte in bytes {
        // Writing to a `String` cannot fail.
        let _ = write!(hex, "{byte:02x}");
    }
    hex
}

fn unhex(hex: &str) -> Vec<u8> {
    let digits: Vec<u8> = hex
        .chars()
        .filter_map(|digit| digit.to_digit(16))
        .filter_map(|digit| u8::try_from(digit).ok())
        .collect();
    digits
        .as_chunks::<2>()
        .0
        .iter()
        .map(|[high, low]| high * 16 + low)
        .collect()
}
