//! The routes and filters of a configuration, for filters that describe them (`windlass:host/api-description`).

use std::sync::Arc;

use aws_lc_rs::digest;
use serde_json::{Map, Value, json};

use crate::config::{Config, RouteConfig};
use crate::wasm::Filter;
use crate::wasm::services::ApiDescription;

/// Describe a configuration and its filters.
pub(super) fn describe(config: &Config, filters: &[Option<Arc<Filter>>]) -> ApiDescription {
    let routes: Vec<_> = config.routes.iter().map(|one| route(config, one)).collect();
    let apis = config.apis.iter();
    let apis = apis.map(|api| {
        let about = json!({ "stage": &*api.stage, "basePath": api.base_path });
        (api.name.to_string(), about)
    });
    let plan_apis = config.plans.iter().map(|plan| {
        let apis = plan.apis.iter();
        let apis = apis.filter_map(|index| config.apis.get(*index));
        let apis: Vec<_> = apis.map(|api| &*api.name).collect();
        (plan.name.to_string(), apis.into())
    });
    let filters = filters.iter().flatten();
    let filters = filters.map(|filter| {
        let facts = filter.facts();
        let about = json!({ "plugin": facts.plugin, "contribution": facts.contribution });
        (filter.name().to_string(), about)
    });
    let text = json!({
        "routes": routes,
        "plans": config.plans.iter().map(|plan| &*plan.name).collect::<Vec<_>>(),
        "planApis": plan_apis.collect::<Map<_, _>>(),
        "apis": apis.collect::<Map<_, _>>(),
        "filters": filters.collect::<Map<_, _>>(),
    });
    let text = text.to_string();
    let digest = digest::digest(&digest::SHA256, text.as_bytes());
    ApiDescription {
        digest: digest.as_ref().try_into().unwrap_or_default(),
        text: text.into(),
    }
}

fn route(config: &Config, route: &RouteConfig) -> Value {
    let filters = route.filters.iter();
    let filters = filters.filter_map(|reference| config.filters.get(reference.filter));
    let filters: Vec<_> = filters.map(|filter| &*filter.name).collect();
    let methods: Vec<_> = route.methods.iter().map(http::Method::as_str).collect();
    let api = route.api(config);
    json!({
        "name": &*route.name,
        "path": route.path,
        "methods": methods,
        "hosts": route.hosts,
        "filters": filters,
        "api": api.map(|api| &*api.name),
    })
}
