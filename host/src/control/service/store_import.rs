//! Imports an exported storage into this one, a chunk at a time.
//!
//! It promises
//! - that the same file may be imported again: identical records stay, usage is never counted
//!   twice, and another run completes a file that was cut short;
//! - that no existing record is changed, unless the caller says so: records that differ are
//!   reported;
//! - that every record follows the rules: an invalid one is left out and reported with its line;
//! - that a dry run gives the same report and writes nothing.

use std::collections::{BTreeMap, HashMap};

use super::super::storage::record::{KeyRecord, PlanRecord};
use super::super::storage::{CommitError, Conflict, LastUse, QuotaExtension, UsageQuery, Write};
use super::store_export::StoreItem;
use super::store_report::{RecordOutcome, StoreImport, StoreReport};
use super::{ControlService, ServiceError, rules};
use crate::limits::usage_rows::UsageDelta;
use crate::model::name::is_name;

/// The days of each plan and key: the line in the file, the day since 1970, and the usage.
type UsageByKey = BTreeMap<(String, String), Vec<(u64, u32, u64)>>;

/// Days after today that may have usage, because clocks differ.
const FUTURE_DAYS: u32 = 1;

/// A key to write.
struct PendingKey {
    line: u64,
    record: KeyRecord,
    expect: u64,
    done: RecordOutcome,
}

fn digest_taken(id: &str, owner: &str) -> RecordOutcome {
    RecordOutcome::LeftOut(format!(
        "key `{id}` has the same secret as key `{owner}`, which exists already"
    ))
}

/// Leaves the record out if it is to blame. Any other error ends the import.
fn left_out(error: ServiceError) -> Result<RecordOutcome, ServiceError> {
    match error {
        ServiceError::Storage(_) | ServiceError::Randomness(_) => Err(error),
        other => Ok(RecordOutcome::LeftOut(other.to_string())),
    }
}

impl ControlService {
    /// Imports some records, each with its line in the file. Plans come before the keys on them.
    ///
    /// # Errors
    ///
    /// The storage is out of reach; the report has what was done before.
    pub(crate) fn import_store(
        &self,
        items: Vec<(u64, StoreItem)>,
        how: StoreImport,
        now_ms: u64,
        report: &mut StoreReport,
    ) -> Result<(), ServiceError> {
        let mut usage = UsageByKey::new();
        let mut touched = Vec::new();
        let mut keys = Vec::new();
        for (line, item) in items {
            if !matches!(item, StoreItem::Key(_)) {
                self.commit_keys(std::mem::take(&mut keys), report)?;
            }
            match item {
                StoreItem::Plan(plan) => {
                    let done = self.import_plan(plan, how, now_ms, report);
                    let done = done.or_else(left_out)?;
                    report.record_outcome(|report| &mut report.plans, line, done);
                }
                StoreItem::Key(key) => {
                    let last = key.last_used_ms.map(|at_ms| LastUse {
                        key: key.record.id.as_str().into(),
                        at_ms,
                    });
                    let record = key.record;
                    let (done, expect) = self.import_key(&record, how, report)?;
                    if !matches!(done, RecordOutcome::LeftOut(_)) {
                        touched.extend(last);
                    }
                    match expect {
                        Some(expect) if !how.dry_run => keys.push(PendingKey {
                            line,
                            record,
                            expect,
                            done,
                        }),
                        Some(_) | None => {
                            report.record_outcome(|report| &mut report.keys, line, done);
                        }
                    }
                }
                StoreItem::Usage {
                    plan,
                    key,
                    day,
                    used,
                } => usage
                    .entry((plan, key))
                    .or_default()
                    .push((line, day, used)),
                StoreItem::Extension(extension) => {
                    // The extension is computed from the usage.
                    self.import_usage(&std::mem::take(&mut usage), how, now_ms, report)?;
                    let done = self.import_extension(&extension, how, now_ms);
                    let done = done.or_else(left_out)?;
                    report.record_outcome(|report| &mut report.extensions, line, done);
                }
            }
        }
        self.commit_keys(keys, report)?;
        self.import_usage(&usage, how, now_ms, report)?;
        if !how.dry_run {
            self.storage.add_usage(&[], &touched)?;
            self.apply_commit();
        }
        Ok(())
    }

    fn import_plan(
        &self,
        plan: PlanRecord,
        how: StoreImport,
        now_ms: u64,
        report: &mut StoreReport,
    ) -> Result<RecordOutcome, ServiceError> {
        rules::check_plan(&plan)?;
        self.refuse_configured_plan(&plan.name)?;
        let _plans = self.plans.write();
        let there = self.storage.plan(&plan.name)?;
        let there = there.map(|there| (there.revision, same_plan(&there, &plan)));
        let (done, expect) = outcome("plan", &plan.name, there, how);
        let Some(expect) = expect else {
            return Ok(done);
        };
        if expect > 0 {
            self.check_sets(&plan)?;
        }
        if how.dry_run {
            report.new_plans.insert(plan.name);
            return Ok(done);
        }
        let mut record = plan;
        if expect > 0 {
            record.updated_ms = now_ms;
        }
        let name = record.name.clone();
        match self.storage.commit(&[Write::PutPlan { record, expect }]) {
            Ok(_) => Ok(done),
            Err(CommitError::Conflict(_)) => Ok(RecordOutcome::LeftOut(format!(
                "plan `{name}` was changed by others meanwhile; import the file again"
            ))),
            Err(CommitError::Storage(error)) => Err(error.into()),
        }
    }

    /// The outcome for a key, and the revision that it replaces if it is to be written.
    fn import_key(
        &self,
        record: &KeyRecord,
        how: StoreImport,
        report: &mut StoreReport,
    ) -> Result<(RecordOutcome, Option<u64>), ServiceError> {
        if let Err(error) = self.check_imported(record, report) {
            return Ok((left_out(error)?, None));
        }
        let there = self.storage.key(&record.id)?;
        let there = there.map(|there| (there.record.revision, same_key(&there.record, record)));
        let (done, expect) = outcome("key", &record.id, there, how);
        if how.dry_run && expect.is_some() {
            for secret in &record.secrets {
                let digest = *secret.digest.as_bytes();
                let owner = self.storage.key_by_digest(&secret.digest)?;
                let owner = owner.map(|owner| owner.record.id);
                let owner = owner.or_else(|| report.new_digests.get(&digest).cloned());
                if let Some(owner) = owner.filter(|owner| *owner != record.id) {
                    return Ok((digest_taken(&record.id, &owner), None));
                }
                report.new_digests.insert(digest, record.id.clone());
            }
        }
        Ok((done, expect))
    }

    /// Writes keys: all in one commit, or one by one if one of them is in conflict.
    fn commit_keys(
        &self,
        keys: Vec<PendingKey>,
        report: &mut StoreReport,
    ) -> Result<(), ServiceError> {
        if keys.is_empty() {
            return Ok(());
        }
        let _plans = self.plans.read();
        let chunk = self.storage.max_writes().max(1);
        let mut keys = keys.into_iter().peekable();
        while keys.peek().is_some() {
            self.commit_key_chunk(keys.by_ref().take(chunk).collect(), report)?;
        }
        Ok(())
    }

    fn commit_key_chunk(
        &self,
        keys: Vec<PendingKey>,
        report: &mut StoreReport,
    ) -> Result<(), ServiceError> {
        let writes = keys.iter().map(|key| Write::PutKey {
            record: key.record.clone(),
            expect: key.expect,
        });
        let conflict = match self.storage.commit(&writes.collect::<Vec<_>>()) {
            Ok(_) => None,
            Err(CommitError::Conflict(conflict)) => Some(conflict),
            Err(CommitError::Storage(error)) => return Err(error.into()),
        };
        if conflict.is_some() && keys.len() > 1 {
            return keys
                .into_iter()
                .try_for_each(|key| self.commit_key_chunk(vec![key], report));
        }
        for PendingKey {
            line, record, done, ..
        } in keys
        {
            let id = &record.id;
            let done = match &conflict {
                None => done,
                Some(Conflict::Digest { owner, .. }) => digest_taken(id, owner),
                Some(_) => RecordOutcome::LeftOut(format!(
                    "key `{id}` is in the file twice, or was changed by others meanwhile"
                )),
            };
            report.record_outcome(|report| &mut report.keys, line, done);
        }
        Ok(())
    }

    /// Checks that the key follows the rules and may exist here.
    fn check_imported(&self, record: &KeyRecord, report: &StoreReport) -> Result<(), ServiceError> {
        if !is_name(&record.id) {
            let why = "is not 1 to 64 letters, digits, `_` and `-`";
            return Err(ServiceError::invalid("id", why));
        }
        if record.secrets.is_empty() {
            let why = "has no digest, so nobody could present this key";
            return Err(ServiceError::invalid("secrets", why));
        }
        if record.secrets.len() > MAX_SECRETS {
            let why = format!("has more than {MAX_SECRETS} entries");
            return Err(ServiceError::invalid("secrets", why));
        }
        for secret in &record.secrets {
            if let Err(why) = rules::check_single_line(&secret.prefix, MAX_PREFIX) {
                return Err(ServiceError::invalid("secrets.prefix", why));
            }
            self.refuse_configured_digest(&secret.digest)?;
        }
        rules::check_key(record)?;
        self.refuse_configured_key(&record.id)?;
        let there: Vec<String> = record
            .plans
            .iter()
            .filter(|plan| !report.new_plans.contains(*plan))
            .cloned()
            .collect();
        self.check_plans(&there)
    }

    fn import_usage(
        &self,
        usage: &UsageByKey,
        how: StoreImport,
        now_ms: u64,
        report: &mut StoreReport,
    ) -> Result<(), ServiceError> {
        let last_day = super::usage::day_of(now_ms).saturating_add(FUTURE_DAYS);
        let mut deltas = Vec::new();
        for ((plan, key), days) in usage {
            let named = is_name(plan) && is_name(key);
            let wanted = days.iter().filter(|(_, day, _)| named && *day <= last_day);
            let wanted: Vec<u32> = wanted.map(|(_, day, _)| *day).collect();
            let (from, to) = (wanted.iter().min(), wanted.iter().max());
            let there: HashMap<u32, u64> = match (from, to) {
                (Some(from), Some(to)) => {
                    let rows = self.storage.usage(&UsageQuery {
                        plan: plan.clone(),
                        key: Some(key.clone()),
                        from_day: *from,
                        to_day: *to,
                        after: None,
                        limit: 1,
                    })?;
                    rows.into_iter().map(|row| (row.day, row.used)).collect()
                }
                _ => HashMap::new(),
            };
            for (line, day, used) in days {
                let done = if !named || *day > last_day {
                    let why = "usage of an invalid plan or key, or of a future day";
                    RecordOutcome::LeftOut(why.to_owned())
                } else {
                    // This gateway has counted more than the file since the export.
                    let counted = there.get(day).copied();
                    let more = used.saturating_sub(counted.unwrap_or(0));
                    if more > 0 {
                        deltas.push(UsageDelta {
                            plan: plan.as_str().into(),
                            key: key.as_str().into(),
                            day: *day,
                            used: i64::try_from(more).unwrap_or(i64::MAX),
                            quota: None,
                        });
                    }
                    match counted {
                        None if more > 0 => RecordOutcome::Added,
                        Some(_) if more > 0 => RecordOutcome::Replaced,
                        None | Some(_) => RecordOutcome::Unchanged,
                    }
                };
                report.record_outcome(|report| &mut report.usage, *line, done);
            }
        }
        if how.dry_run || deltas.is_empty() {
            return Ok(());
        }
        // Plans that were imported before count it.
        self.apply_commit();
        self.runtime.add_usage(&deltas)?;
        Ok(())
    }

    fn import_extension(
        &self,
        extension: &QuotaExtension,
        how: StoreImport,
        now_ms: u64,
    ) -> Result<RecordOutcome, ServiceError> {
        let QuotaExtension {
            plan,
            key,
            period,
            number,
            extra,
        } = extension;
        if period.number(now_ms) != *number {
            return Ok(RecordOutcome::LeftOut(format!(
                "the extension of key `{key}` on plan `{plan}` is not of the current period"
            )));
        }
        let quota = match self.plan(plan) {
            Ok(plan) => plan.record.quota,
            Err(ServiceError::NoPlan(_)) if how.dry_run => return Ok(RecordOutcome::Added),
            Err(error) => return Err(error),
        };
        if quota.is_none_or(|quota| quota.period != *period) {
            return Ok(RecordOutcome::LeftOut(format!(
                "plan `{plan}` has no quota with the period of the extension of key `{key}`"
            )));
        }
        if self
            .runtime
            .quota_status(plan, key)
            .map(|status| status.extra)
            == Some(*extra)
        {
            return Ok(RecordOutcome::Unchanged);
        }
        if how.dry_run {
            return Ok(RecordOutcome::Added);
        }
        match self.runtime.set_extra(plan, key, *extra)? {
            Some(made) => {
                self.runtime.flush()?;
                self.storage.extend(&made)?;
                Ok(RecordOutcome::Added)
            }
            None => Ok(RecordOutcome::LeftOut(format!(
                "plan `{plan}` has no quota"
            ))),
        }
    }
}

/// The outcome for a record, and the revision that it replaces if it is to be written. `there` is
/// the revision of the record that exists, and whether the two are the same.
fn outcome(
    kind: &str,
    name: &str,
    there: Option<(u64, bool)>,
    how: StoreImport,
) -> (RecordOutcome, Option<u64>) {
    match there {
        None => (RecordOutcome::Added, Some(0)),
        Some((_, true)) => (RecordOutcome::Unchanged, None),
        Some((revision, false)) if how.replace => (RecordOutcome::Replaced, Some(revision)),
        Some((_, false)) => {
            let why = format!(
                "{kind} `{name}` exists and differs; it stays as it is (`replace` would overwrite it)"
            );
            (RecordOutcome::LeftOut(why), None)
        }
    }
}

/// The most secrets of one key: two are valid, and some have expired.
const MAX_SECRETS: usize = 16;
/// The longest prefix of a secret. Characters.
const MAX_PREFIX: usize = 16;

/// Whether two records are the same plan, whatever commits wrote them.
fn same_plan(there: &PlanRecord, plan: &PlanRecord) -> bool {
    let bare = |plan: &PlanRecord| PlanRecord {
        created_ms: 0,
        updated_ms: 0,
        revision: 0,
        ..plan.clone()
    };
    bare(there) == bare(plan)
}

/// Whether two records are the same key, whatever commits wrote them.
fn same_key(there: &KeyRecord, key: &KeyRecord) -> bool {
    let bare = |key: &KeyRecord| KeyRecord {
        created_ms: 0,
        updated_ms: 0,
        revision: 0,
        ..key.clone()
    };
    bare(there) == bare(key)
}
