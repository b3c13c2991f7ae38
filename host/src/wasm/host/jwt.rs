//! `windlass:jwt/tokens`, linked without a copy of what the guest names: a token is only read where the guest put it.

use std::borrow::Cow;
use std::sync::Arc;

use http::HeaderValue;
use serde_json::Value;
use smallvec::SmallVec;
use wasmtime::component::{ComponentType, Lift, Linker, LinkerInstance, WasmStr};
use wasmtime::{Result, StoreContextMut};

use super::super::bindings::tokens::{ClaimValue, FieldError, VerifyError};
use super::super::bindings::types::Message;
use super::super::failure::CallFailure;
use super::super::state::{Head, Later, State};
use super::edit::attribute_name;
use super::hot::field_name;
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
            let found = {
                let token = token.to_str(&store)?;
                ask(&store, &token, &verifiers)?
            };
            if let Err(error) = take(store.data_mut(), found) {
                return Ok((Err(error),));
            }
            if let Err((why, error)) = prove(&mut store, &token, proof.as_ref())? {
                leave(store.data_mut(), why);
                return Ok((Err(error),));
            }
            let demands = Demands {
                scopes: &scopes,
                any_scope,
                claims: &claims,
            };
            Ok((meet(&mut store, &demands)?,))
        },
    )?;
    link_verify_field(&mut tokens)?;
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

/// `verify-field`'s arguments, in the order of the contract.
type VerifyFieldArguments = (
    WasmStr,
    Option<WasmStr>,
    bool,
    Vec<WasmStr>,
    Vec<WasmStr>,
    bool,
    Vec<Mapping>,
);

fn link_verify_field(tokens: &mut LinkerInstance<'_, State>) -> Result<()> {
    tokens.func_wrap(
        "verify-field",
        |mut store: StoreContextMut<'_, State>,
         (field, scheme, hide, verifiers, scopes, any_scope, claims): VerifyFieldArguments| {
            store.data_mut().charge_call()?;
            super::in_phase(store.data())?;
            store.data_mut().token = None;
            let field = FieldArgument {
                name: field,
                scheme,
                hide,
            };
            let found = match ask_for_field(&mut store, &field, &verifiers)? {
                Ok(found) => found,
                Err(error) => return Ok((Err(error),)),
            };
            if let Err(error) = take(store.data_mut(), found) {
                return Ok((Err(FieldError::Token(error)),));
            }
            let accepted = store.data().token.as_ref();
            if accepted.is_some_and(|token| token.bound_to.is_some()) {
                let error = TokenError::Unproven;
                leave(store.data_mut(), error.reason());
                return Ok((rejected(error).map_err(FieldError::Token),));
            }
            let demands = Demands {
                scopes: &scopes,
                any_scope,
                claims: &claims,
            };
            let met = meet(&mut store, &demands)?;
            Ok((met.map_err(FieldError::Token),))
        },
    )
}

/// A verifier's answer about a token.
enum Found {
    /// It is accepted.
    Accepted(Arc<VerifiedToken>),
    /// The verifier of this name rejected it; without a verifier nobody knows it.
    Rejected(TokenError, Option<Arc<str>>),
    /// Only newer keys can tell.
    Later(Waiting),
}

/// The demands on a token that a verifier accepts.
struct Demands<'a> {
    scopes: &'a [WasmStr],
    any_scope: bool,
    claims: &'a [Mapping],
}

/// The field that holds a token, as a guest names it.
struct FieldArgument {
    name: WasmStr,
    /// The word before the token.
    scheme: Option<WasmStr>,
    /// Whether the field is removed.
    hide: bool,
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

/// Ask the verifiers about a token.
fn ask(store: &StoreContextMut<'_, State>, token: &str, verifiers: &[WasmStr]) -> Result<Found> {
    let state = store.data();
    let Some(services) = state.services.as_ref() else {
        return Ok(Found::Rejected(TokenError::Issuer, None));
    };
    let names = verifiers.iter().map(|name| name.to_str(store));
    let names: SmallVec<[Cow<'_, str>; 4]> = names.collect::<Result<_>>()?;
    let asked = services
        .verifiers
        .ask(&names, token, TokenTime::coarse(), state.patient)?;
    Ok(match asked.answer {
        TokenAnswer::Accepted(token) => Found::Accepted(token),
        TokenAnswer::Refused(error) => {
            let (filter, verifier) = (&*state.name, &asked.verifier.name);
            let (name, why) = (&**verifier, error.reason());
            tracing::debug!(filter, verifier = name, why, "{error}");
            Found::Rejected(error, Some(Arc::clone(verifier)))
        }
        TokenAnswer::Later(waiting) => Found::Later(waiting),
        TokenAnswer::NoKeys => {
            let name = asked.verifier.name.clone();
            return Err(CallFailure::TokenKeys(name).into());
        }
    })
}

/// Ask the verifiers about the token in a field, which is removed if the guest says so.
fn ask_for_field(
    store: &mut StoreContextMut<'_, State>,
    field: &FieldArgument,
    verifiers: &[WasmStr],
) -> Result<std::result::Result<Found, FieldError>> {
    let name = match field_name(store, Message::Request, &field.name)? {
        Ok(name) => name,
        Err(error) => return Ok(Err(FieldError::Edit(error))),
    };
    let answer = {
        let scheme = field.scheme.as_ref().map(|scheme| scheme.to_str(&*store));
        let scheme = scheme.transpose()?;
        let fields = store.data().fields(Head::Request);
        let mut values = fields
            .into_iter()
            .flat_map(|fields| fields.get_all(&name).iter());
        let mut others = false;
        let token = values.find_map(|value| {
            let token = token_in(value, scheme.as_deref());
            others |= token.is_none();
            token
        });
        match token {
            None => return Ok(Err(FieldError::Missing)),
            Some(_) if others || values.next().is_some() => Err(FieldError::Several),
            Some(token) => Ok(ask(store, token, verifiers)?),
        }
    };
    if field.hide
        && let Err(error) = store.data_mut().remove_field(Message::Request, Ok(name))?
    {
        return Ok(Err(FieldError::Edit(error)));
    }
    Ok(answer)
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
fn take(state: &mut State, found: Found) -> Verified {
    match found {
        Found::Accepted(token) => {
            state.accept_token(token);
            Ok(())
        }
        Found::Rejected(error, verifier) => {
            if let Some(verifier) = verifier {
                state.note_rejected_token(error.reason(), Some(verifier));
            }
            rejected(error)
        }
        Found::Later(waiting) => {
            state.later = Some(Later::Keys(waiting));
            Err(VerifyError::NotYet)
        }
    }
}

/// Leave the token that was accepted, and keep the reason for the log.
fn leave(state: &mut State, why: &'static str) {
    state.token = None;
    state.note_rejected_token(why, None);
}

/// Hold the accepted token to the guest's demands: its scopes first, then its claims become attributes.
fn meet(store: &mut StoreContextMut<'_, State>, demands: &Demands<'_>) -> Result<Verified> {
    if !has_scopes(store, demands.scopes, demands.any_scope)? {
        leave(store.data_mut(), "insufficient_scope");
        return Ok(Err(VerifyError::InsufficientScope));
    }
    let put = put_claims(store, demands.claims)?;
    match &put {
        Ok(()) => {}
        Err(VerifyError::Rejected(_)) => {
            leave(store.data_mut(), TokenError::RequiredClaim.reason());
        }
        Err(_) => store.data_mut().token = None,
    }
    Ok(put)
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
