//! The derives of the gateway's configuration: one annotated field is one key of `windlass.toml`.
//!
//! From a struct, [`macro@FromTable`] makes the reader of a table, its defaults, its part of the
//! JSON Schema and its rows of the reference page. From an enum, [`macro@Word`] makes a value
//! that is one of several words. The code that they make calls `crate::config::field`, which reads
//! and reports, and `crate::model::word`; nothing is decided here that a test of the gateway could not see.
//!
//! ```ignore
//! /// The gateway's log and the access log.
//! #[derive(FromTable)]
//! #[table(heading = "[log]", check = check)]
//! struct Log {
//!     /// The least severe messages that are written to standard error.
//!     #[key(default = "info", synonyms = "severity")]
//!     level: LogLevel,
//! }
//! ```
//!
//! # A field
//!
//! Its doc comment is the sentence of the reference. Its type picks the kind of value
//! (`FromValue::KIND`). `#[key(..)]` says the rest. Exactly one of these says what holds without
//! the key, or where the value of the field comes from:
//!
//! - `default = "10s"`: this value. It is read as if it stood in the file. A text that begins with
//!   `[` or `{` is a list or a table of TOML, any other a TOML string. A table of keys with defaults
//!   has the default `"{}"`. A field of type `Option<T>` with a default can be `"none"` in the file.
//! - `absent = "no limit"`: nothing; the words say in the reference what that means. The field is
//!   `None`, or the `Default` of its type.
//! - `required = "0.0.0.0:8080"`: the key must be there; this is the example of the error's cure.
//!   With `instead = function`, that function gives the value where it was missing or wrong, so that
//!   the rest of the table can still be checked.
//! - `flatten`: the field's type has keys of its own, which stand in the same table.
//!   `flatten = Keys`: those of the struct `Keys`, whose `into` is the type of the field.
//! - `with = path`: no key; a function of the table gives the value, such as `Table::span`.
//! - `span_of = "path"`: no key; the field is where the value of that key stands.
//! - `skip`: no key; the field begins as its type's `Default`, and `make` fills it.
//!
//! And these say more about a key:
//!
//! - `name = ".."`: its name in the file, where that is not the field's.
//! - `within = 1..=100`, `within = "1ms"..="1h"`, `within = "1KiB"..="1MiB"`: the bounds. Those
//!   with a unit of bytes make a number a size.
//! - `kind = PATH`: how it is read, where the type alone does not say it. `each = PATH`: how each
//!   item of a list is read. A generic kind with a comma in it needs a `const` of its own.
//! - `least = 1`: the fewest items. `repeats`: whether a list may hold the same text twice.
//! - `entries`: an array of tables; `few = ".."` is the cure where it has fewer than `least`.
//!   `entries = Keys` reads each with the struct `Keys`.
//! - `named`: a table of tables with names of the operator's choice.
//! - `synonyms = "ttl max_age"`: names that people know from elsewhere; the report says how the
//!   key is called here.
//!
//! # A struct
//!
//! Its doc comment is the sentence of the section. `#[table(..)]` takes:
//!
//! - `heading = "[log]"`: how the reference shows it. Without it the struct can only be flattened.
//! - `short = "path"`: the key that a bare text or number in the place of the table was probably
//!   meant for.
//! - `private`: a value under an unknown key may be a secret, and is masked in reports.
//! - `title = function`: what one entry of an array is called in reports.
//! - `keys = function`: checks which keys are there, `fn(&mut Table)`. It runs always.
//! - `check = function`: checks across keys, `fn(&mut Table, &Self)`. It runs if every required key
//!   could be read.
//! - `into = Type`, `make = function`: the struct is only the shape of the table, and
//!   `fn(&mut Table, Self) -> Type` makes the value. `build = function` makes an `Option` of it: it
//!   is `None` after an error. Without `into` they give the struct itself.
//!
//! `#[hint("url address" => "endpoints are a list")]` says what to do about keys that the table
//! does not have, and that people look for; `true` and `false` stand for these in the place of the
//! table.
//!
//! # An enum
//!
//! The word of a variant is its name with hyphens, or `#[word("..")]`. `#[word(snake)]` on the enum
//! has underscores instead of hyphens, `#[word(upper)]` has capitals, and `#[word(prefix = "..")]` begins every word with this text.
//! `#[hint("h1" => "..")]` on the enum says what to do about other words.

mod key;
mod settings;
mod table;
#[cfg(test)]
mod tests;
mod word;

use proc_macro::TokenStream;

/// Reads a table of the configuration: see the crate's documentation.
#[proc_macro_derive(FromTable, attributes(table, key, hint))]
pub fn from_table(input: TokenStream) -> TokenStream {
    expand(input, table::expand)
}

/// Reads one of several words: see the crate's documentation.
#[proc_macro_derive(Word, attributes(word, hint))]
pub fn word(input: TokenStream) -> TokenStream {
    expand(input, word::expand)
}

fn expand(
    input: TokenStream,
    make: fn(&syn::DeriveInput) -> syn::Result<proc_macro2::TokenStream>,
) -> TokenStream {
    let input = syn::parse_macro_input!(input as syn::DeriveInput);
    let made = make(&input);
    made.unwrap_or_else(|error| error.to_compile_error()).into()
}
