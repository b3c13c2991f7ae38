//! Checks the limits of the configuration against the hard limit of open files.

use std::num::NonZeroUsize;

use crate::config::{Config, Problems, Span, counted};
use crate::runtime::descriptors;

/// Warns of limits that can never be reached because the system does not give so many files. A
/// limit that leaves no file for any client is an error.
pub(crate) fn check(config: &Config, workers: NonZeroUsize, problems: &mut Problems) {
    if let Some(limit) = descriptors::hard_limit() {
        check_against(config, workers, limit, problems);
    }
}

fn check_against(config: &Config, workers: NonZeroUsize, limit: u64, problems: &mut Problems) {
    let workers = number(workers.get());
    let listeners = number(config.listeners.len());
    let connections = config.listeners.iter();
    let connections: u64 = connections
        .map(|listener| number(listener.max_connections))
        .sum();
    let idle = config
        .upstreams
        .iter()
        .map(|upstream| workers * number(upstream.endpoints.len()) * number(upstream.max_idle));
    let idle: u64 = idle.sum();
    let help = "raise the hard limit (`LimitNOFILE=` of systemd, `--ulimit nofile=` of containers, `ulimit -Hn` of shells), or lower";
    let clients = descriptors::needed(workers, listeners, connections);
    let room = descriptors::room_for_clients(limit);
    let own = descriptors::needed(workers, listeners, 0);
    if room <= own {
        problems
            .error(
                Span::default(),
                format!(
                    "the process may have {limit} files open, which leaves room for 0 clients: {} and {} need them all",
                    counted(workers, "worker"),
                    counted(listeners, "listener"),
                ),
            )
            .help(format!("{help} `[server] workers`"));
    } else if clients > room {
        problems
            .warning(
                Span::default(),
                format!(
                    "`max_connections` of the listeners adds up to {connections}, but the process may have {limit} files open, which leaves room for {}: Windlass pauses accepting at that number",
                    counted(room - own, "client"),
                ),
            )
            .help(format!("{help} `max_connections`"));
    } else if clients.saturating_add(idle) > limit {
        problems
            .warning(
                Span::default(),
                format!(
                    "{} (`max_connections`) and {} to endpoints (`max_idle`, for each endpoint and worker) are more than the {limit} files that the process may have open",
                    counted(connections, "client"),
                    counted(idle, "idle connection"),
                ),
            )
            .help(format!("{help} `max_idle`"));
    }
}

fn number(count: usize) -> u64 {
    u64::try_from(count).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    fn warnings(text: &str, limit: u64) -> String {
        let config = Config::parse("t", text, Path::new("")).unwrap();
        let mut problems = config.warnings.clone();
        let workers = NonZeroUsize::new(2).unwrap();
        check_against(&config, workers, limit, &mut problems);
        problems.to_string()
    }

    #[test]
    fn limits_that_do_not_fit_are_a_warning() {
        let listener = "[[listener]]\naddress = \"127.0.0.1:8080\"\n";
        let route = "[[route]]\npath = \"/\"\nupstream = \"app\"\n[upstream.app]\nendpoints = [{ address = \"127.0.0.1:1\" }]\n";
        let usual = format!("{listener}{route}");
        assert_eq!(warnings(&usual, 20_000), "");
        let text = warnings(&usual, 4096);
        assert!(text.contains("room for 2516 clients"), "{text}");
        let text = warnings(&usual, 64);
        for words in ["1 error in t", "room for 0 clients", "`LimitNOFILE=`"] {
            assert!(text.contains(words), "{text}");
        }
        let few = format!("{listener}max_connections = 2000\n{route}");
        assert_eq!(warnings(&few, 4096), "");
        let many = format!("{few}max_idle = 2000\n");
        let text = warnings(&many, 4096);
        assert!(text.contains("4000 idle connections"), "{text}");
    }
}
