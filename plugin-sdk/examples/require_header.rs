use windlass_plugin_sdk::prelude::*;

#[derive(serde::Deserialize)]
#[serde(deny_unknown_fields)]
struct RequireHeader {
    name: String,
}

impl Filter for RequireHeader {
    type Settings = Self;
    fn configure(settings: Self) -> Result<(Self, Setup), Vec<Diagnostic>> {
        Ok((settings, Setup::new()))
    }
}

impl OnRequest for RequireHeader {
    fn on_request(&self, request: &mut Request) -> Result<RequestVerdict, Failure> {
        match request.header(&self.name) {
            Some(_) => Ok(RequestVerdict::NEXT),
            None => Ok(LocalResponse::new(400, "header_missing").into()),
        }
    }
}

export!(RequireHeader: request);
