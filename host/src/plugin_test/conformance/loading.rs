//! A filter's description of itself, wrong settings, and a reload.

use serde_json::{Map, Value as Json, json};

use super::{Kit, Verdict, fault_of};
use crate::plugin_test::filter_host::{Rejected, keep_instance};
use crate::plugin_test::pass::{begin, finish};
use crate::plugin_test::{TestError, lines};

/// How often the base's exchange must end in the same way.
const REPEATS: usize = 6;

pub(super) fn describe(kit: &Kit<'_>) -> Result<Verdict, TestError> {
    let host = kit.host()?;
    let (first, second) = match (host.describe(), host.describe()) {
        (Ok(first), Ok(second)) => (first, second),
        (Err(failure), _) | (_, Err(failure)) => {
            let expected = "a description";
            return Ok(Verdict::failed(expected, failure, lines::take()));
        }
    };
    if first != second {
        return Ok(Verdict::failed(
            "the same description from two instances",
            format!("{first:?}, then {second:?}"),
            lines::take(),
        ));
    }
    if let Some(schema) = &first.settings_schema
        && let Err(error) = serde_json::from_str::<Map<String, Json>>(schema)
    {
        let expected = "a schema of the settings that is a JSON object";
        return Ok(Verdict::failed(expected, error.to_string(), Vec::new()));
    }
    let schema = match &first.settings_schema {
        Some(_) => "with a schema of the settings",
        None => "without a schema of the settings",
    };
    let (name, version) = (&first.name, &first.version);
    Ok(Verdict::passed(format!("{name} {version}, {schema}")))
}

pub(super) fn bad_settings(kit: &Kit<'_>) -> Result<Verdict, TestError> {
    let mut host = kit.host()?;
    lines::take();
    let mut rejected = 0;
    let all = variants(&kit.settings().json);
    let count = all.len();
    for settings in all {
        match host.load_with(settings.clone())? {
            Ok(_) => {}
            Err(Rejected::Settings(_)) => rejected += 1,
            Err(Rejected::Failed(text)) => {
                return Ok(Verdict::failed(
                    format!("settings {settings}: a diagnostic, or none"),
                    text,
                    lines::take(),
                ));
            }
        }
    }
    Ok(Verdict::passed(format!(
        "{count} tables, {rejected} rejected"
    )))
}

/// Tables that are likely to be wrong: made of one that is right.
fn variants(good: &Json) -> Vec<Json> {
    let empty = Map::new();
    let good = good.as_object().unwrap_or(&empty);
    let mut all = vec![json!({})];
    let mut with = |key: &str, value: Option<Json>| {
        let mut table = good.clone();
        match value {
            Some(value) => table.insert(key.to_owned(), value),
            None => table.remove(key),
        };
        all.push(Json::Object(table));
    };
    with("x-conformance", Some(json!(1)));
    for key in good.keys() {
        with(key, None);
        let long = "x".repeat(10_000);
        for value in [
            json!(null),
            json!(true),
            json!(-1),
            json!(1.5e300),
            json!(""),
            json!(long),
            json!([]),
            json!([null, 1, "a", [], {}]),
            json!({}),
            json!({ "x-conformance": [1] }),
        ] {
            with(key, Some(value));
        }
    }
    all
}

pub(super) fn reload(kit: &Kit<'_>) -> Result<Verdict, TestError> {
    let ending = match kit.ending(REPEATS)? {
        Ok(ending) => ending,
        Err(verdict) => return Ok(verdict),
    };
    let host = kit.host()?;
    let old = kit.filter(&host)?;
    let stimulus = kit.stimulus("reload");
    let runtime = &kit.bench.runtime;
    let begun = runtime.block_on(begin(&old, &stimulus, None));
    let begun = begun.map_err(TestError::Input)?;
    // Other bounds make another filter, as another limit in the file does.
    let new = host.load(|bounds| {
        keep_instance(bounds);
        bounds.recycle_calls -= 1;
    })?;
    let new = match new {
        Ok(new) => new,
        Err(rejected) => return Err(TestError::Input(kit.unusable(&rejected))),
    };
    let meanwhile = kit.pass(&new, &stimulus, None)?;
    let before = runtime.block_on(finish(begun));
    drop(old);
    let after = kit.pass(&new, &stimulus, None)?;
    for (what, result) in [
        (
            "in the new configuration, while one runs in the old",
            meanwhile,
        ),
        ("in the old configuration, after one in the new", before),
        ("in the new configuration, after the old is gone", after),
    ] {
        let seen = result.ending();
        if fault_of(&result).is_some() || seen != ending {
            return Ok(Verdict::failed(
                format!("an exchange {what}: {ending}"),
                seen.to_string(),
                result.lines,
            ));
        }
    }
    Ok(Verdict::passed("two configurations at the same time"))
}
