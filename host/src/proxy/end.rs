//! The end of an exchange, however it ends: counted, logged, and given to its log phases.
//!
//! It comes when the response's body was given to the connection or was cut, or when the client is gone. It
//! changes no response.

use std::sync::Arc;

use super::{RunningExchange, log};
use crate::chain::ChainEnd;
use crate::error::Code;
use crate::exchange::{AccessEntry, Exchange};
use crate::http::body_error::BodyError;

impl RunningExchange {
    /// The response breaks off after its head.
    pub(super) fn break_off(&self, error: &BodyError) {
        // The passage knows if a filter ended it.
        let passage = self.passage.as_ref();
        match passage.and_then(|passage| passage.take_body_end()) {
            Some(ChainEnd::Answer(refusal)) => self.exchange.with(|exchange| {
                let outcome = &mut exchange.outcome;
                outcome.failure.get_or_insert(refusal.answer.reason.into());
                outcome.filter.get_or_insert(refusal.filter);
            }),
            Some(ChainEnd::Failed(error)) => {
                self.exchange.with(|exchange| {
                    log::log_refused(&self.connection.worker, exchange, &error);
                    exchange.outcome.filter = error.filter().cloned();
                });
                self.record_failure(error.code());
            }
            None => {
                self.exchange
                    .with(|exchange| log::log_broken_off(&self.connection.worker, exchange, error));
                self.record_failure(error.code());
            }
        }
    }

    /// The exchange ends before its response does. An outcome that is recorded already stays.
    pub(super) fn record_failure(&self, code: Code) {
        let is_first = self.exchange.with(|exchange| {
            let failure = &mut exchange.outcome.failure;
            let is_first = failure.is_none();
            failure.get_or_insert_with(|| Arc::from(code.as_str()));
            is_first
        });
        if is_first {
            self.connection.stats().refused(code);
        }
    }

    /// Whether the log or a filter reads the response's head after it was sent.
    pub(super) fn keeps_response(&self) -> bool {
        self.passage
            .as_ref()
            .is_some_and(|passage| passage.has_log())
    }

    /// Count the exchange for its route.
    fn count_for_route(&self, exchange: &Exchange) {
        let gateway = &self.generation.gateway;
        let route = self.route.and_then(|index| gateway.routes.get(index));
        let stats = route.map_or(&gateway.unrouted, |route| &route.stats);
        let Some(stats) = stats.of_worker(self.connection.worker.index) else {
            return;
        };
        let (status, outcome) = (
            exchange.response.as_ref().map(|head| head.status),
            &exchange.outcome,
        );
        let time = exchange.arrived.elapsed();
        stats.ended(status, time, outcome.request_bytes, outcome.response_bytes);
    }

    /// The protocol of the client's connection.
    fn protocol(&self) -> &'static str {
        match (self.connection.is_shared(), self.is_http10) {
            (true, _) => "HTTP/2",
            (false, true) => "HTTP/1.0",
            (false, false) => "HTTP/1.1",
        }
    }

    /// The end of an exchange: log it, count it, and run its log phases.
    fn finish(&mut self) {
        let stats = self.connection.stats();
        let answered = self.exchange.with(|exchange| {
            let outcome = &mut exchange.outcome;
            outcome.request_bytes = self.connection.watch.request_bytes();
            outcome.response_bytes = self.sent;
            stats.requests_active.subtract(1);
            stats.request_bytes.add(outcome.request_bytes);
            stats.response_bytes.add(outcome.response_bytes);
            self.count_for_route(exchange);
            exchange.response.is_some()
        });
        if !(answered && self.ended) {
            self.record_failure(match self.connection.watch.is_cut() {
                true => Code::GatewayStopped,
                false => Code::ClientGone,
            });
        }
        if answered && !self.ended {
            stats.responses_cut.add(1);
        }
        self.connection.watch.end_exchange();
        let worker = &self.connection.worker;
        self.exchange.with(|exchange| {
            if let Some(rejected) = exchange.outcome.rejection() {
                log::log_rejected_key(worker, exchange, rejected);
            }
            if let Some(rejected) = exchange.outcome.token_rejection()
                && rejected.verifier.is_none()
            {
                let verifiers = &self.generation.gateway.services.verifiers;
                verifiers.filter_rejects.count(rejected.why);
            }
        });
        if let Some(access) = &worker.access {
            self.exchange.with(|exchange| {
                let entry = AccessEntry {
                    exchange,
                    format: access.format(&self.generation.gateway.access_format),
                    protocol: self.protocol(),
                };
                access.write(|line| entry.write(line));
            });
        }
        if let Some(passage) = self.passage.take()
            && passage.has_log()
        {
            worker.queue_log_phases(passage);
        }
    }
}

impl Drop for RunningExchange {
    fn drop(&mut self) {
        self.give_permit_back();
        match self.exchange.is_present() {
            true => self.finish(),
            // A panic took the exchange and ends this connection. A second panic here would end the process.
            false => self.connection.stats().requests_active.subtract(1),
        }
    }
}
