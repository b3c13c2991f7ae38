//! A filter that lets everything pass, to measure the cost of a call that does nothing.

use windlass_plugin_sdk::prelude::*;

struct Noop;

impl Filter for Noop {
    type Settings = NoSettings;
    fn configure(_settings: NoSettings) -> Result<(Self, Setup), Vec<Diagnostic>> {
        Ok((Self, Setup::new()))
    }
}

impl OnRequest for Noop {
    fn on_request(&self, _request: &mut Request) -> Result<RequestVerdict, Failure> {
        Ok(RequestVerdict::NEXT)
    }
}

export!(Noop: request);
