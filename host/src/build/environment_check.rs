//! Checks the environment of a start for `windlass check`: addresses, the store, the access log.
//!
//! It writes, creates and keeps nothing, so that a running gateway is not disturbed. Things that such a
//! gateway uses (its addresses, its store) cause a warning, not an error. All other checks are in
//! [`super::ProcessResources::build`], for a check as for a start.

use std::io;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;

use rustix::fs::{Access, access};
use socket2::{Domain, Protocol, Socket, Type};

use super::{ProcessResources, chains, filters, keys, listeners, storage, upstreams};
use crate::config::{AccessLog, Config, Problems, RedisPlace, Severity, Span, StorePlace};
use crate::control::storage::sqlite::FileUse;
use crate::control::storage::{redis, sqlite};
use crate::shared_store::StorageError;
use crate::upstream::endpoint::dns::DnsResolver;

impl ProcessResources {
    /// Tells all other errors of a configuration that cannot be built for some: of its plugins and
    /// their settings, the order of filters, routes that conflict, secrets, certificates and names.
    /// Leaves out errors that may be gone with the known ones.
    pub(crate) fn report_all_errors(&self, config: &Config, problems: &mut Problems) {
        let mut found = Problems::new(Arc::clone(problems.source()));
        let filters = filters::load(config, &self.registry, None, &mut found);
        for route in &config.routes {
            chains::check(config, route, &filters, &mut found);
        }
        chains::router(config, &mut found);
        listeners::tls(config, &self.certificates, &mut found);
        keys::secrets(config, &mut found);
        // Nobody knows whom to ask otherwise.
        let answered = if config.server.are_resolvers_whole {
            let names = Arc::new(DnsResolver::new(&config.server.resolvers));
            upstreams::look_up_names(config, &self.maintenance, &names)
        } else {
            upstreams::ResolvedNames::default()
        };
        upstreams::states(config, &self.upstreams, &answered, &mut found);
        found.retain(|problem| problem.severity == Severity::Error);
        problems.extend(found);
    }
}

pub(crate) fn check_environment(config: &Config, problems: &mut Problems) {
    for listener in &config.listeners {
        address("listener", listener.address, problems);
    }
    if let Some(admin) = &config.admin {
        address("`[admin]`", admin.address, problems);
    }
    if let Some(store) = &config.store {
        match &store.place {
            StorePlace::Sqlite(path) => file(path, store.span, problems),
            StorePlace::Redis(place) => server(config, place, store.span, problems),
        }
    }
    if let AccessLog::File(path) = &config.log.access
        && let Err((why, help)) = writable(path)
    {
        let message = format!(
            "`[log] access`: `{}` cannot be written: {why}",
            path.display()
        );
        problems.error(Span::default(), message).help(help);
    }
}

/// Whether a file can be opened as the store.
fn file(path: &Path, span: Span, problems: &mut Problems) {
    match sqlite::check(path) {
        Ok(FileUse::Free) => {}
        Ok(FileUse::ByAnother) => {
            let message = format!(
                "`[store] path`: a gateway that runs has the store `{}`",
                path.display()
            );
            problems
                .warning(span, message)
                .help("stop that gateway before another one starts with this file; a reload of it is no matter");
        }
        Err(error) => {
            problems.error(span, format!("`[store] path`: {error}"));
        }
    }
}

/// Whether a Redis can be used as the store. A gateway starts without one that is out of reach.
fn server(config: &Config, place: &RedisPlace, span: Span, problems: &mut Problems) {
    // A secret that cannot be read is told with the others.
    let Ok(settings) = storage::redis(config, place) else {
        return;
    };
    match redis::check(&settings) {
        Ok(()) => {}
        Err(error @ StorageError::Unreachable { .. }) => {
            problems
                .warning(span, format!("`[store] url`: {error}"))
                .help("start that server, or mend the address; a gateway starts without it, and refuses the store's keys until it answers");
        }
        Err(error) => {
            problems
                .error(span, format!("`[store] url`: {error}"))
                .help("write the address, the database and the password (`[store] password`) that the server accepts");
        }
    }
}

/// Whether an address can be bound. It is bound, not listened on, and let go of at once.
fn address(whose: &str, address: SocketAddr, problems: &mut Problems) {
    if address.port() == 0 {
        return;
    }
    let bound = Socket::new(
        Domain::for_address(address),
        Type::STREAM,
        Some(Protocol::TCP),
    )
    .and_then(|socket| {
        socket.set_reuse_address(true)?;
        socket.bind(&address.into())
    });
    let Err(error) = bound else { return };
    let (what, help) = match error.kind() {
        io::ErrorKind::AddrInUse => {
            let message = format!("{whose}: address `{address}` is in use now");
            problems.warning(Span::default(), message).help(
                "if that is the gateway which this file is for, reload it; else stop what listens there (`ss -ltnp` names it), or a start fails",
            );
            return;
        }
        io::ErrorKind::PermissionDenied => (
            "may not be bound by this user".to_owned(),
            "use a port above 1023, or grant `CAP_NET_BIND_SERVICE`",
        ),
        io::ErrorKind::AddrNotAvailable => (
            "is no address of this machine".to_owned(),
            "write one that `ip address` shows, or `0.0.0.0` for all of them",
        ),
        _ => (
            format!("cannot be bound: {error}"),
            "write an address of this machine",
        ),
    };
    let message = format!("{whose}: address `{address}` {what}");
    problems.error(Span::default(), message).help(help);
}

/// Whether a file can be written at its end, or made.
fn writable(path: &Path) -> Result<(), (String, &'static str)> {
    let refused = |what: &str| {
        let help = "let the user that runs Windlass write it, or name another file";
        (format!("{what} may not be written by this user"), help)
    };
    match std::fs::metadata(path) {
        Ok(known) if known.is_dir() => Err((
            "it is a folder".to_owned(),
            "write the name of a file in it",
        )),
        Ok(_) => access(path, Access::WRITE_OK).map_err(|_| refused("it")),
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            let folder = path.parent().filter(|folder| *folder != Path::new(""));
            let folder = folder.unwrap_or(Path::new("."));
            match std::fs::metadata(folder) {
                Ok(known) if known.is_dir() => access(folder, Access::WRITE_OK | Access::EXEC_OK)
                    .map_err(|_| refused("its folder")),
                Ok(_) => Err((
                    format!("`{}` is no folder", folder.display()),
                    "name a file in a folder that exists",
                )),
                Err(_) => Err((
                    "its folder does not exist".to_owned(),
                    "make the folder first: the gateway makes files and no folders",
                )),
            }
        }
        Err(error) => Err((error.to_string(), "name a file that this user can reach")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_written_where_its_folder_is() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        assert_eq!(writable(&at("new.json")), Ok(()));
        assert!(!at("new.json").exists(), "nothing is made");
        std::fs::write(at("old.json"), "").unwrap();
        assert_eq!(writable(&at("old.json")), Ok(()));
        for (name, why) in [
            ("none/a.json", "its folder does not exist"),
            (".", "it is a folder"),
        ] {
            assert_eq!(writable(&at(name)).unwrap_err().0, why);
        }
    }
}
