//! The actor: a filter of the tests that does what its settings say, good or bad.
//!
//! The settings hold a list of steps for each phase. A step reads, edits, calls a host interface,
//! misbehaves, or ends the phase with a verdict. The results of the steps are the phase's report, a
//! JSON list. So a test states in one place what a filter does and what must result, and one
//! component serves all tests. The actor calls the functions of the contract directly rather than
//! the SDK's more convenient ones, because the tests are about the contract.

mod ask;
mod misbehave;
mod play;
mod settings;

use play::{End, Player};
use settings::{Phase, Settings};
use windlass_plugin_sdk::host::metrics::{Counter, Gauge, Histogram};
use windlass_plugin_sdk::prelude::*;

pub(crate) struct Actor {
    settings: Settings,
    series: SeriesHandles,
}

/// The metric series of every actor.
#[derive(Clone, Copy)]
struct SeriesHandles {
    seen: Counter,
    open: Gauge,
    wait: Histogram,
}

impl Filter for Actor {
    type Settings = Settings;

    fn configure(settings: Settings) -> Result<(Self, Setup), Vec<Diagnostic>> {
        let mut setup = Setup::new()
            .provides(settings.provides.iter())
            .sometimes(settings.sometimes.iter())
            .requires(settings.requires.iter());
        let series = SeriesHandles {
            seen: setup.counter("seen_total", &["tier"]),
            open: setup.gauge("open", &[]),
            wait: setup.histogram("wait_seconds", &[]),
        };
        for (kind, name, labels) in &settings.series {
            let labels: Vec<_> = labels.iter().map(String::as_str).collect();
            match kind.as_str() {
                "gauge" => drop(setup.gauge(name, &labels)),
                "histogram" => drop(setup.histogram(name, &labels)),
                _ => drop(setup.counter(name, &labels)),
            }
        }
        for (at, message) in &settings.warnings {
            setup = setup.warn(at, message);
        }
        if settings.preflights {
            setup = setup.answers_preflights();
        }
        let complaints = settings.complaints.iter();
        let complaints: Vec<_> = complaints
            .map(|(at, message)| Diagnostic::new(at, message))
            .collect();
        if !complaints.is_empty() {
            return Err(complaints);
        }
        let actor = Self { settings, series };
        actor.play(Phase::Configure);
        Ok((actor, setup))
    }
}

impl Actor {
    /// Play a phase's steps; if there is a condition and it is not met, do nothing.
    fn play(&self, phase: Phase) -> End {
        let steps = self.settings.steps(phase);
        if steps.is_empty() || !(phase == Phase::Configure || self.is_meant()) {
            return End::Next;
        }
        let mut player = Player::new(self.series);
        let end = player.play(steps);
        if self.settings.tell {
            player.tell(phase);
        }
        match end {
            End::Report => End::Respond(player.report()),
            other => other,
        }
    }

    fn is_meant(&self) -> bool {
        let when = self.settings.when.as_deref();
        when.is_none_or(play::request_has)
    }
}

fn failure(detail: String) -> Failure {
    Failure::new("told_to_fail", detail)
}

impl OnRequest for Actor {
    fn on_request(&self, _: &mut Request) -> Result<RequestVerdict, Failure> {
        match self.play(Phase::Request) {
            End::Respond(response) => Ok(response.into()),
            End::Route(hint) => Ok(hint.into()),
            End::Fail(detail) => Err(failure(detail)),
            other => Ok(RequestVerdict::Next(other.mode())),
        }
    }
}

impl OnRequestBody for Actor {
    fn on_request_body(&self, _: &mut Request, _: &mut Piece) -> Result<ChunkVerdict, Failure> {
        self.play(Phase::RequestBody).of_piece().map_err(failure)
    }
}

impl OnResponse for Actor {
    fn on_response(&self, _: &mut Response) -> Result<ResponseVerdict, Failure> {
        match self.play(Phase::Response) {
            End::Respond(response) => Ok(response.into()),
            End::Fail(detail) => Err(failure(detail)),
            other => Ok(ResponseVerdict::Next(other.mode())),
        }
    }
}

impl OnResponseBody for Actor {
    fn on_response_body(&self, _: &mut Response, _: &mut Piece) -> Result<ChunkVerdict, Failure> {
        self.play(Phase::ResponseBody).of_piece().map_err(failure)
    }
}

impl OnLog for Actor {
    fn on_log(&self, _: &Request, _: &Response) {
        self.play(Phase::Log);
    }
}

impl Describe for Actor {
    fn contribution(&self) -> Contribution {
        let members = self.settings.contribution.iter();
        // This passes on values that are not a valid contribution, too.
        members.fold(Contribution::new(), |whole, (name, value)| {
            whole.extension(name, value.clone())
        })
    }
}

export!(Actor: request, request_body, response, response_body, log, description);
