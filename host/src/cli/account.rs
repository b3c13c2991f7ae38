//! The account that the gateway runs as: `[server] user` and `group`.
//!
//! A gateway that root starts binds its sockets first, and then becomes another user for good ([`SystemAccount::assume`]),
//! before it opens the store, the logs and the certificates: so whatever that user cannot read is an error of
//! the start, and not of a later reload. Deliberately not here: capabilities, which the kernel takes away with
//! the user id.

use std::io;

use rustix::process::{Gid, Uid, geteuid, getgid};
use rustix::thread::{set_no_new_privs, set_thread_gid, set_thread_groups, set_thread_uid};
use uzers::{User, get_group_by_name, get_user_by_name, get_user_by_uid};

use crate::config::Server;

/// Why the gateway cannot run as the account.
#[derive(Debug, thiserror::Error)]
pub(super) enum AccountError {
    #[error(
        "`[server] user`: there is no user `{0}` on this machine; create it, or write another one"
    )]
    NoUser(String),
    #[error(
        "`[server] group`: there is no group `{0}` on this machine; create it, or write another one"
    )]
    NoGroup(String),
    #[error(
        "`[server] user` is the number {0}, and this machine knows no such user: write its `group`, too"
    )]
    NeedsGroup(u32),
    #[error(
        "only root can run Windlass as another user: start it as root, or as that user without `[server] user` and `group`"
    )]
    NotRoot,
    #[error("the system does not let Windlass become the user of `[server]`")]
    Refused(#[from] io::Error),
    #[error("Windlass has threads already, which would stay root; report this as a bug")]
    HasThreads,
    #[error(
        "Windlass could become root again after it took the user of `[server]`, and does not run like that"
    )]
    StillRoot,
}

/// A user, and its groups.
#[derive(Debug)]
pub(super) struct SystemAccount {
    uid: Uid,
    gid: Gid,
    /// Its other groups.
    groups: Vec<Gid>,
}

impl SystemAccount {
    /// The account of the configuration, if it is not the present one.
    ///
    /// # Errors
    ///
    /// There is none, or this process cannot become it.
    pub(super) fn of(server: &Server) -> Result<Option<Self>, AccountError> {
        let user = server.user.as_deref().map(find_user).transpose()?;
        let group = server.group.as_deref().map(find_group).transpose()?;
        let account = match (user, group) {
            (None, None) => return Ok(None),
            (None, Some(gid)) => Self {
                uid: geteuid(),
                gid,
                groups: Vec::new(),
            },
            (Some((uid, None)), None) => return Err(AccountError::NeedsGroup(uid.as_raw())),
            (Some((uid, None)), Some(gid)) => Self {
                uid,
                gid,
                groups: Vec::new(),
            },
            (Some((uid, Some(user))), group) => Self {
                uid,
                gid: group.unwrap_or(Gid::from_raw(user.primary_group_id())),
                groups: other_groups(&user),
            },
        };
        let is_present = account.uid == geteuid() && account.gid == getgid();
        if !is_present && !geteuid().is_root() {
            return Err(AccountError::NotRoot);
        }
        Ok((!is_present).then_some(account))
    }

    /// The number of the user.
    pub(super) fn uid(&self) -> u32 {
        self.uid.as_raw()
    }

    /// Become this user for good: with its groups only, without capabilities, and without a way to get any by
    /// running a program. To be called before there are other threads, since these would stay as they are.
    ///
    /// # Errors
    ///
    /// The system refuses it. The process must end then.
    pub(super) fn assume(self) -> Result<(), AccountError> {
        if std::fs::read_dir("/proc/self/task").is_ok_and(|tasks| tasks.count() > 1) {
            return Err(AccountError::HasThreads);
        }
        set_thread_groups(&self.groups).map_err(io::Error::from)?;
        set_thread_gid(self.gid).map_err(io::Error::from)?;
        set_thread_uid(self.uid).map_err(io::Error::from)?;
        if !self.uid.is_root() && set_thread_uid(Uid::ROOT).is_ok() {
            return Err(AccountError::StillRoot);
        }
        set_no_new_privs(true).map_err(io::Error::from)?;
        Ok(())
    }
}

/// A user by its name or number. A number may be unknown to the machine.
fn find_user(text: &str) -> Result<(Uid, Option<User>), AccountError> {
    if let Ok(number) = text.parse() {
        return Ok((Uid::from_raw(number), get_user_by_uid(number)));
    }
    let user = get_user_by_name(text).ok_or_else(|| AccountError::NoUser(text.to_owned()))?;
    Ok((Uid::from_raw(user.uid()), Some(user)))
}

/// A group by its name or number.
fn find_group(text: &str) -> Result<Gid, AccountError> {
    if let Ok(number) = text.parse() {
        return Ok(Gid::from_raw(number));
    }
    let group = get_group_by_name(text).ok_or_else(|| AccountError::NoGroup(text.to_owned()))?;
    Ok(Gid::from_raw(group.gid()))
}

/// All groups that a user is in.
fn other_groups(user: &User) -> Vec<Gid> {
    let groups = user.groups().unwrap_or_default();
    groups
        .iter()
        .map(|group| Gid::from_raw(group.gid()))
        .collect()
}
