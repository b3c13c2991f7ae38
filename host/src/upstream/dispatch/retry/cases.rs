//! Every case of [`Retry::decide`], one sentence each. docs/explanation/retries.md is made from them.

use std::fmt::Write as _;
use std::path::Path;

use super::ClosedPart::{Connection, Stream};
use super::OutcomeKind::{
    Answered, Closed, Failed, Left, TimedOut, TryTimeout, Unprocessed, Unsent,
};
use super::UnprocessedBy::{GoAway, RefusedStream};
use super::{Code, OutcomeKind, RetryDecision, RetryOn};

mod table;

use table::{Case, Given, SECTIONS};

const BEGIN: &str = "<!-- cases -->\n";
const END: &str = "<!-- /cases -->\n";

/// The decision, as the page says it.
fn words(decision: RetryDecision) -> String {
    match decision {
        RetryDecision::Answer => "passes the answer on".to_owned(),
        RetryDecision::Resend => {
            "sends the request again at once to the same endpoint, over another connection"
                .to_owned()
        }
        RetryDecision::Elsewhere { free: true } => {
            "retries at once on another endpoint, and takes nothing from the budget".to_owned()
        }
        RetryDecision::Elsewhere { free: false } => {
            "retries at once on another endpoint".to_owned()
        }
        RetryDecision::Repeat {
            after,
            new_connection,
        } => {
            let begin = match after.as_millis() {
                0 => "retries at once".to_owned(),
                longest => format!("waits up to {longest} ms, and retries"),
            };
            let over = match new_connection {
                true => "over a new connection",
                false => "over the same connection, if that still works",
            };
            format!("{begin} on an endpoint that it tried before, {over}")
        }
        RetryDecision::KeepWaiting => "goes on waiting for the answer".to_owned(),
        RetryDecision::GiveUp(code) => format!("answers {} `{code}`", code.status().as_u16()),
    }
}

fn page() -> String {
    let mut page = String::new();
    for (title, cases) in SECTIONS {
        write!(page, "\n## {title}\n\n| If | Windlass |\n| --- | --- |\n").unwrap();
        for (when, _, _, decision) in *cases {
            writeln!(page, "| {when} | {} |", words(*decision)).unwrap();
        }
    }
    page.push('\n');
    page
}

#[test]
fn every_case_is_decided_as_its_sentence_says() {
    let cases: Vec<&Case> = SECTIONS.iter().flat_map(|(_, cases)| *cases).collect();
    assert!(cases.len() >= 60, "{} cases", cases.len());
    for (when, outcome, changes, decision) in &cases {
        let mut given = Given::usual();
        changes.iter().for_each(|change| change(&mut given));
        assert_eq!(given.decide(*outcome), *decision, "if {when}");
    }
    let mut sentences: Vec<&str> = cases.iter().map(|(when, ..)| *when).collect();
    sentences.sort_unstable();
    sentences.dedup();
    assert_eq!(sentences.len(), cases.len(), "a sentence is there twice");
}

#[test]
fn the_page_has_every_case() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/explanation/retries.md");
    let text = std::fs::read_to_string(&path).expect("the page");
    let (before, rest) = text.split_once(BEGIN).expect("where the cases begin");
    let (committed, after) = rest.split_once(END).expect("where the cases end");
    let made = page();
    if std::env::var_os("UPDATE_EXPECT").is_some() {
        let text = [before, BEGIN, &made, END, after].concat();
        std::fs::write(&path, text).expect("the page is written");
        return;
    }
    assert_eq!(
        committed, made,
        "UPDATE_EXPECT=1 writes docs/explanation/retries.md anew"
    );
}

/// Each combination of what is given, and each outcome.
fn all() -> impl Iterator<Item = (Given, OutcomeKind)> {
    let outcomes = [
        Answered(503),
        Unsent(Code::ConnectFailed),
        Unprocessed(GoAway),
        Unprocessed(RefusedStream),
        Closed(Connection),
        Closed(Stream),
        Left,
        TimedOut,
        TryTimeout,
        Failed(Code::UpstreamProtocol),
    ];
    (0_u32..1 << 11).flat_map(move |bits| {
        outcomes.into_iter().map(move |outcome| {
            let is_set = |bit: u32| bits & 1 << bit != 0;
            let mut given = Given::usual();
            given.on_503();
            given.rules.on.push(RetryOn::Timeout);
            given.request.idempotent = is_set(0);
            given.request.upgrade = is_set(1);
            given.request.kept = is_set(2);
            given.untried = is_set(3);
            given.budget = is_set(4);
            given.connection.reused = is_set(5);
            given.connection.shared = is_set(6);
            given.connection.fresh = is_set(7);
            if is_set(8) {
                given.only();
            }
            if is_set(9) {
                given.last();
            }
            if is_set(10) {
                given.late();
            }
            (given, outcome)
        })
    })
}

fn sends_again(decision: RetryDecision) -> bool {
    matches!(
        decision,
        RetryDecision::Resend | RetryDecision::Elsewhere { .. } | RetryDecision::Repeat { .. }
    )
}

#[test]
fn rfc9110_9_2_2_what_may_have_been_acted_on_is_sent_again_only_where_it_does_no_harm() {
    for (given, outcome) in all() {
        let unread = matches!(outcome, Unsent(_) | Unprocessed(_));
        if !unread && sends_again(given.decide(outcome)) {
            assert!(given.request.idempotent, "{outcome:?}");
            assert!(given.request.kept, "{outcome:?}");
        }
    }
}

#[test]
fn a_body_that_was_not_kept_goes_out_once_unless_nothing_of_it_was_sent() {
    for (mut given, outcome) in all() {
        given.request.kept = false;
        let again = sends_again(given.decide(outcome));
        assert!(!again || matches!(outcome, Unsent(_)), "{outcome:?}");
    }
}

#[test]
fn an_attempt_after_the_last_never_follows() {
    for (mut given, outcome) in all() {
        given.history.attempts = given.rules.attempts as usize;
        let decision = given.decide(outcome);
        assert!(
            !sends_again(decision) || decision == RetryDecision::Resend,
            "{outcome:?}"
        );
    }
}

#[test]
fn a_spent_budget_pays_for_nothing() {
    for (mut given, outcome) in all() {
        given.budget = false;
        let decision = given.decide(outcome);
        let free = matches!(
            decision,
            RetryDecision::Resend | RetryDecision::Elsewhere { free: true }
        );
        assert!(free || !sends_again(decision), "{outcome:?}");
    }
}

#[test]
fn only_an_attempt_that_another_may_follow_has_a_time_out_of_its_own() {
    for (mut given, _) in all() {
        given.try_timeout();
        if given.retry().try_timeout().is_some() {
            given.untried = true;
            given.budget = true;
            assert!(sends_again(given.decide(TryTimeout)));
        }
    }
}
