//! `[api.<name>]`: routes that are sold together, and how they answer.

use std::collections::BTreeMap;
use std::sync::Arc;

use windlass_config_derive::FromTable;

use super::response::ApiResponse;
use crate::config::field::Parsed;
use crate::config::names::Group;
use crate::config::read::Table;
use crate::config::value::path;
use crate::model::error_body::ErrorStyle;

/// A group of routes that plans can be sold for and that report errors in one format. The name is
/// the attribute `api.id`.
#[derive(Debug, Clone, PartialEq, Eq, FromTable)]
#[table(heading = "[api.<name>]", check = keep_base_path)]
#[hint("stage_variables" => "they are called `variables`")]
pub struct Api {
    #[key(with = Table::name)]
    pub(crate) name: Arc<str>,
    /// Its stage: the attribute `api.stage`.
    #[key(default = "default")]
    pub stage: Arc<str>,
    /// The path before the paths of its routes. Filters and upstreams see the path without it.
    #[key(absent = "none", kind = BASE_PATH, synonyms = "path")]
    pub base_path: Option<String>,
    /// Its stage variables: the attributes `api.variable.<name>`.
    #[key(absent = "none")]
    pub variables: BTreeMap<String, String>,
    /// The format of the gateway's own errors: `problem` is `application/problem+json` (RFC 9457),
    /// `aws` is that of Amazon API Gateway.
    #[key(default = "problem")]
    pub errors: ErrorStyle,
    /// Responses that replace the gateway's own, by the code of the error or the reason of the
    /// refusal.
    #[key(absent = "the gateway's own responses", named)]
    pub responses: Vec<ApiResponse>,
}

const BASE_PATH: Parsed<String> =
    Parsed::new("a path such as `\"/shop/v1\"`", path::base).matching("^/.*[^/]$");

/// Keeps the base path for the routes, which are read later.
fn keep_base_path(table: &mut Table<'_>, api: &Api) {
    let is_base_whole = table.are_whole(&["base_path"]);
    let reader = &mut *table.reader;
    if let Some(index) = reader.names.index(Group::Api, &api.name) {
        if let Some(base_path) = &api.base_path {
            reader.base_paths.insert(index, base_path.clone());
        }
        if !is_base_whole {
            reader.unsure_apis.insert(index);
        }
    }
}
