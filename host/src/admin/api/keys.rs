//! `/v1/keys`: create, list, show, change, rotate and delete keys.

use std::time::Duration;

use aws_lc_rs::digest;
use axum::Extension;
use axum::extract::{Request, State};
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use axum::response::Response;

use super::params::{self, KeyId, KeyParams, NoParams, QueryParams};
use super::shape::{KeyCreate, KeyCreated, KeyPage, KeyResource, KeyRotate, KeyUpdate};
use super::{ApiState, audit, body, json, now_ms};
use crate::admin::envelope::ApiCaller;
use crate::admin::problem::{ApiProblem, ProblemBody};
use crate::control::service::Idempotency;
use crate::control::storage::KeyQuery;

/// The longest overlap of a rotation. Seconds.
const MAX_OVERLAP: u64 = 30 * 24 * 60 * 60;

/// List keys, in the order of their ids.
#[utoipa::path(get, operation_id = "listKeys", path = "/v1/keys", tag = "keys", params(KeyParams),
    responses((status = 200, description = "A page of the list", body = KeyPage)))]
pub(crate) async fn list(
    State(api): ApiState,
    QueryParams(query): QueryParams<KeyParams>,
) -> Result<Response, ApiProblem> {
    let query = KeyQuery {
        limit: params::limit(query.limit)?,
        after: params::after(query.cursor.as_deref())?.map(str::to_owned),
        consumer: params::text("consumer", query.consumer)?,
        plan: params::name("plan", query.plan)?,
        prefix: params::text("prefix", query.prefix)?,
        begins_with: params::begins_with(query.begins_with)?,
    };
    let page = api.call(move |service| Ok(service.keys(query)?)).await?;
    Ok(json(StatusCode::OK, &KeyPage::new(page, now_ms())))
}

/// Create a key. Only this answer has its text.
#[utoipa::path(post, operation_id = "createKey", path = "/v1/keys", tag = "keys",
    params(("idempotency-key" = String, Header, description = "Makes the request safe to repeat for 24 hours: a repetition returns the key that the first request created, without its text; if that key was deleted since, the answer is 409 and no key is created.", min_length = 1, max_length = 128, pattern = "^[!-~]{1,128}$")),
    request_body(content = KeyCreate, content_type = "application/json"),
    responses(
        (status = 201, description = "The key was created", body = KeyCreated, headers(("etag" = String, description = "The key's revision"), ("location" = String, description = "The key's path"))),
        (status = 200, description = "The same request created it before", body = KeyCreated, headers(("etag" = String, description = "The key's revision"), ("idempotency-replayed" = String, description = "`true`"))),
        (status = 409, description = "A plan does not exist or two plans overlap, another key has this text, or the key that the same request created was deleted since", body = ProblemBody, content_type = "application/problem+json"),
        (status = 422, description = "The idempotency key came with another request", body = ProblemBody, content_type = "application/problem+json")))]
pub(crate) async fn create(
    State(api): ApiState,
    Extension(caller): Extension<ApiCaller>,
    QueryParams(_): QueryParams<NoParams>,
    request: Request,
) -> Result<Response, ApiProblem> {
    let token = params::idempotency(request.headers())?;
    let token = token.map(|token| format!("{}:{token}", caller.actor));
    let (new, bytes) = body::json::<KeyCreate>(request).await?;
    let once = token.map(|token| Idempotency {
        token,
        request: sha256(&bytes),
    });
    let (record, value) = new.record()?;
    let now = now_ms();
    let made = api
        .call(move |service| {
            let value = value.as_ref().map(|value| value.as_str());
            Ok(service.create_key(record, value, once.as_ref(), now)?)
        })
        .await?;
    let id = made.key.record.id.clone();
    let revision = made.key.record.revision;
    let (status, more) = if made.replayed {
        let name = HeaderName::from_static("idempotency-replayed");
        (StatusCode::OK, (name, "true".to_owned()))
    } else {
        audit(&caller, "create", "key", &id);
        (
            StatusCode::CREATED,
            (header::LOCATION, format!("/v1/keys/{id}")),
        )
    };
    let made = KeyCreated {
        key: KeyResource::new(made.key, now),
        secret: made.secret,
    };
    let mut response = json(status, &made);
    put(&mut response, more.0, &more.1);
    no_store(&mut response);
    Ok(tagged(response, revision))
}

/// Show a key, without its text.
#[utoipa::path(get, operation_id = "showKey", path = "/v1/keys/{id}", tag = "keys",
    params(("id" = String, Path, description = "The key's id", pattern = "^[A-Za-z0-9_-]{1,64}$")),
    responses((status = 200, description = "The key", body = KeyResource, headers(("etag" = String, description = "The key's revision")))))]
pub(crate) async fn show(
    State(api): ApiState,
    KeyId(id): KeyId,
    QueryParams(_): QueryParams<NoParams>,
) -> Result<Response, ApiProblem> {
    let view = api.call(move |service| Ok(service.key(&id)?)).await?;
    let revision = view.record.revision;
    let response = json(StatusCode::OK, &KeyResource::new(view, now_ms()));
    Ok(tagged(response, revision))
}

/// Change a key. Members that are left out change nothing.
#[utoipa::path(patch, operation_id = "updateKey", path = "/v1/keys/{id}", tag = "keys",
    params(("id" = String, Path, description = "The key's id", pattern = "^[A-Za-z0-9_-]{1,64}$"),
        ("if-match" = String, Header, description = "Only if the key is still at this revision: its `etag`; `*` is any", pattern = r#"^([*]|"[0-9]{1,15}"|[0-9]{1,15})$"#)),
    request_body(content = KeyUpdate, content_type = "application/json"),
    responses((status = 200, description = "The key as it is now", body = KeyResource, headers(("etag" = String, description = "The key's revision"))),
        (status = 409, description = "The key is defined in the configuration, a plan does not exist, or two plans overlap", body = ProblemBody, content_type = "application/problem+json"),
        (status = 412, description = "The key is at another revision", body = ProblemBody, content_type = "application/problem+json")))]
pub(crate) async fn update(
    State(api): ApiState,
    Extension(caller): Extension<ApiCaller>,
    KeyId(id): KeyId,
    QueryParams(_): QueryParams<NoParams>,
    request: Request,
) -> Result<Response, ApiProblem> {
    let revision = params::if_match(request.headers())?;
    let (update, _) = body::json::<KeyUpdate>(request).await?;
    let action = match update.enabled {
        Some(true) => "update, enabled",
        Some(false) => "update, disabled",
        None => "update",
    };
    let change = update.change()?;
    let now = now_ms();
    let name = id.clone();
    let view = api
        .call(move |service| Ok(service.update_key(&name, &change, revision, now)?))
        .await?;
    audit(&caller, action, "key", &id);
    let revision = view.record.revision;
    Ok(tagged(
        json(StatusCode::OK, &KeyResource::new(view, now)),
        revision,
    ))
}

/// Give a key a new secret. The old secret is accepted for `overlap_seconds` more.
#[utoipa::path(post, operation_id = "rotateKey", path = "/v1/keys/{id}/rotate", tag = "keys",
    params(("id" = String, Path, description = "The key's id", pattern = "^[A-Za-z0-9_-]{1,64}$"),
        ("if-match" = String, Header, description = "Only if the key is still at this revision: its `etag`; `*` is any", pattern = r#"^([*]|"[0-9]{1,15}"|[0-9]{1,15})$"#)),
    request_body(content = KeyRotate, content_type = "application/json"),
    responses((status = 200, description = "The key with its new text", body = KeyCreated, headers(("etag" = String, description = "The key's revision"))),
        (status = 409, description = "The key is defined in the configuration, or has two valid secrets already", body = ProblemBody, content_type = "application/problem+json"),
        (status = 412, description = "The key is at another revision", body = ProblemBody, content_type = "application/problem+json")))]
pub(crate) async fn rotate(
    State(api): ApiState,
    Extension(caller): Extension<ApiCaller>,
    KeyId(id): KeyId,
    QueryParams(_): QueryParams<NoParams>,
    request: Request,
) -> Result<Response, ApiProblem> {
    let revision = params::if_match(request.headers())?;
    let rotate = body::optional::<KeyRotate>(request).await?;
    if rotate.overlap_seconds > MAX_OVERLAP {
        let message = format!("must be at most {MAX_OVERLAP}");
        return Err(ApiProblem::invalid_field("overlap_seconds", &message));
    }
    let overlap = Duration::from_secs(rotate.overlap_seconds);
    let now = now_ms();
    let name = id.clone();
    let rotated = api
        .call(move |service| Ok(service.rotate_key(&name, overlap, revision, now)?))
        .await?;
    audit(&caller, "rotate", "key", &id);
    let revision = rotated.key.record.revision;
    let made = KeyCreated {
        key: KeyResource::new(rotated.key, now),
        secret: Some(rotated.secret),
    };
    let mut response = json(StatusCode::OK, &made);
    no_store(&mut response);
    Ok(tagged(response, revision))
}

/// Delete a key. It is refused from now on; its usage stays.
#[utoipa::path(delete, operation_id = "deleteKey", path = "/v1/keys/{id}", tag = "keys",
    params(("id" = String, Path, description = "The key's id", pattern = "^[A-Za-z0-9_-]{1,64}$"),
        ("if-match" = String, Header, description = "Only if the key is still at this revision: its `etag`; `*` is any", pattern = r#"^([*]|"[0-9]{1,15}"|[0-9]{1,15})$"#)),
    responses((status = 204, description = "The key is deleted"),
        (status = 409, description = "The key is defined in the configuration", body = ProblemBody, content_type = "application/problem+json"),
        (status = 412, description = "The key is at another revision", body = ProblemBody, content_type = "application/problem+json")))]
pub(crate) async fn delete(
    State(api): ApiState,
    Extension(caller): Extension<ApiCaller>,
    KeyId(id): KeyId,
    QueryParams(_): QueryParams<NoParams>,
    headers: HeaderMap,
) -> Result<StatusCode, ApiProblem> {
    let revision = params::if_match(&headers)?;
    let name = id.clone();
    api.call(move |service| Ok(service.delete_key(&name, revision)?))
        .await?;
    audit(&caller, "delete", "key", &id);
    Ok(StatusCode::NO_CONTENT)
}

/// Adds the revision as `etag`.
pub(crate) fn tagged(mut response: Response, revision: u64) -> Response {
    put(&mut response, header::ETAG, &params::etag(revision));
    response
}

/// Sets a field to a value that is known to be valid.
pub(crate) fn put(response: &mut Response, name: HeaderName, value: &str) {
    if let Ok(value) = HeaderValue::from_str(value) {
        response.headers_mut().insert(name, value);
    }
}

/// Forbids caches to keep an answer that holds a secret.
fn no_store(response: &mut Response) {
    put(response, header::CACHE_CONTROL, "no-store");
}

fn sha256(bytes: &[u8]) -> [u8; 32] {
    let mut sum = [0; 32];
    let made = digest::digest(&digest::SHA256, bytes);
    for (to, from) in sum.iter_mut().zip(made.as_ref()) {
        *to = *from;
    }
    sum
}
