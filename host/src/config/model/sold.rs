//! What is sold, how much of it, and to whom: APIs, usage plans and keys.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::SystemTime;

use http::{HeaderMap, StatusCode};

use super::{ErrorStyle, Period, ResponsePart};
use crate::config::source::Span;

/// `[api.<name>]`: routes that are sold together.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Api {
    /// Its name: the attribute `api.id`.
    pub(crate) name: Arc<str>,
    /// Its stage: the attribute `api.stage`. Default `default`.
    pub stage: Arc<str>,
    /// How the gateway words its own errors. Default problem.
    pub errors: ErrorStyle,
    /// What stands before the paths of its routes, such as `/shop/v1`, and does not go upstream.
    /// Default nothing.
    pub base_path: Option<String>,
    /// Its stage variables: the attributes `api.variable.<name>`. Default none.
    pub variables: BTreeMap<String, String>,
    /// What stands in the place of the gateway's own words. Default nothing.
    pub responses: Vec<ApiResponse>,
}

/// `[api.<name>.responses.<code>]`: another answer than the gateway's own.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ApiResponse {
    /// The code of an error, the reason of a filter's refusal, `default_4xx` or `default_5xx`.
    pub code: Arc<str>,
    /// Its status. Default that of the error.
    pub status: Option<StatusCode>,
    /// Its fields, beside those of the error; framing fields are refused.
    pub headers: HeaderMap,
    /// Its body. Default the gateway's own words.
    pub body: Option<Vec<ResponsePart>>,
    /// Whether values are escaped for JSON: whether its `content-type` is JSON. It is, where
    /// `headers` has none.
    pub is_json: bool,
    /// The table's name in the file.
    pub(crate) span: Span,
}

/// `[plan.<name>]`: a usage plan. At least one of rate, quota and methods.
#[derive(Debug, Clone, PartialEq)]
pub struct Plan {
    pub(crate) name: Arc<str>,
    /// Its token bucket.
    pub rate: Option<Rate>,
    pub quota: Option<Quota>,
    /// Rates of single methods, beside the plan's own. Default none.
    pub methods: Vec<PlanMethod>,
    /// The places of the APIs that it is sold for in [`Config::apis`](super::Config::apis);
    /// empty is all.
    pub apis: Vec<usize>,
    /// The table's name in the file.
    pub(crate) span: Span,
}

/// The rate of one method of a path.
#[derive(Debug, Clone, PartialEq)]
pub struct PlanMethod {
    /// Its method, or `ANY`.
    pub method: String,
    /// Its path, as the route has it.
    pub path: String,
    /// Its token bucket.
    pub rate: Rate,
    /// The entry in the file.
    pub(crate) span: Span,
}

/// A token bucket.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Rate {
    /// Tokens that come back each second; positive and finite.
    pub per_second: f64,
    /// The bucket's size; at least 1. Default: the rate, rounded up.
    pub burst: u64,
}

/// A number of requests for each period.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Quota {
    /// How many a period.
    pub limit: u64,
    /// The period, in UTC.
    pub period: Period,
}

/// `[[key]]`: an API key, by its digest only.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Key {
    /// Its public name: the attribute `api-key.id`. Unique.
    pub id: Arc<str>,
    /// Who it was issued to: the attribute `consumer.id`.
    pub consumer: Arc<str>,
    /// SHA-256 of the key's text. Unique.
    pub digest: [u8; 32],
    /// The places of its usage plans in [`Config::plans`](super::Config::plans): one for each
    /// API at most.
    pub plans: Vec<usize>,
    /// Whether it is accepted. Default true.
    pub enabled: bool,
    /// When it ends. Default never.
    pub expires: Option<SystemTime>,
    /// What the operator attached to it.
    pub attributes: BTreeMap<String, String>,
    /// The entry in the file.
    pub(crate) span: Span,
}
