//! The rules, on a ledger in a file.

mod keys;
mod selling;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use zeroize::Zeroizing;

use super::super::keys::{KeyDigest, KeyEntry, Profile, Secret, checksum_holds};
use super::super::ledger::record::{QuotaRecord, RateRecord};
use super::super::ledger::sqlite::SqliteLedger;
use super::super::ledger::{Extension, Ledger, LedgerError, UsageDelta};
use super::super::limits::{MonthDay, Period, Plan, Rate};
use super::*;

const NOW: u64 = 1_800_000_000_000;
const DAY_MS: u64 = 86_400_000;

/// Works without a gateway: they note what they are told.
#[derive(Debug, Default)]
struct Noted {
    catches: Mutex<usize>,
    sets: Mutex<Vec<Vec<Arc<str>>>>,
    standing: Mutex<Option<QuotaStanding>>,
    ledger: Option<Arc<SqliteLedger>>,
}

impl Works for Noted {
    fn catch_up(&self) -> Result<(), LedgerError> {
        *self.catches.lock() += 1;
        Ok(())
    }
    fn flush(&self) -> Result<(), LedgerError> {
        Ok(())
    }
    fn state(&self) -> WorksState {
        WorksState {
            fresh: true,
            since_contact: Duration::ZERO,
            keys: 0,
            revision: 0,
            failures: 0,
            unsaved: 0,
        }
    }
    fn plan_sets(&self) -> Vec<Vec<Arc<str>>> {
        self.sets.lock().clone()
    }
    fn last_used_ms(&self, _: &str) -> Option<u64> {
        None
    }
    fn standing(&self, _: &str, _: &str) -> Option<QuotaStanding> {
        *self.standing.lock()
    }
    fn extend(
        &self,
        plan: &str,
        key: &str,
        remaining: u64,
    ) -> Result<Option<Extension>, LedgerError> {
        Ok(Some(Extension {
            plan: plan.to_owned(),
            key: key.to_owned(),
            period: Period::Day,
            number: Period::Day.number(NOW),
            extra: i64::try_from(remaining).unwrap(),
        }))
    }
    fn set_extra(
        &self,
        plan: &str,
        key: &str,
        extra: i64,
    ) -> Result<Option<Extension>, LedgerError> {
        *self.standing.lock() = Some(standing(Period::Day, 0, extra));
        Ok(Some(Extension {
            plan: plan.to_owned(),
            key: key.to_owned(),
            period: Period::Day,
            number: Period::Day.number(NOW),
            extra,
        }))
    }
    fn add_usage(&self, used: &[UsageDelta]) -> Result<(), LedgerError> {
        match &self.ledger {
            Some(ledger) => ledger.add_usage(used, &[]),
            None => Ok(()),
        }
    }
    fn bound(&self, _: &str) -> Option<Slack> {
        None
    }
}

/// Where a quota stands now.
fn standing(period: Period, used: u64, extra: i64) -> QuotaStanding {
    QuotaStanding {
        period,
        number: period.number(NOW),
        used,
        extra,
        remaining: 0,
    }
}

struct Shop {
    registrar: Registrar,
    works: Arc<Noted>,
    ledger: Arc<SqliteLedger>,
    _folder: tempfile::TempDir,
}

fn shop() -> Shop {
    let folder = tempfile::tempdir().unwrap();
    let ledger = Arc::new(SqliteLedger::open(&folder.path().join("keys.db")).unwrap());
    let works = Arc::new(Noted {
        ledger: Some(Arc::clone(&ledger)),
        ..Noted::default()
    });
    Shop {
        registrar: Registrar::new(Arc::clone(&ledger) as _, Arc::clone(&works) as _),
        works,
        ledger,
        _folder: folder,
    }
}

fn key(plans: &[&str]) -> NewKey {
    NewKey {
        name: "first".to_owned(),
        consumer: "acme".to_owned(),
        plans: plans.iter().map(|plan| (*plan).to_owned()).collect(),
        metadata: BTreeMap::new(),
        enabled: true,
        expires_ms: None,
        value: None,
    }
}

fn plan(name: &str, apis: &[&str]) -> NewPlan {
    NewPlan {
        name: name.to_owned(),
        description: String::new(),
        rate: Some(RateRecord {
            per_second: 5.0,
            burst: 10,
        }),
        quota: None,
        methods: Vec::new(),
        apis: apis.iter().map(|api| (*api).to_owned()).collect(),
    }
}

impl Shop {
    fn sell(&self, plans: &[&str]) -> super::keys::Created {
        self.registrar.create_key(key(plans), None, NOW).unwrap()
    }
}
