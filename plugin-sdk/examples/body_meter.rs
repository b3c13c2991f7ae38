//! A filter with every phase: counts the bytes of bodies as they pass, and the exchanges that
//! failed.
//!
//! ```toml
//! [filter.meter]
//! plugin = "plugins/body_meter.wasm"
//! allow  = { interfaces = ["metrics"] }
//! ```

use windlass_plugin_sdk::host::metrics::{Counter, Histogram};
use windlass_plugin_sdk::prelude::*;

struct BodyMeter {
    bytes: Counter,
    failed: Counter,
    duration: Histogram,
}

impl Filter for BodyMeter {
    type Settings = NoSettings;

    const NAME: Option<&'static str> = Some("body-meter");
    const SUMMARY: Option<&'static str> = Some("counts the bytes of bodies as they pass");

    fn configure(_: NoSettings) -> Result<(Self, Setup), Vec<Diagnostic>> {
        let mut setup = Setup::new();
        let filter = Self {
            bytes: setup.counter("body_bytes_total", &["direction"]),
            failed: setup.counter("failed_total", &["code"]),
            duration: setup.histogram("duration_seconds", &[]),
        };
        Ok((filter, setup))
    }
}

impl BodyMeter {
    /// Counts a chunk without reading it: its bytes stay in the gateway.
    fn count(&self, direction: &str, piece: &Piece) -> Result<ChunkVerdict, Failure> {
        self.bytes.add(&[direction], piece.len() as f64);
        Ok(ChunkVerdict::Next)
    }
}

impl OnRequest for BodyMeter {
    fn on_request(&self, _: &mut Request) -> Result<RequestVerdict, Failure> {
        Ok(RequestVerdict::Next(BodyMode::Chunks))
    }
}

impl OnRequestBody for BodyMeter {
    fn on_request_body(&self, _: &mut Request, piece: &mut Piece) -> Result<ChunkVerdict, Failure> {
        self.count("request", piece)
    }
}

impl OnResponse for BodyMeter {
    fn on_response(&self, _: &mut Response) -> Result<ResponseVerdict, Failure> {
        Ok(ResponseVerdict::Next(BodyMode::Chunks))
    }
}

impl OnResponseBody for BodyMeter {
    fn on_response_body(
        &self,
        _: &mut Response,
        piece: &mut Piece,
    ) -> Result<ChunkVerdict, Failure> {
        self.count("response", piece)
    }
}

impl OnLog for BodyMeter {
    fn on_log(&self, request: &Request, _: &Response) {
        let attributes = request.attributes();
        if let Some(code) = attributes.text("outcome.failure") {
            self.failed.increment(&[&code]);
        }
        if let Some(microseconds) = attributes.number("outcome.duration-us") {
            self.duration.observe(&[], microseconds as f64 / 1e6);
        }
    }
}

export!(BodyMeter: request, request_body, response, response_body, log);
