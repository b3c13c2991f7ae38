//! `windlass:jwt/tokens`, linked without a copy of what the guest names: a token is only read where the guest put it.

use std::borrow::Cow;
use std::sync::Arc;

use serde_json::Value;
use smallvec::SmallVec;
use wasmtime::component::{ComponentType, Lift, Linker, WasmStr};
use wasmtime::{Result, StoreContextMut};

use super::super::bindings::tokens::{ClaimValue, VerifyError};
use super::super::failure::CallFailure;
use super::super::state::{Later, State};
use super::edit::attribute_name;
use super::proof::{self, ProofArgument};
use crate::context::{AttributeValue, RejectedToken};
use crate::tokens::{TokenAnswer, TokenTime, Waiting};
use crate::verifier::{Claims, TokenError, VerifiedToken};

/// Where it is.
const TOKENS: &str = "windlass:jwt/tokens@0.1.0";

/// `mapping`, left where the guest put it.
#[derive(ComponentType, Lift)]
#[component(record)]
struct Mapping {
    claim: WasmStr,
    attribute: WasmStr,
    required: bool,
}

/// The outcome of a call.
type Verified = std::result::Result<(), VerifyError>;

/// Link it.
pub fn link(linker: &mut Linker<State>) -> Result<()> {
    let mut tokens = linker.instance(TOKENS)?;
    tokens.func_wrap(
        "verify",
        |mut store: StoreContextMut<'_, State>,
         (token, verifiers, scopes, any_scope, claims, proof): (
            WasmStr,
            Vec<WasmStr>,
            Vec<WasmStr>,
            bool,
            Vec<Mapping>,
            Option<ProofArgument>,
        )| {
            store.data_mut().charge_call()?;
            super::in_phase(store.data())?;
            store.data_mut().token = None;
            if let Err(error) = ask(&mut store, &token, &verifiers)? {
                return Ok((Err(error),));
            }
            if let Err((why, error)) = prove(&mut store, &token, proof.as_ref())? {
                store.data_mut().token = None;
                store.data_mut().note_rejected_token(why, None);
                return Ok((Err(error),));
            }
            if !has_scopes(&store, &scopes, any_scope)? {
                store.data_mut().token = None;
                store
                    .data_mut()
                    .note_rejected_token("insufficient_scope", None);
                return Ok((Err(VerifyError::InsufficientScope),));
            }
            let put = put_claims(&mut store, &claims)?;
            if let Err(error) = &put {
                store.data_mut().token = None;
                if let VerifyError::Rejected(_) = error {
                    let why = TokenError::RequiredClaim.reason();
                    store.data_mut().note_rejected_token(why, None);
                }
            }
            Ok((put,))
        },
    )?;
    tokens.func_wrap(
        "check-proof",
        |mut store: StoreContextMut<'_, State>,
         (argument, token, thumbprint): (ProofArgument, WasmStr, WasmStr)| {
            store.data_mut().charge_call()?;
            super::in_phase(store.data())?;
            let token = token.to_str(&store)?.into_owned();
            let thumbprint = thumbprint.to_str(&store)?.into_owned();
            let checked = proof::check(&mut store, &argument, &token, &thumbprint)?;
            Ok((checked.map_err(|(why, error)| {
                store.data_mut().note_rejected_token(why, None);
                error
            }),))
        },
    )?;
    tokens.func_wrap(
        "claim",
        |mut store: StoreContextMut<'_, State>, (name,): (WasmStr,)| {
            store.data_mut().charge_call()?;
            let name = name.to_str(&store)?;
            let token = store.data().token.as_ref();
            let value = token.and_then(|token| token.claims.get(&name));
            Ok((value.and_then(claim_value),))
        },
    )?;
    Ok(())
}

/// Why there is no token.
enum Trouble {
    /// The verifier of this name refused it.
    Refused(TokenError, Arc<str>),
    /// Only newer keys can tell.
    Later(Waiting),
}

impl State {
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

/// Ask for a token, and keep it with the phase where it is accepted.
fn ask(
    store: &mut StoreContextMut<'_, State>,
    token: &WasmStr,
    verifiers: &[WasmStr],
) -> Result<Verified> {
    let state = store.data();
    let Some(services) = state.services.as_ref() else {
        return Ok(rejected(TokenError::Issuer));
    };
    let token = token.to_str(&*store)?;
    let names = verifiers.iter().map(|name| name.to_str(&*store));
    let names: SmallVec<[Cow<'_, str>; 4]> = names.collect::<Result<_>>()?;
    let asked = services
        .verifiers
        .ask(&names, &token, TokenTime::coarse(), state.patient)?;
    let found = match asked.answer {
        TokenAnswer::Accepted(token) => Ok(token),
        TokenAnswer::Refused(error) => {
            let (filter, verifier) = (&*state.name, &asked.verifier.name);
            let (name, why) = (&**verifier, error.reason());
            tracing::debug!(filter, verifier = name, why, "{error}");
            Err(Trouble::Refused(error, Arc::clone(verifier)))
        }
        TokenAnswer::Later(waiting) => Err(Trouble::Later(waiting)),
        TokenAnswer::NoKeys => {
            let name = asked.verifier.name.clone();
            return Err(CallFailure::TokenKeys(name).into());
        }
    };
    drop((token, names));
    let state = store.data_mut();
    match found {
        Ok(token) => {
            state.accept_token(token);
            Ok(Ok(()))
        }
        Err(Trouble::Refused(error, verifier)) => {
            state.note_rejected_token(error.reason(), Some(verifier));
            Ok(rejected(error))
        }
        Err(Trouble::Later(waiting)) => {
            state.later = Some(Later::Keys(waiting));
            Ok(Err(VerifyError::NotYet))
        }
    }
}

/// Whether the client holds the key that the token is bound to, if it is. An error carries its word for the log.
fn prove(
    store: &mut StoreContextMut<'_, State>,
    token: &WasmStr,
    proof: Option<&ProofArgument>,
) -> Result<std::result::Result<(), (&'static str, VerifyError)>> {
    let accepted = store.data().token.as_ref();
    let bound_to = accepted.and_then(|token| token.bound_to.clone());
    let refused = |error: TokenError| {
        let why = error.reason();
        Ok(Err((why, VerifyError::Rejected(why.to_owned()))))
    };
    let (thumbprint, proof) = match (bound_to, proof) {
        (None, None) => return Ok(Ok(())),
        (None, Some(_)) => return refused(TokenError::NotBound),
        (Some(_), None) => return refused(TokenError::Unproven),
        (Some(thumbprint), Some(proof)) => (thumbprint, proof),
    };
    let token = token.to_str(&*store)?.into_owned();
    let checked = proof::check(store, proof, &token, &thumbprint)?;
    Ok(checked.map_err(|(why, error)| (why, VerifyError::Proof(error))))
}

fn rejected(error: TokenError) -> Verified {
    Err(VerifyError::Rejected(error.reason().to_owned()))
}

fn claims<'a>(store: &'a StoreContextMut<'_, State>) -> Option<&'a Claims> {
    Some(&store.data().token.as_ref()?.claims)
}

fn has_scopes(store: &StoreContextMut<'_, State>, scopes: &[WasmStr], any: bool) -> Result<bool> {
    if scopes.is_empty() {
        return Ok(true);
    }
    let scopes = scopes.iter().map(|scope| scope.to_str(store));
    let scopes: SmallVec<[Cow<'_, str>; 4]> = scopes.collect::<Result<_>>()?;
    let scopes = scopes.iter().map(AsRef::as_ref);
    Ok(claims(store).is_some_and(|claims| claims.has_scopes(scopes, any)))
}

/// Make claims attributes: all of them, or none.
fn put_claims(store: &mut StoreContextMut<'_, State>, mappings: &[Mapping]) -> Result<Verified> {
    let before = store.data().mark();
    let method = (
        Cow::Borrowed("auth.method"),
        AttributeValue::Text("jwt".to_owned()),
    );
    let mut next = Some(method);
    let mut mappings = mappings.iter();
    while let Some((name, value)) = next.take() {
        if let Err(error) = store.data_mut().put_fact(name, value)? {
            return Ok(undone(store, before, VerifyError::Attribute(error)));
        }
        for mapping in mappings.by_ref() {
            let claim = mapping.claim.to_str(&*store)?;
            let value = claims(store).and_then(|claims| claims.get(&claim));
            match value.and_then(attribute) {
                Some(value) => {
                    let name = attribute_name(&mapping.attribute.to_str(&*store)?);
                    next = Some((name, value));
                    break;
                }
                None if mapping.required => {
                    let error = TokenError::RequiredClaim.reason().to_owned();
                    return Ok(undone(store, before, VerifyError::Rejected(error)));
                }
                None => {}
            }
        }
    }
    Ok(Ok(()))
}

fn undone(store: &mut StoreContextMut<'_, State>, before: usize, error: VerifyError) -> Verified {
    store.data_mut().undo_to(before);
    Err(error)
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
