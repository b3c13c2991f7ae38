//! The log says where a filter failed: the function, the file and the line of its source if the component has them,
//! what it wrote before, and the request.

use windlass_tests::{Gateway, Upstream};

use crate::forge;
use crate::stage::Stage;

/// A gateway with a forged filter on `/act`.
fn gateway(on_request: &str, upstream: &Upstream) -> Gateway {
    let component = forge::filter_with_lines(on_request);
    Stage::new()
        .upstream("main", upstream.address())
        .filter("forged", &component, "limits = { cpu = \"20ms\" }")
        .route("/act", &["forged"])
        .lines("[log]\nlevel = \"debug\"")
        .start()
}

/// The line of the text that the forge makes, in which this is.
fn failure(on_request: &str, kind: &str) -> String {
    let upstream = Upstream::text("well");
    let gateway = gateway(on_request, &upstream);
    let answer = gateway.get("/act");
    assert_eq!(answer.status, 500, "{}", answer.text());
    let line = gateway.log().wait_for_line(|line| line.contains(kind));
    let id = answer.header("x-request-id").unwrap();
    assert!(line.contains(&format!("request={id}")), "{line}");
    // The whole stack is at debug, with the same request.
    gateway
        .log()
        .wait_for_line(|line| line.contains("DEBUG") && line.contains("the stack of filter"));
    line
}

#[test]
fn a_trap_names_the_line_of_the_source() {
    let line = failure("\n\n(unreachable) (nop) (nop)", "trapped");
    assert!(line.contains("; it was in `on_request` at "), "{line}");
    assert!(line.contains("forged.wat:12"), "{line}");
}

#[test]
fn a_passed_deadline_names_the_line_of_the_source() {
    let line = failure("\n\n(loop (br 0))", "CPU time");
    assert!(line.contains("raise `limits.cpu`"), "{line}");
    assert!(line.contains("; it was in `on_request` at "), "{line}");
    assert!(line.contains("forged.wat:12"), "{line}");
}

#[test]
fn the_text_of_a_panic_is_in_the_line_about_the_trap_with_the_request() {
    let upstream = Upstream::text("well");
    let gateway = Stage::of_one_actor(&upstream, r#"settings = { request = ["panic"] }"#).start();
    let answer = gateway.get("/act");
    assert_eq!(answer.status, 500);
    let id = answer.header("x-request-id").unwrap();
    let line = gateway
        .log()
        .wait_for_line(|line| line.contains("filter `actor`: trapped"));
    for part in [
        "it wrote: ",
        "the actor panics as it was told",
        &format!("request={id}"),
    ] {
        assert!(line.contains(part), "not `{part}` in {line}");
    }
    // The lines of standard error have the request too.
    let own = gateway.log().wait_for_line(|line| line.contains("stderr"));
    assert!(own.contains(&format!("request={id}")), "{own}");
}

#[test]
fn a_line_that_a_request_left_unfinished_is_not_taken_for_the_next_ones() {
    let upstream = Upstream::text("well");
    let settings =
        r#"settings = { when = "x-act", request = [{ print-bytes = [104, 97, 108, 102] }] }"#;
    let gateway = Stage::of_one_actor(&upstream, settings).start();
    let acting = windlass_tests::Request::get("/act").header("x-act", "1");
    let answer = gateway.send(&acting);
    let id = answer.header("x-request-id").unwrap();
    let line = gateway.log().wait_for_line(|line| line.contains(" half "));
    assert!(line.contains(&format!("request={id}")), "{line}");
}
