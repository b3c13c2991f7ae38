//! The description of the API, `OpenAPI` 3.1, which the API serves itself.
//!
//! Each operation's parameters and answers are described beside its function. The answers that
//! every operation can have (no token, a malformed request, no storage) are added here.

use std::sync::LazyLock;

use axum::http::{StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use utoipa::openapi::path::ParameterIn;
use utoipa::openapi::security::{HttpAuthScheme, HttpBuilder, SecurityScheme};
use utoipa::openapi::{
    Content, HeaderBuilder, Object, RefOr, Required, ResponseBuilder, Responses, Schema, Type,
};
use utoipa::{Modify, OpenApi};

use super::params::{NoParams, QueryParams};
use super::{export, import, keys, plans, status, store_archive, upstreams, usage};
use crate::admin::problem::ProblemBody;
use crate::control::service::{CsvWarning, InvalidField};

/// The document.
static DOCUMENT: LazyLock<String> = LazyLock::new(|| {
    let document = Description::openapi().to_pretty_json();
    document.unwrap_or_default() + "\n"
});

#[derive(OpenApi)]
#[openapi(
    info(
        title = "Windlass admin API",
        description = "API keys, usage plans, usage and upstreams of a Windlass gateway.",
        license(name = "Apache-2.0", identifier = "Apache-2.0")
    ),
    paths(
        keys::list, keys::create, keys::show, keys::update, keys::delete, keys::rotate,
        import::import, export::export,
        plans::list, plans::create, plans::show, plans::update, plans::delete,
        usage::show, usage::extend,
        store_archive::export, store_archive::import,
        upstreams::list, upstreams::show, upstreams::add, upstreams::update, upstreams::remove,
        upstreams::restore_one, upstreams::restore,
        status::show, show,
    ),
    components(schemas(ProblemBody, InvalidField, CsvWarning)),
    security(("token" = [])),
    modifiers(&CommonResponses)
)]
struct Description;

/// Answers that every operation can have.
struct CommonResponses;

const COMMON: [(StatusCode, &str); 8] = [
    (
        StatusCode::BAD_REQUEST,
        "The request does not fit its description",
    ),
    (
        StatusCode::UNAUTHORIZED,
        "The request has no token, or a wrong one",
    ),
    (
        StatusCode::FORBIDDEN,
        "The token may only read, or no token is configured",
    ),
    (
        StatusCode::NOT_FOUND,
        "The key, plan, upstream, endpoint or path does not exist",
    ),
    (
        StatusCode::METHOD_NOT_ALLOWED,
        "The path does not support this method",
    ),
    (
        StatusCode::TOO_MANY_REQUESTS,
        "This address has sent too many wrong tokens",
    ),
    (StatusCode::INTERNAL_SERVER_ERROR, "The storage failed"),
    (
        StatusCode::SERVICE_UNAVAILABLE,
        "No storage is configured, or it is out of reach or busy",
    ),
];

const OF_BODIES: [(StatusCode, &str); 3] = [
    (
        StatusCode::REQUEST_TIMEOUT,
        "The body did not arrive in time",
    ),
    (StatusCode::PAYLOAD_TOO_LARGE, "The body is too large"),
    (
        StatusCode::UNSUPPORTED_MEDIA_TYPE,
        "The body has another type",
    ),
];

impl Modify for CommonResponses {
    fn modify(&self, document: &mut utoipa::openapi::OpenApi) {
        let scheme = HttpBuilder::new().scheme(HttpAuthScheme::Bearer).build();
        let components = document.components.get_or_insert_default();
        components.add_security_scheme("token", SecurityScheme::Http(scheme));
        for path in document.paths.paths.values_mut() {
            let operations = [
                &mut path.get,
                &mut path.post,
                &mut path.patch,
                &mut path.delete,
            ];
            for operation in operations.into_iter().flatten() {
                // Fields are optional. The macro cannot say so of a field that is not nullable.
                for parameter in operation.parameters.iter_mut().flatten() {
                    if let RefOr::T(parameter) = parameter
                        && matches!(parameter.parameter_in, ParameterIn::Header)
                    {
                        parameter.required = Required::False;
                    }
                }
                add(&mut operation.responses, &COMMON);
                if let Some(RefOr::T(body)) = &mut operation.request_body {
                    let optional = operation.operation_id.as_deref() == Some("rotateKey");
                    body.required = Some(if optional {
                        Required::False
                    } else {
                        Required::True
                    });
                    add(&mut operation.responses, &OF_BODIES);
                }
            }
        }
    }
}

fn add(responses: &mut Responses, more: &[(StatusCode, &str)]) {
    for (status, description) in more {
        let entry = responses.responses.entry(status.as_str().to_owned());
        entry.or_insert_with(|| RefOr::T(problem(*status, description)));
    }
    let text = || RefOr::<Schema>::T(Schema::Object(Object::with_type(Type::String)));
    for response in responses.responses.values_mut() {
        if let RefOr::T(response) = response {
            let id = HeaderBuilder::new()
                .schema(Some(text()))
                .description(Some("The request's id"));
            response
                .headers
                .insert("x-request-id".to_owned(), id.build().into());
        }
    }
}

fn problem(status: StatusCode, description: &str) -> utoipa::openapi::Response {
    let body = Content::new(Some(utoipa::openapi::Ref::from_schema_name("ProblemBody")));
    let response = ResponseBuilder::new()
        .description(description)
        .content("application/problem+json", body);
    let field = match status {
        StatusCode::UNAUTHORIZED => Some("www-authenticate"),
        StatusCode::METHOD_NOT_ALLOWED => Some("allow"),
        StatusCode::TOO_MANY_REQUESTS => Some("retry-after"),
        _ => None,
    };
    let text = Object::with_type(Type::String);
    match field {
        Some(field) => response.header(field, utoipa::openapi::Header::new(text)),
        None => response,
    }
    .build()
}

/// This document.
#[utoipa::path(get, operation_id = "showDescription", path = "/v1/openapi.json", tag = "gateway",
    responses((status = 200, description = "`OpenAPI` 3.1", body = Object, content_type = "application/json")))]
pub(crate) async fn show(QueryParams(_): QueryParams<NoParams>) -> Response {
    let kind = [(header::CONTENT_TYPE, "application/json")];
    (StatusCode::OK, kind, DOCUMENT.as_str()).into_response()
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use serde_json::Value;

    use super::*;
    use crate::admin::api::shape;

    #[test]
    fn every_operation_says_what_happens_without_a_token() {
        let document: Value = serde_json::from_str(&DOCUMENT).unwrap();
        assert_eq!(document["openapi"], "3.1.0");
        let paths = document["paths"].as_object().unwrap();
        assert_eq!(paths.len(), 19);
        let mut operations = BTreeSet::new();
        for (path, methods) in paths {
            for (method, operation) in methods.as_object().unwrap() {
                operations.insert(operation["operationId"].as_str().unwrap());
                let refused = &operation["responses"]["401"]["content"];
                assert!(
                    refused["application/problem+json"].is_object(),
                    "{method} {path}"
                );
            }
        }
        assert_eq!(operations.len(), 26, "{operations:?}");
    }

    #[test]
    fn the_limits_are_those_of_the_rules() {
        use crate::control::service as rules;
        let document: Value = serde_json::from_str(&DOCUMENT).unwrap();
        let schemas = &document["components"]["schemas"];
        let create = &schemas["KeyCreate"]["properties"];
        assert_eq!(create["name"]["maxLength"], rules::MAX_NAME);
        assert_eq!(create["plans"]["maxItems"], rules::MAX_PLANS);
        assert_eq!(create["metadata"]["maxProperties"], rules::MAX_METADATA);
        assert_eq!(create["name"]["pattern"], shape::LINE);
        let plan = &schemas["PlanCreate"]["properties"];
        assert_eq!(plan["methods"]["maxItems"], rules::MAX_METHODS);
        assert_eq!(plan["description"]["maxLength"], rules::MAX_VALUE);
        assert_eq!(plan["name"]["pattern"], "^[A-Za-z0-9_-]{1,64}$");
    }
}
