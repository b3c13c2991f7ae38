//! The rows of the table: a sentence, what is given, and the decision.

use std::time::Duration;

use crate::config::{Retries, RetryOn, StatusRanges};
use crate::error::Code;
use crate::upstream::dispatch::retry::ClosedPart::{Connection, Stream};
use crate::upstream::dispatch::retry::OutcomeKind::{
    self, Answered, Closed, Failed, Left, TimedOut, TryTimeout, Unprocessed, Unsent,
};
use crate::upstream::dispatch::retry::UnprocessedBy::{GoAway, RefusedStream};
use crate::upstream::dispatch::retry::{
    ConnectionUse, History, MAX_UNPROCESSED, Repeatable, Retry, RetryDecision,
};

/// Input of a decision; a case changes it as its sentence says.
pub(super) struct Given {
    pub(super) rules: Retries,
    pub(super) request: Repeatable,
    pub(super) history: History,
    pub(super) connection: ConnectionUse,
    pub(super) untried: bool,
    pub(super) budget: bool,
    pub(super) jitter: f64,
}

/// "If `0`, Windlass `3`." `1` is the outcome, and `2` changes what is given.
pub(super) type Case = (
    &'static str,
    OutcomeKind,
    &'static [fn(&mut Given)],
    RetryDecision,
);

impl Given {
    /// The first of two attempts at a `GET`, over a new connection of HTTP/1.1, as the page says.
    pub(super) fn usual() -> Self {
        Self {
            rules: Retries {
                attempts: 2,
                on: vec![RetryOn::Connect, RetryOn::Reset],
                statuses: StatusRanges(Vec::new()),
                try_timeout: None,
                max_body: 65536,
                budget: 20,
                budget_rate: 10,
            },
            request: Repeatable {
                idempotent: true,
                upgrade: false,
                kept: true,
                time_left: Duration::from_secs(10),
            },
            history: History {
                attempts: 1,
                endpoints: 2,
                ..History::default()
            },
            connection: ConnectionUse::default(),
            untried: true,
            budget: true,
            jitter: 1.0,
        }
    }

    pub(super) fn decide(&self, outcome: OutcomeKind) -> RetryDecision {
        self.retry().decide(outcome)
    }

    pub(super) fn retry(&self) -> Retry<'_> {
        Retry {
            rules: &self.rules,
            request: self.request,
            history: self.history,
            connection: self.connection,
            untried: self.untried,
            budget: self.budget,
            jitter: self.jitter,
        }
    }

    fn post(&mut self) {
        self.request.idempotent = false;
    }

    fn too_long(&mut self) {
        self.request.kept = false;
    }

    fn upgrade(&mut self) {
        self.request.upgrade = true;
    }

    pub(super) fn only(&mut self) {
        self.history.endpoints = 1;
        self.untried = false;
    }

    pub(super) fn last(&mut self) {
        self.history.attempts = 2;
    }

    fn once(&mut self) {
        self.rules.attempts = 1;
    }

    fn spent(&mut self) {
        self.budget = false;
    }

    pub(super) fn late(&mut self) {
        self.request.time_left = Duration::ZERO;
    }

    fn nearly_late(&mut self) {
        self.request.time_left = Duration::from_millis(20);
    }

    fn reused(&mut self) {
        self.connection.reused = true;
    }

    fn shared(&mut self) {
        self.connection.shared = true;
    }

    fn often_unprocessed(&mut self) {
        self.history.unprocessed = MAX_UNPROCESSED + 1;
    }

    fn fresh(&mut self) {
        self.connection.fresh = true;
    }

    fn all_tried(&mut self) {
        self.untried = false;
    }

    fn second_of_three(&mut self) {
        self.rules.attempts = 3;
        self.history.attempts = 2;
    }

    fn repeated_once(&mut self) {
        self.history.repeats = 1;
    }

    fn sixth_of_ten(&mut self) {
        self.rules.attempts = 10;
        self.history.attempts = 6;
        self.history.repeats = 5;
    }

    fn on_connect(&mut self) {
        self.rules.on = vec![RetryOn::Connect];
    }

    fn on_reset(&mut self) {
        self.rules.on = vec![RetryOn::Reset];
    }

    fn on_timeout(&mut self) {
        self.rules.on = vec![RetryOn::Timeout];
    }

    pub(super) fn on_503(&mut self) {
        self.rules.statuses = StatusRanges(vec![(503, 503)]);
    }

    fn on_5xx(&mut self) {
        self.rules.statuses = StatusRanges(vec![(500, 599)]);
    }

    pub(super) fn try_timeout(&mut self) {
        self.rules.try_timeout = Some(Duration::from_secs(1));
    }
}

const REFUSED: OutcomeKind = Unsent(Code::ConnectFailed);
const CLOSED: OutcomeKind = Closed(Connection);
const GOAWAY: OutcomeKind = Unprocessed(GoAway);
const FREE: RetryDecision = RetryDecision::Elsewhere { free: true };
const ANSWER: RetryDecision = RetryDecision::Answer;
const RESEND: RetryDecision = RetryDecision::Resend;
const KEEP_WAITING: RetryDecision = RetryDecision::KeepWaiting;
const ELSEWHERE: RetryDecision = RetryDecision::Elsewhere { free: false };

const fn repeat(milliseconds: u64, new_connection: bool) -> RetryDecision {
    RetryDecision::Repeat {
        after: Duration::from_millis(milliseconds),
        new_connection,
    }
}

const fn give_up(code: Code) -> RetryDecision {
    RetryDecision::GiveUp(code)
}

pub(super) const SECTIONS: &[(&str, &[Case])] = &[
    ("Nothing was sent", UNSENT),
    (
        "Nothing was sent, and there is no other endpoint",
        UNSENT_ALONE,
    ),
    ("The connection had been unused for a while", STALE),
    ("The endpoint did not process the request", UNPROCESSED),
    ("The connection ended before an answer", CLOSED_EARLY),
    ("The endpoint is slow", SLOW),
    ("The endpoint answered", ANSWERED),
    ("The endpoint leaves, or something else went wrong", OTHERS),
];

#[rustfmt::skip]
const UNSENT: &[Case] = &[
    ("the endpoint refuses the connection",
        REFUSED, &[], FREE),
    ("the endpoint refuses the connection for a `POST`",
        REFUSED, &[Given::post], FREE),
    ("the endpoint refuses the connection for a body that is larger than `max_body`",
        REFUSED, &[Given::too_long], FREE),
    ("the endpoint refuses the connection for a WebSocket or another upgrade",
        REFUSED, &[Given::upgrade], FREE),
    ("the endpoint refuses the connection and the budget is spent",
        REFUSED, &[Given::spent], FREE),
    ("the connection is not made within `connect_timeout`",
        Unsent(Code::ConnectTimeout), &[Given::post], FREE),
    ("the TLS handshake with the endpoint fails",
        Unsent(Code::UpstreamTls), &[Given::post], FREE),
    ("the endpoint has `max_connections` already, and none became free within `queue_timeout`",
        Unsent(Code::Overloaded), &[Given::post], FREE),
    ("a new connection closes before it takes the request",
        REFUSED, &[Given::post], FREE),
    ("the endpoint refuses the connection and `on` does not list `connect`",
        REFUSED, &[Given::on_reset], give_up(Code::ConnectFailed)),
    ("the endpoint refuses the connection and this was the last of `attempts`",
        REFUSED, &[Given::last], give_up(Code::ConnectFailed)),
    ("the endpoint refuses the connection and `attempts` is 1",
        REFUSED, &[Given::once], give_up(Code::ConnectFailed)),
    ("`total_timeout` passes before there is a connection",
        Unsent(Code::TotalTimeout), &[Given::late], give_up(Code::TotalTimeout)),
    ("the deadline of a gRPC call passes before there is a connection",
        Unsent(Code::DeadlineExceeded), &[Given::late], give_up(Code::DeadlineExceeded)),
];

#[rustfmt::skip]
const UNSENT_ALONE: &[Case] = &[
    ("the only endpoint refuses the connection",
        REFUSED, &[Given::only], repeat(25, true)),
    ("the only endpoint refuses the connection for a `POST`",
        REFUSED, &[Given::only, Given::post], repeat(25, true)),
    ("the only endpoint refuses the connection for the second time, and `attempts` is 3",
        REFUSED, &[Given::only, Given::second_of_three, Given::repeated_once], repeat(50, true)),
    ("the only endpoint refuses the connection for the sixth time, and `attempts` is 10",
        REFUSED, &[Given::only, Given::sixth_of_ten], repeat(250, true)),
    ("two endpoints refuse the connection one after the other, and `attempts` is 3",
        REFUSED, &[Given::second_of_three, Given::all_tried], repeat(25, true)),
    ("the only endpoint refuses the connection and the budget is spent",
        REFUSED, &[Given::only, Given::spent], give_up(Code::ConnectFailed)),
    ("the only endpoint refuses the connection and the wait is longer than the time that is left",
        REFUSED, &[Given::only, Given::nearly_late], give_up(Code::ConnectFailed)),
    ("the only endpoint refuses the connection and `attempts` is 1",
        REFUSED, &[Given::only, Given::once], give_up(Code::ConnectFailed)),
];

#[rustfmt::skip]
const STALE: &[Case] = &[
    ("the connection was closed meanwhile and took nothing of the request",
        REFUSED, &[Given::reused], RESEND),
    ("the connection was closed meanwhile and took nothing of a `POST`",
        REFUSED, &[Given::reused, Given::post], RESEND),
    ("the connection was closed meanwhile, took nothing of the request, and `attempts` is 1",
        REFUSED, &[Given::reused, Given::once], RESEND),
    ("the connection ends before an answer",
        CLOSED, &[Given::reused], RESEND),
    ("an HTTP/2 connection ends before an answer",
        CLOSED, &[Given::reused, Given::shared], RESEND),
    ("the connection ends before an answer and `attempts` is 1",
        CLOSED, &[Given::reused, Given::once], RESEND),
    ("the connection ends before an answer and the budget is spent",
        CLOSED, &[Given::reused, Given::spent], RESEND),
    ("the connection ends before an answer and `on` does not list `reset`",
        CLOSED, &[Given::reused, Given::on_connect], RESEND),
    ("the connection ends before an answer, and the request was sent again for that reason already",
        CLOSED, &[Given::reused, Given::fresh], ELSEWHERE),
    ("the connection ends before the answer to a `POST`",
        CLOSED, &[Given::reused, Given::post], give_up(Code::UpstreamClosed)),
    ("the connection ends before the answer to a `PUT` whose body is larger than `max_body`",
        CLOSED, &[Given::reused, Given::too_long], give_up(Code::UpstreamClosed)),
    ("the endpoint resets one stream of an HTTP/2 connection",
        Closed(Stream), &[Given::reused, Given::shared], ELSEWHERE),
];

#[rustfmt::skip]
const UNPROCESSED: &[Case] = &[
    ("the endpoint closes the connection with a GOAWAY",
        GOAWAY, &[Given::shared], RESEND),
    ("the endpoint closes the connection of a `POST` with a GOAWAY",
        GOAWAY, &[Given::shared, Given::post], RESEND),
    ("the endpoint closes the connection with a GOAWAY and `attempts` is 1",
        GOAWAY, &[Given::shared, Given::once], RESEND),
    ("the endpoint closes the connection with a GOAWAY and the budget is spent",
        GOAWAY, &[Given::shared, Given::spent], RESEND),
    ("the endpoint closes the connection with a GOAWAY and the body is larger than `max_body`",
        GOAWAY, &[Given::shared, Given::too_long], give_up(Code::UpstreamClosed)),
    ("a GOAWAY turns the request away for the 21st time, or as a connection's first request for the third time",
        GOAWAY, &[Given::shared, Given::often_unprocessed], FREE),
    ("a GOAWAY turns the request away as often, and there is no other endpoint",
        GOAWAY, &[Given::shared, Given::often_unprocessed, Given::only], repeat(25, false)),
    ("the endpoint refuses the stream",
        Unprocessed(RefusedStream), &[Given::shared], FREE),
    ("the endpoint refuses the stream of a `POST`",
        Unprocessed(RefusedStream), &[Given::shared, Given::post], FREE),
    ("the endpoint refuses the stream and the budget is spent",
        Unprocessed(RefusedStream), &[Given::shared, Given::spent], FREE),
    ("the only endpoint refuses the stream",
        Unprocessed(RefusedStream), &[Given::shared, Given::only], repeat(25, false)),
    ("the endpoint refuses the stream and the body is larger than `max_body`",
        Unprocessed(RefusedStream), &[Given::shared, Given::too_long], give_up(Code::UpstreamClosed)),
    ("the endpoint refuses the stream and `on` does not list `connect`",
        Unprocessed(RefusedStream), &[Given::shared, Given::on_reset], give_up(Code::UpstreamClosed)),
    ("the endpoint refuses the stream and this was the last of `attempts`",
        Unprocessed(RefusedStream), &[Given::shared, Given::last], give_up(Code::UpstreamClosed)),
];

#[rustfmt::skip]
const CLOSED_EARLY: &[Case] = &[
    ("a new connection ends before an answer",
        CLOSED, &[], ELSEWHERE),
    ("a new connection ends before an answer, for the second time, and `attempts` is 3",
        CLOSED, &[Given::second_of_three], ELSEWHERE),
    ("a new connection ends before the answer to a `POST`",
        CLOSED, &[Given::post], give_up(Code::UpstreamClosed)),
    ("a new connection ends before the answer to a `PUT` whose body is larger than `max_body`",
        CLOSED, &[Given::too_long], give_up(Code::UpstreamClosed)),
    ("a new connection ends before the answer to a request for an upgrade",
        CLOSED, &[Given::upgrade], give_up(Code::UpstreamClosed)),
    ("a new connection ends before an answer and `on` does not list `reset`",
        CLOSED, &[Given::on_connect], give_up(Code::UpstreamClosed)),
    ("a new connection ends before an answer and the budget is spent",
        CLOSED, &[Given::spent], give_up(Code::UpstreamClosed)),
    ("a new connection ends before an answer and this was the last of `attempts`",
        CLOSED, &[Given::last], give_up(Code::UpstreamClosed)),
    ("a new connection ends before an answer and no time is left",
        CLOSED, &[Given::late], give_up(Code::UpstreamClosed)),
    ("a new connection to the only endpoint ends before an answer",
        CLOSED, &[Given::only], repeat(25, true)),
    ("a new connection to the only endpoint ends before an answer and the wait is longer than the time that is left",
        CLOSED, &[Given::only, Given::nearly_late], give_up(Code::UpstreamClosed)),
    ("the only endpoint resets one stream of an HTTP/2 connection",
        Closed(Stream), &[Given::only, Given::shared], repeat(25, false)),
];

#[rustfmt::skip]
const SLOW: &[Case] = &[
    ("`try_timeout` passes",
        TryTimeout, &[Given::try_timeout], ELSEWHERE),
    ("`try_timeout` passes for a `POST`",
        TryTimeout, &[Given::try_timeout, Given::post], KEEP_WAITING),
    ("`try_timeout` passes for a `PUT` whose body is larger than `max_body`",
        TryTimeout, &[Given::try_timeout, Given::too_long], KEEP_WAITING),
    ("`try_timeout` passes for a request for an upgrade",
        TryTimeout, &[Given::try_timeout, Given::upgrade], KEEP_WAITING),
    ("`try_timeout` passes and the budget is spent",
        TryTimeout, &[Given::try_timeout, Given::spent], KEEP_WAITING),
    ("`try_timeout` passes in the last of `attempts`",
        TryTimeout, &[Given::try_timeout, Given::last], KEEP_WAITING),
    ("`try_timeout` passes and the last result of every other endpoint was a fault",
        TryTimeout, &[Given::try_timeout, Given::all_tried], KEEP_WAITING),
    ("`try_timeout` passes for the only endpoint",
        TryTimeout, &[Given::try_timeout, Given::only], repeat(0, true)),
    ("`try_timeout` passes for the only endpoint, over HTTP/2",
        TryTimeout, &[Given::try_timeout, Given::only, Given::shared], repeat(0, false)),
    ("`first_byte_timeout`, which all attempts share, passes",
        TimedOut, &[Given::on_timeout, Given::late], give_up(Code::FirstByteTimeout)),
    ("the endpoint reads nothing of a `PUT`'s body for `idle_timeout` and `on` lists `timeout`",
        TimedOut, &[Given::on_timeout], ELSEWHERE),
    ("the endpoint reads nothing of a `PUT`'s body for `idle_timeout` and `try_timeout` is set",
        TimedOut, &[Given::try_timeout], ELSEWHERE),
    ("the endpoint reads nothing of a `PUT`'s body for `idle_timeout` and neither is set",
        TimedOut, &[], give_up(Code::FirstByteTimeout)),
    ("the endpoint reads nothing of a `POST`'s body for `idle_timeout` and `on` lists `timeout`",
        TimedOut, &[Given::on_timeout, Given::post], give_up(Code::FirstByteTimeout)),
];

#[rustfmt::skip]
const ANSWERED: &[Case] = &[
    ("the endpoint answers 200",
        Answered(200), &[Given::on_503], ANSWER),
    ("the endpoint answers 503 and `statuses` does not list it",
        Answered(503), &[], ANSWER),
    ("the endpoint answers 503 and `statuses` lists it",
        Answered(503), &[Given::on_503], ELSEWHERE),
    ("the endpoint answers 502 and `statuses` is `\"500-599\"`",
        Answered(502), &[Given::on_5xx], ELSEWHERE),
    ("the endpoint answers a `POST` with a listed status",
        Answered(503), &[Given::on_503, Given::post], ANSWER),
    ("the endpoint answers a `PUT` whose body is larger than `max_body` with a listed status",
        Answered(503), &[Given::on_503, Given::too_long], ANSWER),
    ("the endpoint answers a request for an upgrade with a listed status",
        Answered(503), &[Given::on_503, Given::upgrade], ANSWER),
    ("the endpoint answers with a listed status in the last of `attempts`",
        Answered(503), &[Given::on_503, Given::last], ANSWER),
    ("the endpoint answers with a listed status and the budget is spent",
        Answered(503), &[Given::on_503, Given::spent], ANSWER),
    ("the endpoint answers with a listed status and no time is left",
        Answered(503), &[Given::on_503, Given::late], ANSWER),
    ("the only endpoint answers with a listed status",
        Answered(503), &[Given::on_503, Given::only], repeat(25, true)),
    ("the only endpoint answers with a listed status and the wait is longer than the time that is left",
        Answered(503), &[Given::on_503, Given::only, Given::nearly_late], ANSWER),
];

#[rustfmt::skip]
const OTHERS: &[Case] = &[
    ("`drain_timeout` of an endpoint that leaves passes",
        Left, &[], ELSEWHERE),
    ("`drain_timeout` of an endpoint that leaves passes for a `POST`",
        Left, &[Given::post], give_up(Code::EndpointLeft)),
    ("`drain_timeout` of an endpoint that leaves passes and `on` does not list `reset`",
        Left, &[Given::on_connect], give_up(Code::EndpointLeft)),
    ("`drain_timeout` of the only endpoint passes",
        Left, &[Given::only], give_up(Code::EndpointLeft)),
    ("the answer is not valid HTTP, or its head is larger than `max_head`",
        Failed(Code::UpstreamProtocol), &[], give_up(Code::UpstreamProtocol)),
    ("`total_timeout` passes before an answer",
        Failed(Code::TotalTimeout), &[], give_up(Code::TotalTimeout)),
    ("the deadline of a gRPC call passes before an answer",
        Failed(Code::DeadlineExceeded), &[], give_up(Code::DeadlineExceeded)),
    ("the request's body turns out to be larger than the route's limit",
        Failed(Code::BodyTooLarge), &[], give_up(Code::BodyTooLarge)),
];
