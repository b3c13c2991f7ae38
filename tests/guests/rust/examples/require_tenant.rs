//! A filter that lets only listed tenants pass.

use windlass_plugin_sdk::prelude::*;

#[derive(serde::Deserialize)]
#[serde(deny_unknown_fields)]
struct RequireTenant {
    /// The header that names the tenant.
    header: String,
    /// The tenants that may pass.
    tenants: Vec<String>,
}

impl Filter for RequireTenant {
    type Settings = Self;

    fn configure(settings: Self) -> Result<(Self, Setup), Vec<Diagnostic>> {
        if settings.tenants.is_empty() {
            let message = "`tenants` is empty, so that no request passes; name at least one";
            return Err(vec![Diagnostic::new("/tenants", message)]);
        }
        Ok((settings, Setup::new()))
    }
}

impl OnRequest for RequireTenant {
    fn on_request(&self, request: &mut Request) -> Result<RequestVerdict, Failure> {
        let Some(tenant) = request.header(&self.header) else {
            return Ok(LocalResponse::new(400, "tenant_missing").into());
        };
        let mut tenants = self.tenants.iter();
        if tenants.any(|listed| listed.as_bytes() == tenant) {
            return Ok(RequestVerdict::NEXT);
        }
        Ok(LocalResponse::new(403, "tenant_unknown").into())
    }
}

export!(RequireTenant: request);
