//! `windlass:host/keys`, with the keys of the test.

pub use crate::bindings::lifecycle::windlass::host::keys::{
    ApiKey, FieldError, IdentifyError, KeyReject,
};

use crate::testing::rules::field_name;
use crate::testing::state::{State, serve_granted};
use crate::{AttributeValue, EditError, Message};

/// Finds a key.
pub fn find(presented: &[u8]) -> Result<ApiKey, KeyReject> {
    serve_granted("keys", "find", |state| look_up(state, presented))
}

/// Finds a key, and sets its attributes.
pub fn identify(presented: &[u8]) -> Result<(), IdentifyError> {
    serve_granted("keys", "identify", |state| identify_in(state, presented))
}

/// The same with the key in a field.
pub fn identify_field(name: &str, hide: bool) -> Result<(), FieldError> {
    serve_granted("keys", "identify-field", |state| {
        let name = field_name(name).map_err(FieldError::Edit)?;
        let exchange = state.exchange.as_ref();
        let first = exchange
            .and_then(|exchange| exchange.request.get(&name))
            .cloned();
        let first = first.filter(|value| !value.is_empty());
        let first = first.ok_or(FieldError::Missing)?;
        state.all_or_none(|state| {
            identify_in(state, first.as_bytes()).map_err(|error| match error {
                IdentifyError::Rejected(why) => FieldError::Rejected(why),
                IdentifyError::Attribute(error) => FieldError::Attribute(error),
            })?;
            let edited = match hide {
                true => state.remove_field(Message::Request, &name).map(drop),
                false => state.put_field(Message::Request, &name, first),
            };
            edited.map_err(FieldError::Edit)
        })
    })
}

fn look_up(state: &State, presented: &[u8]) -> Result<ApiKey, KeyReject> {
    let key = state.gateway.keys.get(presented);
    key.cloned().unwrap_or(Err(KeyReject::Unknown))
}

fn identify_in(state: &mut State, presented: &[u8]) -> Result<(), IdentifyError> {
    let key = look_up(state, presented).map_err(IdentifyError::Rejected)?;
    let set = state.all_or_none(|state| put(state, &key));
    set.map_err(IdentifyError::Attribute)
}

/// Makes the attributes of a key those of the exchange, instead of another key's.
fn put(state: &mut State, key: &ApiKey) -> Result<(), EditError> {
    let set = state
        .exchange
        .iter()
        .flat_map(|exchange| &exchange.attributes);
    let of_key = |name: &&String| *name == "plan.id" || name.starts_with("api-key.");
    let old: Vec<String> = set.map(|(name, _)| name).filter(of_key).cloned().collect();
    for name in old {
        state.drop_attribute(&name);
    }
    let common = [
        ("consumer.id", Some(key.consumer.as_str())),
        ("api-key.id", Some(key.id.as_str())),
        ("auth.method", Some("api-key")),
        ("plan.id", key.plan.as_deref()),
    ];
    for (name, value) in common {
        if let Some(value) = value {
            state.put_attribute(name, AttributeValue::Text(value.to_owned()))?;
        }
    }
    for (name, value) in key.attributes.iter().filter(|(name, _)| name != "id") {
        let value = AttributeValue::Text(value.clone());
        state.put_attribute(&format!("api-key.{name}"), value)?;
    }
    Ok(())
}
