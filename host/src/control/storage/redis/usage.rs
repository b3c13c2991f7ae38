//! Usage in Redis, and the deletion of expired rows.

use std::collections::BTreeMap;

use ::redis::{Connection, cmd};

use super::{CHUNK_SIZE, PRELUDE, RedisStorage};
use crate::control::storage::{
    CommitError, LastUse, QuotaExtension, Storage as _, UsageQuery, UsageRow, UsageStorage, Write,
};
use crate::limits::usage_rows::{QuotaRow, QuotaUsage, UsageDelta};
use crate::model::period::Period;
use crate::shared_store::StorageError;
use crate::shared_store::redis_server::RedisScript;

static ADD: RedisScript = RedisScript::new(&[PRELUDE, include_str!("add_usage.lua")]);
static USAGE: RedisScript = RedisScript::new(&[PRELUDE, include_str!("usage.lua")]);
static FORGET: RedisScript = RedisScript::new(&[PRELUDE, include_str!("forget.lua")]);

/// How long a deletion is reported as a change. Milliseconds.
const GONE_MS: u64 = 7 * 24 * 60 * 60 * 1000;
/// How long the usage of a period is kept after its end, for clocks that differ. Milliseconds.
const GRACE_MS: u64 = 60 * 60 * 1000;
/// The most days times keys that one script reads.
const MAX_CELLS: u64 = 20_000;

impl UsageStorage for RedisStorage {
    fn quota_since(&self, plan: &str, period: Period, now_ms: u64) -> Result<u64, StorageError> {
        let kept = self.server.key("quota-since");
        let found: Option<String> = self.read_command(&["HGET", &kept, plan])?;
        let found = found.as_deref().and_then(|row| row.split_once(' '));
        if let Some((name, since)) = found
            && name.parse() == Ok(period)
            && let Ok(since_ms) = since.parse()
        {
            return Ok(since_ms);
        }
        let () = self.read_command(&["HSET", &kept, plan, &format!("{period} {now_ms}")])?;
        Ok(now_ms)
    }

    fn reset_quota_since(&self, plan: &str) -> Result<(), StorageError> {
        self.read_command(&["HDEL", &self.server.key("quota-since"), plan])
    }

    fn usage_plans(&self) -> Result<Vec<String>, StorageError> {
        self.read_command(&["SMEMBERS", &self.server.key("usage-plans")])
    }

    fn add_usage(&self, used: &[UsageDelta], touched: &[LastUse]) -> Result<(), StorageError> {
        let mut used = used.chunks(CHUNK_SIZE);
        let mut touched = touched.chunks(CHUNK_SIZE);
        loop {
            let (deltas, touches) = (used.next(), touched.next());
            if deltas.is_none() && touches.is_none() {
                return Ok(());
            }
            let (deltas, touches) = (deltas.unwrap_or_default(), touches.unwrap_or_default());
            add_batch(self, deltas, touches)?;
        }
    }

    fn load_quotas(
        &self,
        now_ms: u64,
        visit: &mut dyn FnMut(QuotaRow),
    ) -> Result<(), StorageError> {
        let quotas = self.server.key("quotas");
        let names: Vec<String> =
            self.read_command(&["ZRANGEBYSCORE", &quotas, &format!("({now_ms}"), "+inf"])?;
        for name in names {
            let parsed = name.split_once(':').and_then(|(name, number)| {
                let period: Period = name.parse().ok()?;
                Some((period, number.parse::<u32>().ok()?))
            });
            if let Some((period, number)) = parsed
                && period.end_ms(number) > now_ms
            {
                load_period(self, period, number, visit)?;
            }
        }
        Ok(())
    }

    fn extend(&self, extension: &QuotaExtension) -> Result<(), StorageError> {
        let name = format!("{}:{}", extension.period, extension.number);
        let field = format!("{}\n{}", extension.plan, extension.key);
        let extra = self.server.key(&format!("extra:{name}"));
        let () = self.read_command(&["HSET", &extra, &field, &extension.extra.to_string()])?;
        let ends_ms = ends_ms(extension.period, extension.number).to_string();
        self.read_command(&["ZADD", &self.server.key("quotas"), &ends_ms, &name])
    }

    fn usage(&self, query: &UsageQuery) -> Result<Vec<UsageRow>, StorageError> {
        let days = u64::from(query.to_day.saturating_sub(query.from_day)) + 1;
        let chunk = (MAX_CELLS / days).clamp(1, CHUNK_SIZE as u64);
        let mut begin = match (&query.key, &query.after) {
            (Some(key), None) => format!("[{key}"),
            (Some(key), Some(after)) if key > after => format!("[{key}"),
            // The wanted key comes before this position.
            (Some(_), Some(_)) => return Ok(Vec::new()),
            (None, Some(after)) => format!("({after}"),
            (None, None) => "-".to_owned(),
        };
        let end = query
            .key
            .as_ref()
            .map_or_else(|| "+".to_owned(), |key| format!("[{key}"));
        let mut found: Vec<UsageRow> = Vec::new();
        let mut keys = 0;
        loop {
            let mut call = self.call(&USAGE);
            call.arg(&query.plan).arg(query.from_day).arg(query.to_day);
            call.arg(&begin).arg(&end).arg(chunk);
            let answer = self.server.read(|connection| call.invoke(connection))?;
            let (last, rows): (Option<String>, Vec<(String, u32, i64)>) = answer.value;
            for (key, day, used) in rows {
                // A day with more given back than taken counts as one without usage.
                let Some(used) = u64::try_from(used).ok().filter(|used| *used > 0) else {
                    continue;
                };
                if found.last().is_none_or(|before| before.key != key) {
                    if keys == query.limit {
                        return Ok(found);
                    }
                    keys += 1;
                }
                found.push(UsageRow { key, day, used });
            }
            let Some(last) = last else {
                return Ok(found);
            };
            begin = format!("({last}");
        }
    }

    fn delete_expired(&self, before_day: u32, now_ms: u64) -> Result<(), StorageError> {
        loop {
            let mut call = self.call(&FORGET);
            let gone_ms = now_ms.saturating_sub(GONE_MS);
            call.arg(before_day)
                .arg(now_ms)
                .arg(gone_ms)
                .arg(CHUNK_SIZE);
            let (more, owners): (bool, Vec<Option<String>>) =
                self.server.write(|connection| call.invoke(connection))?;
            let removed = delete_expired_secrets(self, owners.into_iter().flatten(), now_ms)?;
            if !more && !removed {
                return Ok(());
            }
        }
    }
}

fn add_batch(
    storage: &RedisStorage,
    used: &[UsageDelta],
    touched: &[LastUse],
) -> Result<(), StorageError> {
    let mut call = storage.call(&ADD);
    call.arg(used.len());
    for delta in used {
        call.arg(&*delta.plan)
            .arg(&*delta.key)
            .arg(delta.day)
            .arg(delta.used);
        match &delta.quota {
            Some(quota) => call
                .arg(quota.period.to_string())
                .arg(quota.number)
                .arg(ends_ms(quota.period, quota.number))
                .arg(quota.used),
            None => call.arg("").arg(0).arg(0).arg(0),
        };
    }
    for touch in touched {
        call.arg(&*touch.key).arg(touch.at_ms);
    }
    storage
        .server
        .write(|connection| call.invoke::<()>(connection))
}

fn ends_ms(period: Period, number: u32) -> u64 {
    period.end_ms(number).saturating_add(GRACE_MS)
}

/// Visits the usage of one period of quotas, and its extensions.
fn load_period(
    storage: &RedisStorage,
    period: Period,
    number: u32,
    visit: &mut dyn FnMut(QuotaRow),
) -> Result<(), StorageError> {
    // Extensions are few: an operator made each of them.
    let mut extras = BTreeMap::new();
    let name = format!("{period}:{number}");
    for_each(storage, &format!("extra:{name}"), &mut |owner, extra| {
        extras.insert(owner.to_owned(), (extra, false));
    })?;
    for_each(storage, &format!("quota:{name}"), &mut |owner, used| {
        let extra = extras.get_mut(owner).map(|(extra, shown)| {
            *shown = true;
            *extra
        });
        let extra = extra.unwrap_or_default();
        show(owner, period, number, used, extra, visit);
    })?;
    for (owner, (extra, shown)) in extras {
        if !shown {
            show(&owner, period, number, 0, extra, visit);
        }
    }
    Ok(())
}

fn show(
    owner: &str,
    period: Period,
    number: u32,
    used: i64,
    extra: i64,
    visit: &mut dyn FnMut(QuotaRow),
) {
    // A plan's name may have any character; a key's id has no line end.
    if let Some((plan, key)) = owner.rsplit_once('\n') {
        visit(QuotaRow {
            plan: plan.to_owned(),
            key: key.to_owned(),
            usage: QuotaUsage {
                period,
                number,
                used: u64::try_from(used).unwrap_or_default(),
                extra,
            },
        });
    }
}

/// Visits a hash of numbers, a chunk at a time. A field that exists all the time is visited at
/// least once.
fn for_each(
    storage: &RedisStorage,
    hash: &str,
    show: &mut dyn FnMut(&str, i64),
) -> Result<(), StorageError> {
    let hash = storage.server.key(hash);
    let mut cursor = 0_u64;
    loop {
        let ask = |connection: &mut Connection| {
            let mut ask = cmd("HSCAN");
            ask.arg(&hash).arg(cursor).arg("COUNT").arg(CHUNK_SIZE);
            ask.query::<(u64, Vec<(String, i64)>)>(connection)
        };
        let (next, rows) = storage.server.read(ask)?.value;
        for (field, value) in rows {
            show(&field, value);
        }
        if next == 0 {
            return Ok(());
        }
        cursor = next;
    }
}

/// Removes expired secrets from these keys. A key that others change meanwhile waits for the next
/// time. Returns whether there may be more.
fn delete_expired_secrets(
    storage: &RedisStorage,
    owners: impl Iterator<Item = String>,
    now_ms: u64,
) -> Result<bool, StorageError> {
    let mut removed = false;
    for id in owners {
        let Some(mut key) = storage.key(&id)? else {
            continue;
        };
        let before = key.record.secrets.len();
        let mut is_newest = true;
        // The newest one stays, because it shows how the key ended.
        key.record.secrets.retain(|secret| {
            std::mem::take(&mut is_newest) || secret.expires_ms.is_none_or(|end| end > now_ms)
        });
        if key.record.secrets.len() == before {
            continue;
        }
        let write = Write::PutKey {
            expect: key.record.revision,
            record: key.record,
        };
        match storage.commit(&[write]) {
            Ok(_) => removed = true,
            Err(CommitError::Conflict(_)) => {}
            Err(CommitError::Storage(error)) => return Err(error),
        }
    }
    Ok(removed)
}
