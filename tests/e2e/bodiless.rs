//! Responses without content: no field and no byte describes a body that is absent.

use windlass_tests::{Client, Gateway, Reply, Request, Upstream};

use crate::config::{filtered, start, transform};

/// A gateway with one filter, which responds or edits as configured here.
fn with_filter(filter: &str, upstream: &Upstream) -> Gateway {
    start(&[&filtered(&["edit"], upstream.address()), filter])
}

fn actor(settings: &str) -> String {
    let plugin = concat!(env!("OUT_DIR"), "/actor.wasm");
    format!("\n[filter.edit]\nplugin = \"{plugin}\"\nsettings = {settings}\n")
}

/// The status and the framing fields of the response to this method, after another request on the
/// same connection.
fn framing(client: &mut Client, method: &str) -> (u16, Vec<String>) {
    let answer = client.try_send(&Request::new(method, "/")).unwrap();
    assert!(method == "GET" || answer.body.is_empty());
    let names = ["content-length", "transfer-encoding", "trailer"];
    let fields = answer.head.fields.iter();
    let fields = fields.filter(|(name, _)| names.contains(&name.as_str()));
    let fields = fields.map(|(name, value)| format!("{name}: {value}"));
    (answer.status, fields.collect())
}

#[test]
fn rfc9110_8_6_a_status_without_content_has_no_length_whatever_made_it() {
    let upstream = Upstream::with(|request, stream| {
        let body = if request.method == "HEAD" { "" } else { "0123" };
        let head = "HTTP/1.1 200 OK\r\ncontent-length: 4\r\netag: \"one\"\r\n\r\n";
        std::io::Write::write_all(stream, format!("{head}{body}").as_bytes())?;
        Ok(windlass_tests::Then::KeepAlive)
    });
    for status in [204, 304] {
        let edits = [
            transform(
                "edit",
                &format!("{{ response = [{{ op = \"set\", status = {status} }}] }}"),
            ),
            actor(&format!(
                "{{ request = [{{ respond = {{ status = {status}, body = \"four\" }} }}] }}"
            )),
            actor(&format!(
                "{{ response = [{{ respond = {{ status = {status}, body = \"four\" }} }}] }}"
            )),
        ];
        for edit in edits {
            let gateway = with_filter(&edit, &upstream);
            let mut client = gateway.client();
            for method in ["GET", "HEAD", "GET"] {
                let framed = framing(&mut client, method);
                assert_eq!(framed, (status, vec![]), "{method} {edit}");
            }
        }
    }
}

#[test]
fn rfc9110_15_3_6_a_205_says_that_it_has_no_content() {
    let upstream = Upstream::text("0123");
    for edit in [
        transform("edit", "{ response = [{ op = \"set\", status = 205 }] }"),
        actor("{ request = [{ respond = { status = 205, body = \"four\" } }] }"),
    ] {
        let gateway = with_filter(&edit, &upstream);
        let mut client = gateway.client();
        for _ in 0..2 {
            let answer = client.get("/");
            assert_eq!((answer.status, answer.text()), (205, ""), "{edit}");
            assert_eq!(answer.header("content-length"), Some("0"), "{edit}");
        }
    }
}

#[test]
fn rfc9110_9_3_2_head_says_nothing_of_a_body_that_a_filter_edits() {
    let upstream = Upstream::with(|request, stream| {
        let reply = Reply::status(200)
            .header("etag", "\"one\"")
            .header("content-digest", "sha-256=:AAAA:");
        if request.method != "HEAD" {
            return reply.body("0123").write(stream);
        }
        let head = "HTTP/1.1 200 OK\r\netag: \"one\"\r\ncontent-digest: sha-256=:AAAA:\r\ncontent-length: 4\r\n\r\n";
        std::io::Write::write_all(stream, head.as_bytes())?;
        Ok(windlass_tests::Then::KeepAlive)
    });
    for mode in ["\"chunks\"", "{ whole = 1000 }"] {
        let edit = actor(&format!(
            "{{ response = [{mode}], response-body = [{{ append-piece = \"more\" }}] }}"
        ));
        let gateway = with_filter(&edit, &upstream);
        let mut client = gateway.client();
        assert_eq!(client.get("/").text().trim_end_matches("more"), "0123");
        let answer = client.try_send(&Request::new("HEAD", "/")).unwrap();
        assert_eq!(answer.status, 200);
        for name in ["content-length", "etag", "content-digest"] {
            assert_eq!(answer.header(name), None, "{name} {mode}");
        }
    }
    // If no filter asks for the body, a `HEAD` has the same fields as its `GET`.
    let gateway = start(&[&crate::config::all_to(upstream.address())]);
    let answer = gateway.send(&Request::new("HEAD", "/"));
    assert_eq!(answer.header("content-length"), Some("4"));
    assert_eq!(answer.header("etag"), Some("\"one\""));
}

#[test]
fn rfc9110_9_3_2_head_has_the_length_of_an_answer_that_a_filter_makes() {
    let upstream = Upstream::text("0123");
    let edit = actor("{ request = [{ respond = { status = 200, body = \"fourteen bytes\" } }] }");
    let gateway = with_filter(&edit, &upstream);
    let mut client = gateway.client();
    for method in ["GET", "HEAD", "GET"] {
        let framed = framing(&mut client, method);
        assert_eq!(
            framed,
            (200, vec!["content-length: 14".to_owned()]),
            "{method}"
        );
    }
}
