//! `/v1/keys`: create, list, show, change, rotate and delete keys.

use std::time::Duration;

use axum::extract::{Request, State};
use axum::http::{HeaderName, HeaderValue, StatusCode, header};
use axum::response::Response;
use serde::Serialize;
use zeroize::Zeroizing;

use super::call::{Call, NameOf};
use super::params::{self, KeyParams, QueryParams};
use super::shape::{KeyCreate, KeyCreated, KeyPage, KeyResource, KeyRotate, KeyUpdate};
use super::{ApiState, audit, body, json, now_ms};
use crate::admin::problem::ApiProblem;
use crate::control::service::{ControlService, Idempotency};
use crate::control::storage::KeyQuery;
use crate::keys::KeyDigest;

/// The longest overlap of a rotation. Seconds.
const MAX_OVERLAP: u64 = 30 * 24 * 60 * 60;

type KeyId = NameOf<KeyResource>;

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
        (status = 409, description = "A plan does not exist or two plans overlap, another key has this text, or the key that the same request created was deleted since"),
        (status = 422, description = "The idempotency key came with another request")))]
pub(crate) async fn create(call: Call, request: Request) -> Result<Response, ApiProblem> {
    let token = params::idempotency(request.headers())?;
    let token = token.map(|token| format!("{}:{token}", call.caller.actor));
    let (new, bytes) = body::json::<KeyCreate>(request).await?;
    let once = token.map(|token| Idempotency {
        token,
        request: *KeyDigest::of(&bytes).as_bytes(),
    });
    let (record, value) = new.record()?;
    let now = now_ms();
    let work = move |service: &ControlService| {
        let value = value.as_ref().map(|value| value.as_str());
        Ok(service.create_key(record, value, once.as_ref(), now)?)
    };
    let made = call.api.call(work).await?;
    let key = KeyResource::new(made.key, now);
    let (status, name, value) = if made.replayed {
        let name = HeaderName::from_static("idempotency-replayed");
        (StatusCode::OK, name, "true".to_owned())
    } else {
        audit(&call.caller, "create", "key", &key.id);
        let path = format!("/v1/keys/{}", key.id);
        (StatusCode::CREATED, header::LOCATION, path)
    };
    let mut response = created(status, key, made.secret);
    put(&mut response, name, &value);
    Ok(response)
}

/// Show a key, without its text.
#[utoipa::path(get, operation_id = "showKey", path = "/v1/keys/{id}", tag = "keys",
    params(("id" = String, Path, description = "The key's id", pattern = "^[A-Za-z0-9_-]{1,64}$")),
    responses((status = 200, description = "The key", body = KeyResource, headers(("etag" = String, description = "The key's revision")))))]
pub(crate) async fn show(call: Call<KeyId>) -> Result<Response, ApiProblem> {
    let view = call.ask(ControlService::key).await?;
    let key = KeyResource::new(view, now_ms());
    Ok(tagged(StatusCode::OK, &key, key.revision))
}

/// Change a key. Members that are left out change nothing.
#[utoipa::path(patch, operation_id = "updateKey", path = "/v1/keys/{id}", tag = "keys",
    params(("id" = String, Path, description = "The key's id", pattern = "^[A-Za-z0-9_-]{1,64}$"),
        ("if-match" = String, Header, description = "Only if the key is still at this revision: its `etag`; `*` is any", pattern = r#"^([*]|"[0-9]{1,15}"|[0-9]{1,15})$"#)),
    request_body(content = KeyUpdate, content_type = "application/json"),
    responses((status = 200, description = "The key as it is now", body = KeyResource, headers(("etag" = String, description = "The key's revision"))),
        (status = 409, description = "The key is defined in the configuration, a plan does not exist, or two plans overlap"),
        (status = 412, description = "The key is at another revision")))]
pub(crate) async fn update(call: Call<KeyId>, request: Request) -> Result<Response, ApiProblem> {
    let revision = call.revision()?;
    let (update, _) = body::json::<KeyUpdate>(request).await?;
    let action = match update.enabled {
        Some(true) => "update, enabled",
        Some(false) => "update, disabled",
        None => "update",
    };
    let change = update.change()?;
    let now = now_ms();
    let work =
        move |service: &ControlService, id: &str| service.update_key(id, &change, revision, now);
    let key = KeyResource::new(call.change(action, work).await?, now);
    Ok(tagged(StatusCode::OK, &key, key.revision))
}

/// Give a key a new secret. The old secret is accepted for `overlap_seconds` more.
#[utoipa::path(post, operation_id = "rotateKey", path = "/v1/keys/{id}/rotate", tag = "keys",
    params(("id" = String, Path, description = "The key's id", pattern = "^[A-Za-z0-9_-]{1,64}$"),
        ("if-match" = String, Header, description = "Only if the key is still at this revision: its `etag`; `*` is any", pattern = r#"^([*]|"[0-9]{1,15}"|[0-9]{1,15})$"#)),
    request_body(content = KeyRotate, content_type = "application/json"),
    responses((status = 200, description = "The key with its new text", body = KeyCreated, headers(("etag" = String, description = "The key's revision"))),
        (status = 409, description = "The key is defined in the configuration, or has two valid secrets already"),
        (status = 412, description = "The key is at another revision")))]
pub(crate) async fn rotate(call: Call<KeyId>, request: Request) -> Result<Response, ApiProblem> {
    let revision = call.revision()?;
    let rotate = body::optional::<KeyRotate>(request).await?;
    if rotate.overlap_seconds > MAX_OVERLAP {
        let message = format!("must be at most {MAX_OVERLAP}");
        return Err(ApiProblem::invalid_field("overlap_seconds", &message));
    }
    let overlap = Duration::from_secs(rotate.overlap_seconds);
    let now = now_ms();
    let work =
        move |service: &ControlService, id: &str| service.rotate_key(id, overlap, revision, now);
    let rotated = call.change("rotate", work).await?;
    Ok(created(
        StatusCode::OK,
        KeyResource::new(rotated.key, now),
        Some(rotated.secret),
    ))
}

/// Delete a key. It is refused from now on; its usage stays.
#[utoipa::path(delete, operation_id = "deleteKey", path = "/v1/keys/{id}", tag = "keys",
    params(("id" = String, Path, description = "The key's id", pattern = "^[A-Za-z0-9_-]{1,64}$"),
        ("if-match" = String, Header, description = "Only if the key is still at this revision: its `etag`; `*` is any", pattern = r#"^([*]|"[0-9]{1,15}"|[0-9]{1,15})$"#)),
    responses((status = 204, description = "The key is deleted"),
        (status = 409, description = "The key is defined in the configuration"),
        (status = 412, description = "The key is at another revision")))]
pub(crate) async fn delete(call: Call<KeyId>) -> Result<StatusCode, ApiProblem> {
    let revision = call.revision()?;
    let work = move |service: &ControlService, id: &str| service.delete_key(id, revision);
    call.change("delete", work).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// An answer with the revision as its `etag`.
pub(crate) fn tagged(status: StatusCode, body: &impl Serialize, revision: u64) -> Response {
    let mut response = json(status, body);
    put(&mut response, header::ETAG, &params::etag(revision));
    response
}

/// Sets a field, if the value is valid.
pub(crate) fn put(response: &mut Response, name: HeaderName, value: &str) {
    if let Ok(value) = HeaderValue::from_str(value) {
        response.headers_mut().insert(name, value);
    }
}

/// An answer with a secret, which caches must not keep.
fn created(status: StatusCode, key: KeyResource, secret: Option<Zeroizing<String>>) -> Response {
    let revision = key.revision;
    let mut response = tagged(status, &KeyCreated { key, secret }, revision);
    put(&mut response, header::CACHE_CONTROL, "no-store");
    response
}
