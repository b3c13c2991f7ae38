//! The filters, tests and functions that templates can use: only those that shape data, to keep the component small.

use minijinja::value::Kwargs;
use minijinja::{Environment, Error, ErrorKind, State, Value, filters, functions, tests};

/// The functions.
pub const FUNCTIONS: [&str; 1] = ["range"];

pub fn teach(environment: &mut Environment<'static>) {
    environment.add_filter("default", filters::default);
    environment.add_filter("first", filters::first);
    environment.add_filter("float", filters::float);
    environment.add_filter("int", int);
    environment.add_filter("items", filters::items);
    environment.add_filter("join", filters::join);
    environment.add_filter("last", filters::last);
    environment.add_filter("length", filters::length);
    environment.add_filter("list", filters::list);
    environment.add_filter("lower", filters::lower);
    environment.add_filter("replace", filters::replace);
    environment.add_filter("round", filters::round);
    environment.add_filter("safe", filters::safe);
    environment.add_filter("sort", filters::sort);
    environment.add_filter("split", filters::split);
    environment.add_filter("string", filters::string);
    environment.add_filter("trim", filters::trim);
    environment.add_filter("upper", filters::upper);
    environment.add_test("defined", tests::is_defined);
    environment.add_test("mapping", tests::is_mapping);
    environment.add_test("none", tests::is_none);
    environment.add_test("number", tests::is_number);
    environment.add_test("sequence", tests::is_sequence);
    environment.add_test("string", tests::is_string);
    environment.add_function("range", functions::range);
}

/// Like minijinja's, but a decimal number that does not fit into an integer is an error, and not the largest integer.
fn int(
    state: &State<'_, '_>,
    value: &Value,
    default: Option<Value>,
    base: Option<u32>,
    kwargs: Kwargs,
) -> Result<Value, Error> {
    let base_is_ten = match base {
        Some(base) => base == 10,
        None => kwargs.get::<Option<u32>>("base")?.unwrap_or(10) == 10,
    };
    let number = match value.as_str() {
        // minijinja parses text as an integer first.
        Some(text) if !base_is_ten || text.trim().parse::<i128>().is_ok() => None,
        Some(text) => text.parse::<f64>().ok(),
        None => f64::try_from(value.clone()).ok(),
    };
    // A signed integer of 128 bits.
    let fits = |number: f64| number.abs() < 2_f64.powi(127);
    if number.is_none_or(fits) {
        return filters::int(state, value, default, base, kwargs);
    }
    let default = match default {
        Some(default) => Some(default),
        None => kwargs.get("default")?,
    };
    default.ok_or_else(|| Error::new(ErrorKind::InvalidOperation, "the number is too large"))
}
