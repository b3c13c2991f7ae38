//! `expect`: what must result in a case.

use std::collections::BTreeMap;
use std::time::Duration;

use http::{HeaderName, Method, StatusCode};
use windlass_config_derive::{FromTable, Word};

use super::{CaseFields, NOTES, TEXT};
use crate::config::section::filter::Settings;

/// The expected result. A key that is not given is not compared, with two exceptions: a call that fails fails
/// the case, unless `failure` expects it; and settings that are rejected, unless `diagnostics` does.
#[derive(Debug, FromTable)]
#[table(heading = "expect = { .. }")]
#[hint("logs" => "it is called `log`")]
pub(crate) struct CaseExpectation {
    /// How the request ends in the filter: `next` if it reaches the endpoint.
    #[key(absent = "any")]
    pub(crate) verdict: Option<ExpectedVerdict>,
    /// The request as it reaches the endpoint.
    #[key(absent = "not compared")]
    pub(crate) request: Option<ExpectedRequest>,
    /// The response as it reaches the client.
    #[key(absent = "not compared")]
    pub(crate) response: Option<ExpectedResponse>,
    /// The filter's own response: `respond`, or `replace` of a response.
    #[key(absent = "not compared")]
    pub(crate) refusal: Option<ExpectedRefusal>,
    /// The filter's hint to the balancer.
    #[key(absent = "not compared")]
    pub(crate) hint: Option<ExpectedHint>,
    /// Attributes after the exchange, among others. `a.b` is the attribute `a.b`.
    #[key(absent = "not compared")]
    pub(crate) attributes: Settings,
    /// Attributes that are not set after the exchange.
    #[key(absent = "not compared")]
    pub(crate) absent_attributes: Vec<String>,
    /// Notes of the filter after the exchange, among others.
    #[key(absent = "not compared", kind = NOTES)]
    pub(crate) notes: BTreeMap<String, String>,
    /// Texts, each of which some log line of the filter contains.
    #[key(absent = "not compared")]
    pub(crate) log: Vec<String>,
    /// Texts that no log line of the filter contains.
    #[key(absent = "not compared")]
    pub(crate) not_logged: Vec<String>,
    /// Errors in the settings: the JSON pointer of each, and after `: ` a text that its message
    /// contains, such as `"/allow: at least one"`. All of them, in any order.
    #[key(absent = "none", each = TEXT)]
    pub(crate) diagnostics: Vec<String>,
    /// Warnings about the settings, in the same form. Those named, among others.
    #[key(absent = "not compared", each = TEXT)]
    pub(crate) warnings: Vec<String>,
    /// A failure of a call of the filter.
    #[key(absent = "none")]
    pub(crate) failure: Option<ExpectedFailure>,
}

/// How a request ends in the filter.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Word)]
pub(crate) enum ExpectedVerdict {
    /// It reaches the endpoint.
    Next,
    /// The filter responds.
    Refusal,
    /// A call of the filter failed, so the gateway responds.
    Failure,
}

/// The request as it reaches the endpoint: before the gateway adds its own fields.
#[derive(Debug, FromTable)]
#[table(heading = "expect.request = { .. }")]
pub(crate) struct ExpectedRequest {
    /// Its method.
    #[key(absent = "not compared")]
    pub(crate) method: Option<Method>,
    /// Its path, with the query.
    #[key(absent = "not compared", kind = TEXT)]
    pub(crate) path: Option<String>,
    /// Fields that it has, among others; all values of each.
    #[key(absent = "not compared")]
    pub(crate) headers: CaseFields,
    /// Fields that it has not.
    #[key(absent = "not compared")]
    pub(crate) absent: Vec<HeaderName>,
    /// Its whole body.
    #[key(absent = "not compared", kind = TEXT)]
    pub(crate) body: Option<String>,
    /// Trailers that it has, among others.
    #[key(absent = "not compared")]
    pub(crate) trailers: CaseFields,
}

/// The response as it reaches the client: before the gateway frames it.
#[derive(Debug, FromTable)]
#[table(heading = "expect.response = { .. }")]
pub(crate) struct ExpectedResponse {
    /// Its status.
    #[key(absent = "not compared", within = 200..=599)]
    pub(crate) status: Option<StatusCode>,
    /// Fields that it has, among others; all values of each.
    #[key(absent = "not compared")]
    pub(crate) headers: CaseFields,
    /// Fields that it has not.
    #[key(absent = "not compared")]
    pub(crate) absent: Vec<HeaderName>,
    /// Its whole body.
    #[key(absent = "not compared", kind = TEXT)]
    pub(crate) body: Option<String>,
    /// Trailers that it has, among others.
    #[key(absent = "not compared")]
    pub(crate) trailers: CaseFields,
    /// Whether it breaks off before its end.
    #[key(absent = "not compared")]
    pub(crate) cut: Option<bool>,
}

/// The filter's own response, before the gateway writes an error's body.
#[derive(Debug, FromTable)]
#[table(heading = "expect.refusal = { .. }", short = "code")]
#[hint("reason" => "it is called `code`")]
pub(crate) struct ExpectedRefusal {
    /// Its status.
    #[key(absent = "not compared", within = 200..=599)]
    pub(crate) status: Option<StatusCode>,
    /// Its reason: the word for logs, and the code in the error's body.
    #[key(absent = "not compared", kind = TEXT)]
    pub(crate) code: Option<String>,
    /// Fields that it has, among others.
    #[key(absent = "not compared")]
    pub(crate) headers: CaseFields,
    /// Fields that it has not.
    #[key(absent = "not compared")]
    pub(crate) absent: Vec<HeaderName>,
    /// Its whole body.
    #[key(absent = "not compared", kind = TEXT)]
    pub(crate) body: Option<String>,
}

/// The filter's hint to the balancer.
#[derive(Debug, FromTable)]
#[table(heading = "expect.hint = { .. }", short = "upstream")]
pub(crate) struct ExpectedHint {
    /// The upstream.
    #[key(absent = "not compared")]
    pub(crate) upstream: Option<String>,
    /// All labels of the endpoint.
    #[key(absent = "not compared", kind = NOTES)]
    pub(crate) labels: BTreeMap<String, String>,
    /// The key of stickiness.
    #[key(absent = "not compared", kind = TEXT)]
    pub(crate) affinity: Option<String>,
    /// The first-byte time-out.
    #[key(absent = "not compared")]
    pub(crate) timeout: Option<Duration>,
}

/// A failure of a call of the filter.
#[derive(Debug, FromTable)]
#[table(heading = "expect.failure = { .. }", short = "text")]
pub(crate) struct ExpectedFailure {
    /// Its kind, as in the log: `trap`, `cpu`, `memory`, `reported`, `verdict`, ..
    #[key(absent = "any")]
    pub(crate) kind: Option<String>,
    /// A text that the log line of the failure contains.
    #[key(absent = "any", kind = TEXT)]
    pub(crate) text: Option<String>,
}
