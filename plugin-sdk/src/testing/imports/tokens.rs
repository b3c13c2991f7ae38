//! `windlass:jwt/tokens`, with the answers of the test.

pub use crate::bindings::jwt::windlass::jwt::tokens::{
    Check, ClaimValue, FieldError, Mapping, Proof, ProofError, TokenField, VerifyError,
};

use http::HeaderValue;
use serde_json::Value;

use crate::testing::rules::field_name;
use crate::testing::state::{Phase, State, serve, serve_granted};
use crate::testing::token::{DefinedCheck, claim as claim_of, has_scopes};
use crate::{AttributeValue, Message};

/// The most checks of a filter.
const MAX_CHECKS: usize = 16;

/// Defines a check. Without the grant it does nothing.
pub fn define(check: Check<'_>) -> u32 {
    serve("jwt.define", |state| {
        assert!(
            state.phase == Phase::Configure,
            "called `tokens.define` in a phase: it is for `configure`"
        );
        if !state.gateway.grants.interface("jwt") {
            return 0;
        }
        let number = state.gateway.checks.len();
        assert!(
            number < MAX_CHECKS,
            "defined more than {MAX_CHECKS} checks of tokens"
        );
        let field = check.token_field.map(|field| {
            let name = field_name(field.name).unwrap_or_else(|error| {
                panic!("defined a check of field `{}`: {error}", field.name)
            });
            (name, field.scheme.map(str::to_owned), field.hide)
        });
        let claims = check.claims.iter().map(|mapping| {
            let (claim, attribute) = (mapping.claim.to_owned(), mapping.attribute.to_owned());
            (claim, attribute, mapping.required)
        });
        state.gateway.checks.push(DefinedCheck {
            scopes: check.scopes.iter().map(|&scope| scope.to_owned()).collect(),
            any_scope: check.any_scope,
            claims: claims.collect(),
            field,
        });
        u32::try_from(number).unwrap_or(u32::MAX)
    })
}

/// Verifies a token.
pub fn verify(token: &str, check: u32, proof: Option<Proof<'_>>) -> Result<(), VerifyError> {
    serve_granted("jwt", "verify", |state| {
        let check = begin(state, check);
        let is_bound = accept(state, token)?;
        let proven = match (is_bound, proof) {
            (false, None) => Ok(()),
            (false, Some(_)) => Err(rejected("not_bound")),
            (true, None) => Err(rejected("unproven")),
            (true, Some(proof)) => prove(state, proof.value).map_err(VerifyError::Proof),
        };
        if proven.is_err() {
            forget(state);
        }
        proven?;
        apply(state, &check)
    })
}

/// Verifies the token in the check's field.
pub fn verify_field(check: u32) -> Result<(), FieldError> {
    serve_granted("jwt", "verify-field", |state| {
        let check = begin(state, check);
        let Some((name, scheme, hide)) = check.field.clone() else {
            panic!("called `tokens.verify-field` with a check that names no field");
        };
        let exchange = state.exchange.as_ref();
        let values = exchange.map(|exchange| exchange.request.get_all(&name).into_iter());
        let values: Vec<&HeaderValue> = values.into_iter().flatten().collect();
        let mut tokens = values
            .iter()
            .filter_map(|value| token_in(value, scheme.as_deref()));
        let token = tokens.next().ok_or(FieldError::Missing)?.to_owned();
        let is_alone = values.len() == 1;
        if hide {
            let removed = state.remove_field(Message::Request, &name);
            removed.map_err(FieldError::Edit)?;
        }
        if !is_alone {
            return Err(FieldError::Several);
        }
        if accept(state, &token).map_err(FieldError::Token)? {
            forget(state);
            return Err(FieldError::Token(rejected("unproven")));
        }
        apply(state, &check).map_err(FieldError::Token)
    })
}

/// Checks a proof.
pub fn check_proof(proof: Proof<'_>, _: &str, _: &str) -> Result<(), ProofError> {
    serve_granted("jwt", "check-proof", |state| prove(state, proof.value))
}

/// A claim of the token that was accepted last.
pub fn claim(name: &str) -> Option<ClaimValue> {
    serve("jwt.claim", |state| {
        state.check_granted("jwt", "claim");
        let claims = state.exchange.as_ref()?.claims.as_ref()?;
        Some(match claim_of(claims, name)? {
            Value::Null => return None,
            Value::String(text) => ClaimValue::Text(text.clone()),
            Value::Bool(flag) => ClaimValue::Flag(*flag),
            Value::Number(number) => ClaimValue::Number(number.as_f64()?),
            other => ClaimValue::Json(other.to_string()),
        })
    })
}

fn rejected(word: &str) -> VerifyError {
    VerifyError::Rejected(word.to_owned())
}

fn begin(state: &mut State, number: u32) -> DefinedCheck {
    forget(state);
    let checks = &state.gateway.checks;
    let check = usize::try_from(number)
        .ok()
        .and_then(|number| checks.get(number));
    let check = check.cloned();
    check.unwrap_or_else(|| panic!("called `tokens` with check {number}, which it did not define"))
}

fn forget(state: &mut State) {
    if let Some(exchange) = &mut state.exchange {
        exchange.claims = None;
    }
}

/// Keeps the claims of a token that is accepted. Gives whether it is bound to a key.
fn accept(state: &mut State, token: &str) -> Result<bool, VerifyError> {
    let token = state.gateway.tokens.get(token);
    let token = token.ok_or_else(|| rejected("malformed"))?;
    let claims = token.answer.clone().map_err(VerifyError::Rejected)?;
    let is_bound = token.is_bound;
    if let Some(exchange) = &mut state.exchange {
        exchange.claims = Some(claims);
    }
    Ok(is_bound)
}

fn prove(state: &State, proof: &str) -> Result<(), ProofError> {
    let answer = state.gateway.proofs.get(proof).cloned();
    answer.unwrap_or_else(|| Err(ProofError::Rejected("proof_malformed".to_owned())))
}

/// Applies a check: its scopes first, then its claims become attributes.
fn apply(state: &mut State, check: &DefinedCheck) -> Result<(), VerifyError> {
    let claims = state
        .exchange
        .as_ref()
        .and_then(|exchange| exchange.claims.clone());
    let claims = claims.unwrap_or_default();
    if !check.scopes.is_empty() && !has_scopes(&claims, &check.scopes, check.any_scope) {
        forget(state);
        return Err(VerifyError::InsufficientScope);
    }
    let put = state.all_or_none(|state| {
        let method = AttributeValue::Text("jwt".to_owned());
        state
            .put_attribute("auth.method", method)
            .map_err(VerifyError::Attribute)?;
        for (claim, name, required) in &check.claims {
            match claim_of(&claims, claim).and_then(attribute) {
                Some(value) => state
                    .put_attribute(name, value)
                    .map_err(VerifyError::Attribute)?,
                None if *required => return Err(rejected("required_claim")),
                None => state.drop_attribute(name),
            }
        }
        Ok(())
    });
    if put.is_err() {
        forget(state);
    }
    put
}

/// A claim as an attribute. Null is none.
fn attribute(claim: &Value) -> Option<AttributeValue> {
    Some(match claim {
        Value::Null => return None,
        Value::String(text) => AttributeValue::Text(text.clone()),
        Value::Bool(flag) => AttributeValue::Flag(*flag),
        Value::Number(number) => match number.as_i64() {
            Some(number) => AttributeValue::Number(number),
            None => AttributeValue::Text(number.to_string()),
        },
        Value::Array(_) | Value::Object(_) => AttributeValue::Text(claim.to_string()),
    })
}

/// The token in a field's value: all of it, or the part after a scheme.
fn token_in<'a>(value: &'a HeaderValue, scheme: Option<&str>) -> Option<&'a str> {
    let value = std::str::from_utf8(value.as_bytes()).ok()?;
    let token = match scheme {
        None => value,
        Some(scheme) => {
            let (first, rest) = value.split_once([' ', '\t'])?;
            let is_scheme = first.eq_ignore_ascii_case(scheme);
            is_scheme.then(|| rest.trim_start_matches([' ', '\t']))?
        }
    };
    (!token.is_empty()).then_some(token)
}
