//! A filter that edits the request and asks for its body, but has no phase for the body.

use windlass_plugin_sdk::prelude::*;

struct Headstrong;

impl Filter for Headstrong {
    type Settings = NoSettings;

    fn configure(_: NoSettings) -> Result<(Self, Setup), Vec<Diagnostic>> {
        Ok((Self, Setup::new()))
    }
}

impl OnRequest for Headstrong {
    fn on_request(&self, request: &mut Request) -> Result<RequestVerdict, Failure> {
        request.set_header("x-headstrong", "was here")?;
        Ok(RequestVerdict::Next(BodyMode::Whole(1024)))
    }
}

export!(Headstrong: request);
