//! The format of stored records, and the arguments that the script reads. Pure.

use std::fmt::Write as _;

use ::redis::ScriptInvocation;
use serde::de::DeserializeOwned;

use crate::control::storage::record::{KeyRecord, PlanRecord};
use crate::control::storage::{IdempotencyRecord, KeyQuery, Revision, Write};

/// Why a row cannot be read.
#[derive(Debug, thiserror::Error)]
pub(super) enum RowError {
    /// It has no revision.
    #[error("it has no revision")]
    Revision,
    /// Its record is malformed.
    #[error(transparent)]
    Record(#[from] serde_json::Error),
}

/// Splits a row into its revision and its record: a revision, a space, JSON.
fn split<T: DeserializeOwned>(row: &[u8]) -> Result<(Revision, T), RowError> {
    let space = row.iter().position(|byte| *byte == b' ');
    let (revision, json) = space
        .and_then(|space| row.split_at_checked(space))
        .ok_or(RowError::Revision)?;
    let revision = std::str::from_utf8(revision)
        .ok()
        .and_then(|text| text.parse().ok())
        .ok_or(RowError::Revision)?;
    Ok((revision, serde_json::from_slice(json)?))
}

pub(super) fn key(row: &[u8]) -> Result<KeyRecord, RowError> {
    let (revision, record) = split::<KeyRecord>(row)?;
    Ok(KeyRecord { revision, ..record })
}

pub(super) fn plan(row: &[u8]) -> Result<PlanRecord, RowError> {
    let (revision, record) = split::<PlanRecord>(row)?;
    Ok(PlanRecord { revision, ..record })
}

/// Whether an earlier version gave the plan's quota an `offset`.
pub(super) fn has_offset(row: &[u8]) -> bool {
    let plan = split::<serde_json::Value>(row);
    plan.is_ok_and(|(_, plan)| {
        let offset = plan.pointer("/quota/offset");
        offset
            .and_then(serde_json::Value::as_u64)
            .is_some_and(|offset| offset > 0)
    })
}

/// The object that a token created, unless the token has expired.
pub(super) fn remembered(row: &str, now_ms: u64) -> Option<IdempotencyRecord> {
    let mut words = row.splitn(3, ' ');
    let until_ms: u64 = words.next()?.parse().ok()?;
    let request = words.next()?.as_bytes();
    let key = words.next()?.to_owned();
    let mut bytes = [0; 32];
    for (byte, pair) in bytes.iter_mut().zip(request.chunks_exact(2)) {
        *byte = u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok()?;
    }
    (until_ms > now_ms).then_some(IdempotencyRecord {
        request: bytes,
        key,
    })
}

/// Whether a key matches the query, except for its order.
pub(super) fn matches_query(record: &KeyRecord, query: &KeyQuery) -> bool {
    let consumer = query.consumer.as_ref();
    let plan = query.plan.as_ref();
    let prefix = query.prefix.as_ref();
    consumer.is_none_or(|consumer| record.consumer == *consumer)
        && plan.is_none_or(|plan| record.plans.contains(plan))
        && prefix.is_none_or(|prefix| {
            record.name.starts_with(prefix.as_str()) || record.id.starts_with(prefix.as_str())
        })
        && query.begins_with.as_deref().is_none_or(|wanted| {
            let fits = |kept: &str| {
                kept.starts_with(wanted) || !kept.is_empty() && wanted.starts_with(kept)
            };
            record.secrets.iter().any(|secret| fits(&secret.prefix))
        })
}

/// The arguments of one write.
pub(super) fn write(call: &mut ScriptInvocation<'_>, write: &Write) {
    match write {
        Write::PutKey { record, expect } => {
            call.arg("K").arg(&record.id).arg(*expect).arg(json(record));
        }
        Write::DeleteKey { id, expect } => {
            call.arg("k").arg(id).arg(*expect);
        }
        Write::PutPlan { record, expect } => {
            call.arg("P")
                .arg(&record.name)
                .arg(*expect)
                .arg(json(record));
        }
        Write::DeletePlan { name, expect } => {
            call.arg("p").arg(name).arg(*expect);
        }
        Write::PutToken {
            token,
            what,
            until_ms,
        } => {
            let mut request = String::with_capacity(64);
            for byte in what.request {
                // Writing to a string cannot fail.
                let _ = write!(request, "{byte:02x}");
            }
            call.arg("R")
                .arg(token)
                .arg(*until_ms)
                .arg(request)
                .arg(&what.key);
        }
    }
}

/// Records are maps of texts and numbers, which JSON can always represent; a rate that is no
/// number was refused before.
fn json(record: &impl serde::Serialize) -> Vec<u8> {
    serde_json::to_vec(record).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_damaged_row_is_reported() {
        for (row, message) in [
            ("", "no revision"),
            ("x {}", "no revision"),
            ("7", "no revision"),
            ("7 {", "EOF"),
            ("7 {}", "missing field"),
        ] {
            let error = key(row.as_bytes()).unwrap_err().to_string();
            assert!(error.contains(message), "{row:?}: {error}");
        }
    }

    #[test]
    fn a_token_stands_for_nothing_after_its_end() {
        let row = format!("1000 {} some key", "0a".repeat(32));
        let what = remembered(&row, 999).unwrap();
        assert_eq!((what.request, &*what.key), ([10; 32], "some key"));
        assert_eq!(remembered(&row, 1000), None);
    }
}
