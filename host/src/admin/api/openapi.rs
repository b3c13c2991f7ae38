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
    Content, HeaderBuilder, Object, RefOr, Required, ResponseBuilder, Responses, Type,
};
use utoipa::{Modify, OpenApi};

use super::call::Call;
use super::{export, import, keys, log, plans, status, store_archive, upstreams, usage};
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
        description = "API keys, usage plans, usage, upstreams and the log level of a Windlass gateway.",
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
        log::show, log::change, log::restore,
        status::show, show,
    ),
    components(schemas(ProblemBody, InvalidField, CsvWarning)),
    security(("token" = [])),
    modifiers(&CommonResponses)
)]
struct Description;

/// Answers that every operation can have.
struct CommonResponses;

const COMMON: [(u16, &str); 8] = [
    (400, "The request does not fit its description"),
    (401, "The request has no token, or a wrong one"),
    (403, "The token may only read, or no token is configured"),
    (
        404,
        "The key, plan, upstream, endpoint or path does not exist",
    ),
    (405, "The path does not support this method"),
    (429, "This address has sent too many wrong tokens"),
    (500, "The storage failed"),
    (
        503,
        "No storage is configured, or it is out of reach or busy",
    ),
];

const OF_BODIES: [(u16, &str); 3] = [
    (408, "The body did not arrive in time"),
    (413, "The body is too large"),
    (415, "The body has another type"),
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
                    body.required = Some(match optional {
                        true => Required::False,
                        false => Required::True,
                    });
                    add(&mut operation.responses, &OF_BODIES);
                }
            }
        }
    }
}

fn add(responses: &mut Responses, more: &[(u16, &str)]) {
    for (status, description) in more {
        let entry = responses.responses.entry(status.to_string());
        entry.or_insert_with(|| RefOr::T(common(*status, description)));
    }
    for (status, response) in &mut responses.responses {
        let RefOr::T(response) = response else {
            continue;
        };
        let id = HeaderBuilder::new()
            .schema(Some(Object::with_type(Type::String)))
            .description(Some("The request's id"));
        let headers = &mut response.headers;
        headers.insert("x-request-id".to_owned(), id.build().into());
        if status.as_str() >= "400" {
            let body = utoipa::openapi::Ref::from_schema_name("ProblemBody");
            let kind = "application/problem+json".to_owned();
            let body = RefOr::T(Content::new(Some(body)));
            response.content.insert(kind, body);
        }
    }
}

/// An answer that every operation can have.
fn common(status: u16, description: &str) -> utoipa::openapi::Response {
    let response = ResponseBuilder::new().description(description);
    let field = match status {
        401 => "www-authenticate",
        405 => "allow",
        429 => "retry-after",
        _ => return response.build(),
    };
    let text = Object::with_type(Type::String);
    response
        .header(field, utoipa::openapi::Header::new(text))
        .build()
}

/// This document.
#[utoipa::path(get, operation_id = "showDescription", path = "/v1/openapi.json", tag = "gateway",
    responses((status = 200, description = "`OpenAPI` 3.1", body = Object, content_type = "application/json")))]
pub(crate) async fn show(_: Call) -> Response {
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
        assert_eq!(paths.len(), 21);
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
        assert_eq!(operations.len(), 29, "{operations:?}");
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
