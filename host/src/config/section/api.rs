//! `[api.<name>]`: routes that are sold together, and how they answer.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::response;
use crate::config::field::{
    Choice, Empty, Field, Is, Map, Named, Optional, Parsed, Section, Written,
};
use crate::config::model::{Api, ApiResponse, ErrorStyle};
use crate::config::names::Group;
use crate::config::read::Table;
use crate::config::value::name::{line, name as name_text};
use crate::config::value::path;

/// `[api.<name>]`.
pub(super) static API: Section = Section {
    heading: "[api.<name>]",
    doc: "Routes that are sold together. The name is the attribute `api.id`.",
    fields: &[&STAGE, &BASE_PATH, &VARIABLES, &ERRORS, &RESPONSES],
    hints: &[
        ("path", "it is called `base_path`"),
        ("stage_variables", "they are called `variables`"),
    ],
    short: None,
    private: false,
};

static STAGE: Field<Parsed<String>, Written> = Field::new(
    "stage",
    Parsed {
        words: "a text of one line",
        pattern: "",
        private: false,
        parse: |text, _| line(text),
    },
    Written("default"),
    "Its stage, the attribute `api.stage`.",
);

static BASE_PATH: Field<Parsed<String>, Optional> = Field::new(
    "base_path",
    Parsed {
        words: "a path such as `\"/shop/v1\"`",
        pattern: "^/.*[^/]$",
        private: false,
        parse: |text, _| path::base(text),
    },
    Optional("none"),
    "The path before those of its routes; filters and upstreams see the path without it.",
);

static VARIABLES: Field<Map<Parsed<String>>, Empty> = Field::new(
    "variables",
    Map {
        of: Parsed {
            words: "a text of one line",
            pattern: "",
            private: false,
            parse: |text, _| line(text),
        },
        key: name_text,
        keys: "a name of letters, digits, `_` and `-`",
    },
    Empty("none"),
    "Its stage variables, the attributes `api.variable.<name>`.",
);

static ERRORS: Field<Choice<ErrorStyle>, Is<ErrorStyle>> = Field::new(
    "errors",
    Choice {
        options: &[("problem", ErrorStyle::Problem), ("aws", ErrorStyle::Aws)],
        hints: &[],
    },
    Is(ErrorStyle::Problem),
    "How the gateway words its own errors: as `application/problem+json` (RFC 9457), or as Amazon API Gateway does.",
);

static RESPONSES: Field<Named<ApiResponse>, Empty> = Field::new(
    "responses",
    Named {
        section: &response::RESPONSE,
        read: response::response,
    },
    Empty("the gateway's own words"),
    "Other answers in the place of the gateway's own, by the code of the error or the reason of the refusal.",
);

/// Reads one `[api.<name>]`.
pub(super) fn api(table: &mut Table<'_>) -> Option<Api> {
    let name = table.name();
    let stage = table.take(&STAGE);
    let base_path = table.take(&BASE_PATH);
    let variables: BTreeMap<String, String> = table.take(&VARIABLES);
    let errors = table.take(&ERRORS);
    let responses = table.take(&RESPONSES);
    let is_base_whole = table.are_whole(&[BASE_PATH.key]);
    let reader = table.reader();
    if let Some(place) = reader.names.place(Group::Api, &name) {
        if let Some(base_path) = &base_path {
            reader.base_paths.insert(place, base_path.clone());
        }
        if !is_base_whole {
            reader.unsure_apis.insert(place);
        }
    }
    Some(Api {
        name,
        stage: Arc::from(stage?),
        errors,
        base_path,
        variables,
        responses,
    })
}
