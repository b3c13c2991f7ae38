//! Finds the API of a path that has no route, so that the error has that API's format.

use std::sync::Arc;

use http::Method;

use crate::error::ErrorFormat;
use crate::route::Router;

/// Finds the API of a path that no route has.
#[derive(Debug)]
pub(crate) struct ApiFinder {
    /// None if the base paths make no router.
    router: Option<Router>,
    /// In the order of the router's routes.
    formats: Vec<Arc<ErrorFormat>>,
}

impl ApiFinder {
    /// A finder of the APIs whose base paths are the router's routes, in that order.
    #[must_use]
    pub(crate) fn new(router: Option<Router>, formats: Vec<Arc<ErrorFormat>>) -> Self {
        Self { router, formats }
    }

    /// The format of the errors of the API that has this path below its base path.
    #[must_use]
    pub(crate) fn find(&self, host: &str, method: &Method, path: &str) -> Option<&ErrorFormat> {
        let found = self.router.as_ref()?.find(host, method, path).ok()?;
        self.formats.get(found.route).map(AsRef::as_ref)
    }
}
