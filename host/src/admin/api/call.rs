//! A call that needs no parameter: its caller, the names in its path, and the revision that it
//! replaces. Keys and plans are asked for, changed and deleted alike.

use std::marker::PhantomData;
use std::sync::Arc;

use axum::extract::{FromRequestParts, Path};
use axum::http::StatusCode;
use axum::http::request::Parts;
use serde::de::DeserializeOwned;

use super::params::{self, NoParams, QueryParams};
use super::shape::{KeyResource, PlanResource};
use super::{AdminApi, audit, internal_error};
use crate::admin::envelope::ApiCaller;
use crate::admin::problem::ApiProblem;
use crate::control::service::{ControlService, ServiceError};
use crate::model::name::is_name;

/// A call, with the parameters of its path. Its query must be empty.
pub(crate) struct Call<P = ()> {
    pub(crate) api: Arc<AdminApi>,
    pub(crate) caller: ApiCaller,
    pub(crate) path: P,
    if_match: Result<Option<u64>, ApiProblem>,
}

impl<P: CallPath> FromRequestParts<Arc<AdminApi>> for Call<P> {
    type Rejection = ApiProblem;

    async fn from_request_parts(
        parts: &mut Parts,
        api: &Arc<AdminApi>,
    ) -> Result<Self, ApiProblem> {
        let path = P::read(parts).await?;
        QueryParams::<NoParams>::from_request_parts(parts, api).await?;
        let caller = parts.extensions.get::<ApiCaller>().cloned();
        Ok(Self {
            api: Arc::clone(api),
            caller: caller.ok_or_else(internal_error)?,
            path,
            if_match: params::if_match(&parts.headers),
        })
    }
}

impl<P> Call<P> {
    /// The revision that the change replaces; None for any.
    pub(crate) fn revision(&self) -> Result<Option<u64>, ApiProblem> {
        self.if_match.clone()
    }
}

/// The parameters of a path.
pub(crate) trait CallPath: Send + Sized {
    fn read(parts: &mut Parts) -> impl Future<Output = Result<Self, ApiProblem>> + Send;
}

async fn path<T: DeserializeOwned + Send>(parts: &mut Parts) -> Result<T, ApiProblem> {
    let path = Path::from_request_parts(parts, &()).await;
    path.map(|Path(path)| path)
        .map_err(|_| ApiProblem::no_such_path())
}

impl CallPath for () {
    async fn read(_: &mut Parts) -> Result<Self, ApiProblem> {
        Ok(())
    }
}

impl CallPath for String {
    async fn read(parts: &mut Parts) -> Result<Self, ApiProblem> {
        path(parts).await
    }
}

impl CallPath for (String, String) {
    async fn read(parts: &mut Parts) -> Result<Self, ApiProblem> {
        path(parts).await
    }
}

/// A key or a plan.
pub(crate) trait Resource: Send {
    const KIND: &'static str;
    /// The code and the text for a name that none can have.
    const NO_SUCH: (&'static str, &'static str);
}

impl Resource for KeyResource {
    const KIND: &'static str = "key";
    const NO_SUCH: (&'static str, &'static str) = (
        "no_such_key",
        "a key's id has 1 to 64 letters, digits, `_` and `-`",
    );
}

impl Resource for PlanResource {
    const KIND: &'static str = "plan";
    const NO_SUCH: (&'static str, &'static str) = (
        "no_such_plan",
        "a plan's name has 1 to 64 letters, digits, `_` and `-`",
    );
}

/// The id of a key, or the name of a plan.
pub(crate) struct NameOf<R>(pub(crate) String, PhantomData<R>);

impl<R: Resource> NameOf<R> {
    fn check(name: String) -> Result<Self, ApiProblem> {
        if is_name(&name) {
            return Ok(Self(name, PhantomData));
        }
        let (code, detail) = R::NO_SUCH;
        Err(ApiProblem::new(StatusCode::NOT_FOUND, code, detail))
    }
}

impl<R: Resource> CallPath for NameOf<R> {
    async fn read(parts: &mut Parts) -> Result<Self, ApiProblem> {
        Self::check(path(parts).await?)
    }
}

impl<R: Resource, S: Resource> CallPath for (NameOf<R>, NameOf<S>) {
    async fn read(parts: &mut Parts) -> Result<Self, ApiProblem> {
        let (one, two) = path(parts).await?;
        Ok((NameOf::check(one)?, NameOf::check(two)?))
    }
}

impl<R: Resource> Call<NameOf<R>> {
    /// Asks the service about the key or the plan.
    pub(crate) async fn ask<T: Send + 'static>(
        &self,
        work: impl FnOnce(&ControlService, &str) -> Result<T, ServiceError> + Send + 'static,
    ) -> Result<T, ApiProblem> {
        let name = self.path.0.clone();
        let call = self.api.call(move |service| Ok(work(service, &name)?));
        call.await
    }

    /// Like `ask`, for a change, which the audit log records under the name of this action.
    pub(crate) async fn change<T: Send + 'static>(
        &self,
        action: &str,
        work: impl FnOnce(&ControlService, &str) -> Result<T, ServiceError> + Send + 'static,
    ) -> Result<T, ApiProblem> {
        let done = self.ask(work).await?;
        audit(&self.caller, action, R::KIND, &self.path.0);
        Ok(done)
    }
}
