//! Routes that split their requests between upstreams.

use std::collections::BTreeMap;

use windlass_tests::{Gateway, Request, Upstream};

use crate::config::{start, upstream};

fn config(stable: &Upstream, canary: &Upstream, share: u32, more: &str) -> String {
    format!(
        "[[route]]\npath = \"$default\"\n{more}\nsplit = [{{ upstream = \"stable\", weight = {} }}, \
         {{ upstream = \"canary\", weight = {share} }}]\n",
        100 - share
    ) + &upstream("stable", &[stable.address()])
        + &upstream("canary", &[canary.address()])
}

#[test]
fn a_canary_gets_its_share() {
    let (stable, canary) = (
        Upstream::text("stable").counting(),
        Upstream::text("canary").counting(),
    );
    let gateway = start(&[&config(&stable, &canary, 10, "")]);
    let report = gateway.load(Request::get("/")).connections(4).run(20_000);
    assert_eq!(report.status(200), 20_000);
    let share = report.share("canary");
    assert!((0.09..=0.11).contains(&share), "{share}");
}

/// The upstream that each user gets.
fn users(gateway: &Gateway) -> BTreeMap<String, String> {
    let user = |number| {
        let user = format!("user-{number}");
        let answer = gateway.send(&Request::get("/").header("x-user", &*user));
        (user, answer.text().to_owned())
    };
    (0..200).map(user).collect()
}

#[test]
fn a_sender_stays_in_its_group_and_a_larger_share_only_moves_some_over() {
    let (stable, canary) = (Upstream::text("stable"), Upstream::text("canary"));
    let by_user = "split_on = \"header:x-user\"";
    let gateway = start(&[&config(&stable, &canary, 20, by_user)]);
    let before = users(&gateway);
    assert_eq!(before, users(&gateway));
    let count =
        |users: &BTreeMap<String, String>| users.values().filter(|text| *text == "canary").count();
    assert!((20..=60).contains(&count(&before)), "{}", count(&before));
    gateway.reload(config(&stable, &canary, 50, by_user));
    let after = users(&gateway);
    assert!(count(&after) > count(&before));
    for (user, text) in &before {
        assert!(
            text == "stable" || after[user] == "canary",
            "{user} went back"
        );
    }
    gateway.reload(config(&stable, &canary, 0, by_user));
    assert_eq!(count(&users(&gateway)), 0);
}
