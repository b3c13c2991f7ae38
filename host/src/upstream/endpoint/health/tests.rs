//! How an endpoint stands after what was told of it.

use proptest::prelude::*;

use super::*;

use crate::runtime::clock::Timestamp;

const COUNTS: CheckThresholds = CheckThresholds { rise: 2, fall: 3 };
const BACKOFF: Backoff = Backoff {
    first: Duration::from_secs(10),
    longest: Duration::from_secs(60),
};
const NO_RAMP: Option<Duration> = None;

fn at(seconds: u64) -> Timestamp {
    Timestamp {
        wall_ms: 1_700_000_000_000 + seconds * 1000,
        monotonic_ns: seconds * 1_000_000_000,
    }
}

#[test]
fn the_first_check_decides_alone_and_later_ones_by_counts() {
    let mut health = Health::default();
    assert_eq!(
        health.share(NO_RAMP, at(0)),
        WHOLE_SHARE,
        "used until it is asked"
    );
    let change = health
        .record_check(Err("refused".to_owned()), COUNTS, at(1))
        .unwrap();
    assert_eq!(
        (change.from, change.to),
        (EndpointHealth::Healthy, EndpointHealth::Unhealthy)
    );
    assert_eq!(change.reason, "refused");
    assert_eq!(health.share(NO_RAMP, at(1)), 0);
    assert!(health.record_check(Ok(()), COUNTS, at(2)).is_none());
    assert!(
        health
            .record_check(Err("refused".to_owned()), COUNTS, at(3))
            .is_none()
    );
    assert!(
        health.record_check(Ok(()), COUNTS, at(4)).is_none(),
        "in a row"
    );
    assert!(health.record_check(Ok(()), COUNTS, at(5)).is_some());
    assert_eq!(health.share(NO_RAMP, at(5)), WHOLE_SHARE);
    for second in 6..8 {
        assert!(
            health
                .record_check(Err("late".to_owned()), COUNTS, at(second))
                .is_none()
        );
    }
    assert!(
        health
            .record_check(Err("late".to_owned()), COUNTS, at(8))
            .is_some()
    );
    assert_eq!(health.history().len(), 3);
}

#[test]
fn each_ejection_is_longer_until_it_is_long_past() {
    let mut health = Health::default();
    let mut now = 0;
    let mut lengths = Vec::new();
    for _ in 0..5 {
        assert!(
            health
                .eject("5 faults in a row", BACKOFF, at(now))
                .is_some()
        );
        assert!(
            health
                .eject("5 faults in a row", BACKOFF, at(now))
                .is_none()
        );
        let begin = now;
        while health.is_ejected() {
            now += 1;
            health.tick(NO_RAMP, at(now));
        }
        lengths.push(now - begin);
    }
    assert_eq!(lengths, [10, 20, 40, 60, 60]);
    assert!(health.eject("again", BACKOFF, at(now + 60)).is_some());
    health.tick(NO_RAMP, at(now + 70));
    assert!(!health.is_ejected(), "the earlier ones are forgotten");
}

#[test]
fn a_share_grows_evenly_after_it_was_away() {
    let ramp = Some(Duration::from_secs(10));
    let mut health = Health::joining(at(0));
    assert_eq!(health.state(ramp, at(0)), EndpointHealth::Starting);
    assert_eq!(health.share(ramp, at(0)), 100);
    assert_eq!(health.share(ramp, at(5)), 500);
    assert_eq!(health.share(ramp, at(10)), WHOLE_SHARE);
    health.tick(ramp, at(10));
    health.drain(true, at(20));
    assert_eq!(
        (health.share(ramp, at(20)), health.is_last_resort()),
        (0, false)
    );
    health.drain(false, at(30));
    assert_eq!(health.share(ramp, at(33)), 300);
    assert_eq!(health.share(NO_RAMP, at(33)), WHOLE_SHARE);
}

#[test]
fn an_unhealthy_endpoint_stays_so_when_its_time_out_ends() {
    let mut health = Health::default();
    health.eject("faults", BACKOFF, at(0));
    health.record_check(Err("refused".to_owned()), COUNTS, at(1));
    let change = health.tick(NO_RAMP, at(11)).unwrap();
    assert_eq!(change.to, EndpointHealth::Unhealthy);
    assert!(health.clear_checks(at(12)).is_some());
    assert_eq!(health.state(NO_RAMP, at(12)), EndpointHealth::Healthy);
}

/// A report about an endpoint.
#[derive(Debug, Clone)]
enum ReportedStates {
    Checked(bool),
    Eject,
    Drain(bool),
    Pass,
}

proptest! {
    /// Whatever is told: a change is reported exactly when the state differs from the one reported
    /// last, the history is bounded, and only what is available has a share.
    #[test]
    fn changes_are_told_once(
        told in prop::collection::vec(
            prop_oneof![
                any::<bool>().prop_map(ReportedStates::Checked),
                Just(ReportedStates::Eject),
                any::<bool>().prop_map(ReportedStates::Drain),
                Just(ReportedStates::Pass),
            ],
            0..200,
        )
    ) {
        let mut health = Health::default();
        let mut last = EndpointHealth::Healthy;
        for (second, told) in told.into_iter().enumerate() {
            let now = at(second as u64 * 3);
            let change = match told {
                ReportedStates::Checked(true) => health.record_check(Ok(()), COUNTS, now),
                ReportedStates::Checked(false) => health.record_check(Err("bad".to_owned()), COUNTS, now),
                ReportedStates::Eject => health.eject("faults", BACKOFF, now),
                ReportedStates::Drain(drained) => health.drain(drained, now),
                ReportedStates::Pass => health.tick(NO_RAMP, now),
            };
            let state = health.state(NO_RAMP, now);
            prop_assert_eq!(change.is_some(), state != last);
            if let Some(change) = change {
                prop_assert_eq!((change.from, change.to), (last, state));
            }
            prop_assert_eq!(health.share(NO_RAMP, now) > 0, state.is_available());
            prop_assert!(health.history().len() <= HISTORY);
            last = state;
        }
    }
}
