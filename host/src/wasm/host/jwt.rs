//! `windlass:jwt/tokens`: checks are read once, in `configure`, and a token is only read where the guest or the client put it.

use std::borrow::Cow;
use std::sync::Arc;

use http::HeaderValue;
use serde_json::Value;
use wasmtime::component::WasmStr;
use wasmtime::{Result, StoreContextMut, bail, format_err};

use super::HostFunctions;
use super::edit::attribute_name;
use super::functions::{HostError, HostResult, answer, in_phase};
use super::proof::{self, ProofArgument};
use crate::exchange::{AttributeValue, RejectedToken};
use crate::model::word::Word as _;
use crate::runtime::clock::Timestamp;
use crate::tokens::{FetchSignal, TokenAnswer};
use crate::verifier::{Claims, TokenError, VerifiedToken};
use crate::wasm::bindings::tokens::{Check, ClaimValue, FieldError, VerifyError};
use crate::wasm::bindings::types::Message;
use crate::wasm::failure::CallFailure;
use crate::wasm::reserved_fields::parse_name;
use crate::wasm::state::{InstanceState, Phase};
use crate::wasm::token_check::{CheckedField, ClaimAttribute, TokenCheck};

/// The most checks of one instance.
const MAX_CHECKS: usize = 16;

pub(super) fn link(mut functions: HostFunctions<'_>) -> Result<()> {
    functions.add("define", |state, (check,): (Check,)| {
        Ok((define(state, check)?,))
    })?;
    functions.add_reading(
        "verify",
        |store, (token, check, proof): (WasmStr, u32, Option<ProofArgument>)| {
            answer(verify(store, &token, check, proof.as_ref()))
        },
    )?;
    functions.add("verify-field", |state, (check,): (u32,)| {
        answer(verify_field(state, check))
    })?;
    functions.add_reading(
        "check-proof",
        |store, (argument, token, thumbprint): (ProofArgument, WasmStr, WasmStr)| {
            let token = token.to_str(&*store)?.into_owned();
            let thumbprint = thumbprint.to_str(&*store)?.into_owned();
            let checked = proof::check(store, &argument, &token, &thumbprint);
            answer(checked.map_err(|error| {
                error.map(|(why, error)| {
                    store.data_mut().note_rejected_token(why, None);
                    error
                })
            }))
        },
    )?;
    functions.add_reading("claim", |store, (name,): (WasmStr,)| {
        let name = name.to_str(&*store)?;
        let token = store.data().token.as_ref();
        let value = token.and_then(|token| token.claims.get(&name));
        Ok((value.and_then(claim_value),))
    })
}

/// Keep a check; gives its number.
fn define(state: &mut InstanceState, check: Check) -> Result<u32> {
    if state.phase != Phase::Configure {
        bail!("called `tokens.define` in a phase: it is for `configure`");
    }
    let number = state.token_checks.len();
    if number >= MAX_CHECKS {
        bail!("defined more than {MAX_CHECKS} checks of tokens");
    }
    let field = match check.token_field {
        None => None,
        Some(field) => Some(CheckedField {
            name: parse_name(&field.name).map_err(|error| {
                format_err!("defined a check of field `{}`: {error}", field.name)
            })?,
            scheme: field.scheme,
            hide: field.hide,
        }),
    };
    let claims = check.claims.into_iter().map(|mapping| ClaimAttribute {
        claim: mapping.claim,
        attribute: attribute_name(&mapping.attribute),
        required: mapping.required,
    });
    state.token_checks.push(Arc::new(TokenCheck {
        verifiers: check.verifiers.into(),
        scopes: check.scopes.into(),
        any_scope: check.any_scope,
        claims: claims.collect(),
        field,
    }));
    Ok(u32::try_from(number)?)
}

/// Begin a verification by the check of this number.
fn begin(state: &mut InstanceState, number: u32) -> Result<Arc<TokenCheck>> {
    in_phase(state)?;
    state.token = None;
    match state.token_checks.get(number as usize) {
        Some(check) => Ok(check.clone()),
        None => bail!("called `tokens` with check {number}, which it did not define"),
    }
}

/// Verify a token, and apply the check of this number.
fn verify(
    store: &mut StoreContextMut<'_, InstanceState>,
    token: &WasmStr,
    check: u32,
    proof: Option<&ProofArgument>,
) -> HostResult<(), VerifyError> {
    let check = begin(store.data_mut(), check)?;
    let found = {
        let token = token.to_str(&*store)?;
        ask_verifiers(store.data(), &token, &check)?
    };
    accept(store.data_mut(), found)?;
    prove(store, token, proof).map_err(|error| {
        error.map(|(why, error)| {
            reject(store.data_mut(), why);
            error
        })
    })?;
    apply_check(store.data_mut(), &check)
}

/// Verify the token in the field of a check.
fn verify_field(state: &mut InstanceState, check: u32) -> HostResult<(), FieldError> {
    let of_token = |error: HostError<_>| error.map(FieldError::Token);
    let check = begin(state, check)?;
    let Some(field) = &check.field else {
        let error = format_err!("called `tokens.verify-field` with a check that names no field");
        return Err(error.into());
    };
    let found = ask_verifiers_for_field(state, field, &check)?;
    accept(state, found).map_err(of_token)?;
    let token = state.token.as_ref();
    if token.is_some_and(|token| token.bound_to.is_some()) {
        let error = TokenError::Unproven;
        reject(state, error.word());
        return Err(of_token(rejected(error)));
    }
    apply_check(state, &check).map_err(of_token)
}

/// A verifier's answer about a token.
enum VerifierOutcome {
    Accepted(Arc<VerifiedToken>),
    /// The verifier of this name rejected it; without a verifier nobody knows it.
    Rejected(TokenError, Option<Arc<str>>),
    /// Only newer keys can tell.
    Later(FetchSignal),
}

impl InstanceState {
    /// Keep why the token was rejected, for the log.
    fn note_rejected_token(&mut self, why: &'static str, verifier: Option<Arc<str>>) {
        if let Some(exchange) = &mut self.exchange {
            let rejected = RejectedToken { why, verifier };
            exchange.outcome.rejected_token = Some(Box::new(rejected));
        }
    }

    /// Keep the token with the phase. That another one was rejected before is no matter then.
    fn accept_token(&mut self, token: Arc<VerifiedToken>) {
        self.token = Some(token);
        if let Some(exchange) = &mut self.exchange {
            exchange.outcome.rejected_token = None;
        }
    }
}

/// Ask the verifiers about a token.
fn ask_verifiers(
    state: &InstanceState,
    token: &str,
    check: &TokenCheck,
) -> Result<VerifierOutcome> {
    let Some(services) = state.services.as_ref() else {
        return Ok(VerifierOutcome::Rejected(TokenError::Issuer, None));
    };
    let now = Timestamp::coarse();
    let asked = services
        .verifiers
        .ask(&check.verifiers, token, now, state.may_rerun)?;
    Ok(match asked.answer {
        TokenAnswer::Accepted(token) => VerifierOutcome::Accepted(token),
        TokenAnswer::Refused(error) => {
            let (filter, verifier) = (&*state.name, &asked.verifier.name);
            let (name, why) = (&**verifier, error.word());
            tracing::debug!(filter, verifier = name, why, "{error}");
            VerifierOutcome::Rejected(error, Some(Arc::clone(verifier)))
        }
        TokenAnswer::Pending(waiting) => VerifierOutcome::Later(waiting),
        TokenAnswer::NoKeys => {
            let name = asked.verifier.name.clone();
            return Err(CallFailure::TokenKeys(name).into());
        }
    })
}

/// Ask the verifiers about the token in a field, which is removed if the check says so.
fn ask_verifiers_for_field(
    state: &mut InstanceState,
    field: &CheckedField,
    check: &TokenCheck,
) -> HostResult<VerifierOutcome, FieldError> {
    let answer = {
        let fields = state.fields(Message::Request);
        let mut values = fields
            .into_iter()
            .flat_map(|fields| fields.get_all(&field.name).iter());
        let mut others = false;
        let token = values.find_map(|value| {
            let token = token_in(value, field.scheme.as_deref());
            others |= token.is_none();
            token
        });
        match token {
            None => return Err(HostError::Refused(FieldError::Missing)),
            Some(_) if others || values.next().is_some() => {
                Err(HostError::Refused(FieldError::Several))
            }
            Some(token) => Ok(ask_verifiers(state, token, check)?),
        }
    };
    if field.hide {
        let removed = state.remove_field(Message::Request, field.name.clone());
        removed.map_err(|error| error.map(FieldError::Edit))?;
    }
    answer
}

/// The token in a field's value: all of it, or the part after a scheme, whose letters have no case (RFC 9110, section 11.1).
fn token_in<'a>(value: &'a HeaderValue, scheme: Option<&str>) -> Option<&'a str> {
    let value = std::str::from_utf8(value.as_bytes()).ok()?;
    let token = match scheme {
        None => value,
        Some(scheme) => {
            // A tab is not legal there. Some endpoints take it, so a token behind it is one here too.
            let blank = [' ', '\t'];
            let (first, rest) = value.split_once(blank)?;
            let is_scheme = first.eq_ignore_ascii_case(scheme);
            is_scheme.then(|| rest.trim_start_matches(blank))?
        }
    };
    (!token.is_empty()).then_some(token)
}

/// Keep the token with the phase where it is accepted.
fn accept(state: &mut InstanceState, found: VerifierOutcome) -> HostResult<(), VerifyError> {
    match found {
        VerifierOutcome::Accepted(token) => {
            state.accept_token(token);
            Ok(())
        }
        VerifierOutcome::Rejected(error, verifier) => {
            if let Some(verifier) = verifier {
                state.note_rejected_token(error.word(), Some(verifier));
            }
            Err(rejected(error))
        }
        VerifierOutcome::Later(waiting) => {
            state.awaited = Some(Box::new(CallFailure::NewerKeys(waiting)));
            Err(HostError::Refused(VerifyError::NotYet))
        }
    }
}

/// Leave the token that was accepted, and keep the reason for the log.
fn reject(state: &mut InstanceState, why: &'static str) {
    state.token = None;
    state.note_rejected_token(why, None);
}

/// Apply a check to the accepted token: its scopes first, then its claims become attributes.
fn apply_check(state: &mut InstanceState, check: &TokenCheck) -> HostResult<(), VerifyError> {
    let Some(token) = state.token.clone() else {
        return Err(rejected(TokenError::Issuer));
    };
    let mut scopes = check.scopes.iter().map(String::as_str).peekable();
    if scopes.peek().is_some() && !token.claims.has_scopes(scopes, check.any_scope) {
        reject(state, "insufficient_scope");
        return Err(HostError::Refused(VerifyError::InsufficientScope));
    }
    let put = put_claims(state, &token.claims, &check.claims);
    match &put {
        Ok(()) => {}
        Err(HostError::Refused(VerifyError::Rejected(_))) => {
            reject(state, TokenError::RequiredClaim.word());
        }
        Err(_) => state.token = None,
    }
    put
}

/// Whether the client holds the key that the token is bound to, if it is. An error carries its word for the log.
fn prove(
    store: &mut StoreContextMut<'_, InstanceState>,
    token: &WasmStr,
    proof: Option<&ProofArgument>,
) -> HostResult<(), (&'static str, VerifyError)> {
    let accepted = store.data().token.as_ref();
    let bound_to = accepted.and_then(|token| token.bound_to.clone());
    let refused = |error: TokenError| Err(rejected(error).map(|answer| (error.word(), answer)));
    let (thumbprint, proof) = match (bound_to, proof) {
        (None, None) => return Ok(()),
        (None, Some(_)) => return refused(TokenError::NotBound),
        (Some(_), None) => return refused(TokenError::Unproven),
        (Some(thumbprint), Some(proof)) => (thumbprint, proof),
    };
    let token = token.to_str(&*store)?.into_owned();
    proof::check(store, proof, &token, &thumbprint)
        .map_err(|error| error.map(|(why, error)| (why, VerifyError::Proof(error))))
}

fn rejected(error: TokenError) -> HostError<VerifyError> {
    HostError::Refused(VerifyError::Rejected(error.word().to_owned()))
}

/// Make claims attributes: all of them, or none.
fn put_claims(
    state: &mut InstanceState,
    claims: &Claims,
    claimed: &[ClaimAttribute],
) -> HostResult<(), VerifyError> {
    let of_attribute = |error: HostError<_>| error.map(VerifyError::Attribute);
    state.all_or_none(|state| {
        let method = AttributeValue::Text("jwt".to_owned());
        let put = state.put_fact(Cow::Borrowed("auth.method"), method);
        put.map_err(of_attribute)?;
        for one in claimed {
            let name = one.attribute.clone();
            match claims.get(&one.claim).and_then(attribute) {
                Some(value) => state.put_fact(name, value).map_err(of_attribute)?,
                None if one.required => return Err(rejected(TokenError::RequiredClaim)),
                // It says nothing of this token, whoever set it.
                None => state.drop_fact(name),
            }
        }
        Ok(())
    })
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

fn claim_value(claim: &Value) -> Option<ClaimValue> {
    Some(match claim {
        Value::Null => return None,
        Value::String(text) => ClaimValue::Text(text.clone()),
        Value::Bool(flag) => ClaimValue::Flag(*flag),
        Value::Number(number) => ClaimValue::Number(number.as_f64()?),
        Value::Array(_) | Value::Object(_) => ClaimValue::Json(claim.to_string()),
    })
}
