//! Callouts to other servers.

use serde_json::{Value, json};
use windlass_plugin_sdk::Message;
use windlass_plugin_sdk::gateway::exchange;
use windlass_plugin_sdk::host::callout::{self, CallError, Credential, Request};

use super::settings::{Ask, Secret};

/// The outcome of the call; `None` if the response has not arrived yet.
pub(crate) fn ask(ask: &Ask) -> Option<Value> {
    let name = ask.path_from.as_deref();
    let added = name.and_then(|name| exchange::header(Message::Request, name));
    let added = String::from_utf8(added.unwrap_or_default()).unwrap_or_default();
    let mut request = Request::new(ask.method.clone(), format!("{}{added}", ask.path));
    for (name, value) in &ask.headers {
        request = request.header(name.clone(), value);
    }
    request = request.body(ask.body.clone());
    if let Some(secret) = &ask.credential {
        request = request.credential(match secret.clone() {
            Secret::Bearer(name) => Credential::Bearer { secret: name },
            Secret::Basic(user, name) => Credential::Basic { user, secret: name },
            Secret::FormField(field, name) => Credential::FormField {
                field,
                secret: name,
            },
        });
    }
    if ask.share {
        request = request.shared();
    }
    if let Some(name) = &ask.share_key_from {
        let key = exchange::header(Message::Request, name);
        request = request.shared_by(key.unwrap_or_default());
    }
    Some(match callout::call(&ask.target, &request) {
        Ok(answer) => json!({
            "status": answer.status,
            "kind": answer.header("Content-Type").map(String::from_utf8_lossy),
            "body": String::from_utf8_lossy(&answer.body),
        }),
        Err(CallError::NotYet) => return None,
        Err(CallError::Invalid(why)) => json!({ "invalid": why }),
        Err(other) => json!({ "failed": format!("{other:?}") }),
    })
}
