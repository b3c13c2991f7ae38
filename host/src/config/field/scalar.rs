//! A text, a number or a boolean, as JSON: for what is compared with values of JSON.

use serde_json::{Value as Json, json};

use super::{FromValue, Kind};
use crate::config::read::Slot;
use crate::config::value::settings;

/// A text, a number or a boolean.
pub(crate) struct Scalar;

impl FromValue for Json {
    type Kind = Scalar;
    const KIND: Scalar = Scalar;
}

impl Kind for Scalar {
    type Value = Json;

    fn words(&self) -> String {
        "a text, a number or a boolean".to_owned()
    }

    fn schema(&self) -> Json {
        json!({ "type": ["string", "number", "boolean"] })
    }

    fn read(&self, slot: &mut Slot<'_>) -> Option<Json> {
        let value = settings::scalar(slot.value);
        if value.is_none() {
            slot.wants(&self.words());
        }
        value
    }
}
