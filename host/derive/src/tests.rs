//! Which annotations are taken, and what is said of others.

use proc_macro2::TokenStream;
use syn::DeriveInput;

use crate::{table, word};

/// The code that a struct's fields become, without spaces.
fn table(fields: &str) -> Result<String, String> {
    made(table::expand, &format!("struct Log {{ {fields} }}"))
}

fn made(make: fn(&DeriveInput) -> syn::Result<TokenStream>, text: &str) -> Result<String, String> {
    let input = syn::parse_str(text).unwrap();
    let code = make(&input).map_err(|error| error.to_string())?;
    Ok(code.to_string().replace(' ', ""))
}

#[test]
fn one_field_makes_the_reader_and_the_reference() {
    let code = table(
        r#"/// How often.
        /// In all.
        #[key(default = "10s", within = "50ms"..="1h", synonyms = "period")]
        interval: Duration"#,
    );
    let code = code.unwrap();
    for part in [
        r#"key:"interval""#,
        r#"doc:"Howoften.Inall.""#,
        "<Durationascrate::config::field::FromValue>::KIND.within(50u64,3600000u64)",
        r#"Absence::Default("\"10s\"")"#,
        r#"synonyms:"period""#,
        "letinterval=crate::config::field::Field{",
        ".take(table);",
        "interval:interval?.into()",
    ] {
        assert!(code.contains(part), "{part} is not in {code}");
    }
}

#[test]
fn the_type_and_the_absence_decide_what_becomes_of_a_value() {
    for (field, part) in [
        (
            "#[key(absent = \"no\")] a: Option<u32>",
            "a:a.map(::core::convert::Into::into)",
        ),
        ("#[key(absent = \"no\")] a: u32", ".unwrap_or_default()"),
        ("#[key(required = 5)] a: u32", "a:a?.into()"),
        (
            "#[key(required = 5, instead = zero)] a: u32",
            "a:a.map_or_else(zero,::core::convert::Into::into)",
        ),
        (
            "#[key(default = \"none\")] a: Option<Duration>",
            "<Option<Duration>as",
        ),
        (
            "#[key(default = 1, within = 1..=MOST)] a: u32",
            "within((1)asu64,(MOST)asu64)",
        ),
        (
            "#[key(default = \"1B\", within = \"1B\"..=\"1KiB\")] a: u64",
            "FromSize>::KIND.within(1u64,1024u64)",
        ),
        (
            "#[key(absent = \"no\", each = PATH, least = 1, repeats)] a: Vec<String>",
            "List{of:PATH,least:1,repeats:true}",
        ),
        (
            "#[key(absent = \"no\", entries = Keys)] a: Vec<u32>",
            "Tables::of::<Keys>(0,\"\")",
        ),
        (
            "#[key(absent = \"no\", named)] a: Vec<Log>",
            "Named::of::<Log>()",
        ),
    ] {
        let code = table(&format!("/// A key.\n {field}")).unwrap();
        assert!(code.contains(part), "{part} is not in {code}");
    }
}

#[test]
fn a_field_without_a_key_is_filled_from_the_table() {
    for (field, part) in [
        (
            "#[key(with = Table::span)] a: Span",
            "a:(Table::span)(table)",
        ),
        (
            "#[key(span_of = \"path\")] a: Span",
            "a:table.span_of(\"path\")",
        ),
        (
            "#[key(skip)] a: bool",
            "a:::core::default::Default::default()",
        ),
        (
            "#[key(flatten)] a: Cookie",
            "<Cookieascrate::config::field::FromTable>::read(table)",
        ),
    ] {
        let code = table(field).unwrap();
        assert!(code.contains(part), "{part} is not in {code}");
        assert!(!code.contains("Absence"), "{code}");
    }
}

#[test]
fn a_field_that_says_too_little_or_too_much_is_refused() {
    for (field, said) in [
        (
            "/// A key.\n a: u32",
            "say `default`, `absent` or `required`",
        ),
        ("#[key(default = 1)] a: u32", "a key needs a doc comment"),
        (
            "/// A key.\n #[key(default = 1, defualt = 2)] a: u32",
            "`defualt` does not belong here",
        ),
        (
            "/// A key.\n #[key(default = 1, default = 2)] a: u32",
            "is here twice",
        ),
        (
            "/// A key.\n #[key(default = 'x')] a: u32",
            "no value of TOML",
        ),
        (
            "/// A key.\n #[key(default = 1, within = \"1d\"..=\"2d\")] a: u32",
            "wanted a duration or a size",
        ),
    ] {
        let error = table(field).unwrap_err();
        assert!(error.contains(said), "{said}: {error}");
    }
    let error = made(table::expand, "enum Log { A }").unwrap_err();
    assert!(error.contains("a struct with named fields"), "{error}");
}

#[test]
fn words_are_the_variants_with_hyphens() {
    let code = made(
        word::expand,
        r#"enum Policy { RoundRobin, #[word("EdDSA")] EdDsa }"#,
    );
    let code = code.unwrap();
    assert!(
        code.contains(r#"("round-robin",Self::RoundRobin)"#),
        "{code}"
    );
    assert!(code.contains(r#"("EdDSA",Self::EdDsa)"#), "{code}");
    let code = made(
        word::expand,
        r#"#[word(snake, prefix = "key_")] enum Reject { OutOfReach }"#,
    );
    let code = code.unwrap();
    assert!(
        code.contains(r#"Self::OutOfReach=>"key_out_of_reach""#),
        "{code}"
    );
    let code = made(word::expand, "#[word(upper)] enum Algorithm { Rs256 }").unwrap();
    assert!(code.contains(r#"Self::Rs256=>"RS256""#), "{code}");
    let error = made(word::expand, "enum Policy { A(u8) }").unwrap_err();
    assert!(error.contains("a word has no fields"), "{error}");
}

#[test]
fn hints_stand_beside_the_words_that_they_are_for() {
    let code = made(
        word::expand,
        r#"#[hint("h1 http" => "write `http1`")] enum Protocol { Http1 }"#,
    );
    let code = code.unwrap();
    assert!(
        code.contains(r#"HINTS:&'static[(&'staticstr,&'staticstr)]=&[("h1http","write`http1`")]"#),
        "{code}"
    );
}
