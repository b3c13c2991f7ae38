//! Tests of body templates.

use super::*;

fn parse(source: &str) -> Result<Program, String> {
    let id = Template::parse("${path.id}", crate::template::Side::Request);
    Program::parse(source, vec![("id".to_owned(), id.expect("a template"))])
}

fn program(source: &str) -> Program {
    parse(source).expect("a good template")
}

fn render(source: &str, body: &str) -> Result<String, Fault> {
    let values = [("id".to_owned(), "a \"b\"\n".to_owned())];
    program(source).render(body, BTreeMap::from(values))
}

fn made(source: &str, body: &str) -> String {
    render(source, body).expect("the template makes JSON")
}

#[test]
fn every_value_is_written_as_json() {
    let body =
        r#"{"s":"q\"\u00e9\n","n":1,"f":1.5,"t":true,"z":null,"l":[1, 2],"o":{"b":1, "a":2}}"#;
    for (source, expected) in [
        ("{{ id }}", r#""a \"b\"\n""#),
        ("{{ body.s }}", "\"q\\\"\u{e9}\\n\""),
        (
            "[{{ body.n }},{{ body.f }},{{ body.t }},{{ body.z }}]",
            "[1,1.5,true,null]",
        ),
        ("{{ body.l }}", "[1, 2]"),
        ("{{ body.o }}", r#"{"b":1, "a":2}"#),
        ("{{ body }}", body),
        ("{{ body.absent.deeper[3] }}", "null"),
        (
            "{{ [body.l, {'k': id}, 2 * body.f] }}",
            r#"[[1, 2],{"k":"a \"b\"\n"},3.0]"#,
        ),
        ("{{ body.n + 1 }}", "2"),
        ("{{ body.s ~ '-' ~ body.n }}", "\"q\\\"\u{e9}\\n-1\""),
        ("{{ '{\"raw\": 1}' | safe }}", r#"{"raw": 1}"#),
        (
            "[{% for name in body.o %}{{ name }}{% if not loop.last %},{% endif %}{% endfor %}]",
            r#"["b","a"]"#,
        ),
        ("{{ body.l | length }}", "2"),
        ("{{ body.l[1] }}", "2"),
        ("{% if 'a' in body.o %}1{% else %}2{% endif %}", "1"),
        ("{# nothing #} {{ body['o']['a'] }} ", "2"),
    ] {
        assert_eq!(made(source, body), expected, "{source}");
    }
}

#[test]
fn a_number_of_the_body_keeps_its_digits() {
    for number in [
        "12345678901234567890123",
        "-18446744073709551617",
        "1e400",
        "0.12345678901234567890",
        "-0",
        "18446744073709551615",
        "9007199254740993",
    ] {
        assert_eq!(made("{{ body.n }}", &format!("{{\"n\":{number}}}")), number);
        let sum = render("{{ body.n * 2.5 }}", &format!("{{\"n\":{number}}}"));
        assert!(!matches!(sum, Err(Fault::Template(_))), "{number} {sum:?}");
    }
    assert_eq!(made("{{ body[0] * 2 }}", "[1.25]"), "2.5");
    assert_eq!(made("{{ body[0] }}", "[1.50e3]"), "1500.0");
}

#[test]
fn of_members_of_one_name_the_last_counts() {
    let body = r#"{"a":1,"b":2,"\u0061":3}"#;
    assert_eq!(made("{{ body.a }}", body), "3");
    assert_eq!(made("{{ body | list }}", body), r#"["b","a"]"#);
}

#[test]
fn a_text_of_the_client_s_ends_no_string() {
    let body = r#"{"s":"\",\"admin\":true,\"x\":\"","half":"\ud800"}"#;
    let text = made("{\"s\": {{ body.s }}, \"half\": {{ body.half }}}", body);
    let value: serde_json::Value = serde_json::from_str(&text).expect("it is JSON");
    assert_eq!(value["s"], "\",\"admin\":true,\"x\":\"");
    assert_eq!(value.as_object().map(serde_json::Map::len), Some(2));
}

#[test]
fn a_template_that_runs_away_runs_out_of_fuel() {
    for source in [
        "{% for a in range(100000) %}{% for b in range(100000) %}{% endfor %}{% endfor %}1",
        "{% for a in range(100000) %}{% set x = a * a %}{% endfor %}1",
        "{{ 'a' * 1000000000 }}",
        "{% for a in range(60000) %}{{ body }}{% endfor %}",
        "{% set a = [body] * 999 %}{% set b = [a] * 999 %}{% set c = [b] * 999 %}{{ [c] * 999 }}",
        "{{ range(100000) | list | sort | join(',') | length }}{{ [range(100000)] * 9 }}",
    ] {
        let body = format!("\"{}\"", "a".repeat(200));
        let fault = render(source, &body);
        let Err(Fault::Value(why)) = &fault else {
            panic!("{source}: {fault:?}")
        };
        assert!(why.contains("ran out of fuel"), "{source}: {why}");
    }
}

#[test]
fn a_long_body_has_the_fuel_that_a_look_at_all_of_it_takes() {
    let source =
        "[{% for line in body %}{% for part in line %}{{ part }},{% endfor %}{% endfor %}0]";
    let line = format!("[1{}]", ",1".repeat(9_999));
    let body = format!("[{}]", [line.as_str(); 12].join(","));
    let made = made(source, &body);
    assert_eq!(made.matches('1').count(), 120_000);
}

#[test]
fn a_template_goes_only_so_deep() {
    let source = "{% for a in [1] recursive %}{{ loop([1]) }}{% endfor %}";
    let fault = render(source, "1").expect_err("too deep");
    let (Fault::Value(why) | Fault::Template(why)) = fault;
    assert!(why.contains("recursion limit"), "{why}");
    let deep = "[".repeat(1000) + &"]".repeat(1000);
    assert!(Program::parse(&format!("{{{{ {deep} }}}}"), Vec::new()).is_err());
    let body = "[".repeat(128) + &"]".repeat(128);
    assert_eq!(made("{{ body[0] }}", &body).len(), 254);
}

#[test]
fn a_value_of_too_many_parts_is_not_looked_at() {
    let body = format!("{{\"a\":[1{}],\"b\":1}}", ",1".repeat(10_000));
    assert_eq!(made("{{ body.b }}", &body), "1");
    assert_eq!(made("{{ body }}", &body), body);
    for source in [
        "{{ body.a }}",
        "{{ body.a[0] }}",
        "{% for a in body.a %}{% endfor %}1",
    ] {
        let fault = render(source, &body);
        assert!(
            matches!(&fault, Err(Fault::Value(why)) if why.contains("more than 10000")),
            "{source} {fault:?}"
        );
    }
}

#[test]
fn values_that_do_not_fit_are_told_from_a_template_that_is_wrong() {
    let fault = render("[{% for a in body.n %}{{ a }}{% endfor %}]", r#"{"n":1}"#);
    assert!(
        matches!(&fault, Err(Fault::Value(why)) if why.starts_with("line 1")),
        "{fault:?}"
    );
    let fault = render("{\n\"a\": \"{{ body.n }}\" }", r#"{"n":"x"}"#);
    let Err(Fault::Template(why)) = fault else {
        panic!("{fault:?}")
    };
    assert!(why.contains("makes no JSON"), "{why}");
}

#[test]
fn a_template_that_cannot_be_read_is_refused_with_its_line() {
    for (source, line) in [
        ("{\n\n\"a\": {{ body. }} }", "line 3"),
        ("{% if 1 %}", "line 1"),
        ("1\n{{ body | nothing }}", "line 2"),
        ("{{ nothing() }}", "line 1"),
        ("{{ 1 is nothing }}", "line 1"),
        ("{% include 'other' %}", "line 1"),
        ("{% macro a() %}{% endmacro %}", "line 1"),
    ] {
        let complaint = Program::parse(source, Vec::new()).expect_err(source);
        assert!(complaint.starts_with(line), "{source}: {complaint}");
    }
}

#[test]
fn a_name_that_stands_for_nothing_is_refused_with_its_line() {
    for (source, told) in [
        (
            "{{ bod }}",
            "line 1 of the template: `bod` stands for nothing: there are `body`, `id` and",
        ),
        (
            "{\n\"a\": {{ idd | default('x') }} }",
            "line 2 of the template: `idd` stands",
        ),
        ("{% if bodies.a %}1{% else %}2{% endif %}", "`bodies`"),
        ("[{% for x in body %}{{ x }}{% endfor %}{{ x }}]", "`x`"),
        (
            "[{{ one }},\n{{ two.three }}]",
            "line 1 of the template: `one` stands for nothing, line 2 of the template: `two` stands",
        ),
    ] {
        let complaint = parse(source).expect_err(source);
        assert!(complaint.contains(told), "{source}: {complaint}");
    }
    for source in [
        "{{ [body, id, range(3), true, none] }}",
        "{% set a = body.b %}{{ a }}",
        "{% if body.b %}{% set a = 1 %}{% else %}{%- set a, c = [2, 3] %}{% endif %}{{ [a, c] }}",
        "{% set a %}{{ id }}{% endset %}{{ a }}",
        "[{% for a, b in body | items %}{{ loop.index }},{{ [a, b] }},{% endfor %}0]",
        "{% with a = body %}{{ a }}{% endwith %}",
        "{{ 'bod' }}{# bod #}",
    ] {
        parse(source).expect(source);
    }
}

#[test]
fn a_body_of_which_a_template_makes_nothing_does_not_fit_it() {
    let source = "{% if body.kind == 'order' %}{{ body }}{% endif %}";
    let body = r#"{"kind":"order"}"#;
    assert_eq!(made(source, body), body);
    for other in [r#"{"kind":"other"}"#, "{}", "[]"] {
        let fault = render(&format!("\n {source} "), other);
        assert!(
            matches!(&fault, Err(Fault::Value(why)) if why.contains("makes nothing")),
            "{fault:?}"
        );
    }
}

#[test]
fn a_number_that_no_integer_holds_is_an_error_or_the_default() {
    let nines = "9".repeat(400);
    for number in [
        format!("\"{nines}\""),
        "\"1e300\"".to_owned(),
        "\"nan\"".to_owned(),
        "1e200".to_owned(),
    ] {
        let fault = render("{{ body | int }}", &number);
        assert!(
            matches!(&fault, Err(Fault::Value(why)) if why.contains("too large")),
            "{number} {fault:?}"
        );
        assert_eq!(made("{{ body | int(default=7) }}", &number), "7");
        assert_eq!(made("{{ body | int(7) }}", &number), "7");
    }
    assert_eq!(made("{{ body | int }}", "\"-12\""), "-12");
    assert_eq!(made("{{ body | int }}", "1.9"), "1");
    assert_eq!(made("{{ body | int(base=16) }}", "\"0xff\""), "255");
    assert_eq!(made("{{ body | int(base=16) }}", "\"1e99\""), "7833");
    let largest = i128::MAX.to_string();
    assert_eq!(made("{{ body | int }}", &format!("\"{largest}\"")), largest);
    assert_eq!(made("{{ body | int }}", "true"), "1");
}
