//! `windlass check`: finds everything that a start would find, and puts nothing in use.

use std::num::NonZeroUsize;
use std::path::Path;
use std::process::ExitCode;

use super::BAD_CONFIG;
use crate::build::{ProcessResources, environment_check};
use crate::config::{self, Config};
use crate::proxy::gateway::Gateway;

/// Checks a configuration: reads it, compiles and configures its filters, builds its router, and
/// checks the machine for what a start needs. Reports all errors at once.
pub(crate) fn check(path: &Path) -> ExitCode {
    let (config, mut problems) = Config::read_anyway(path);
    let Some(config) = config else {
        eprint!("{problems}");
        return ExitCode::from(BAD_CONFIG);
    };
    let workers = super::run::workers(&config);
    let foundation = match ProcessResources::without_store(&config, workers) {
        Ok(foundation) => foundation,
        Err(error) => {
            eprint!("{problems}");
            eprintln!("windlass: {error}");
            return ExitCode::FAILURE;
        }
    };
    super::file_limit::check(&config, workers, &mut problems);
    environment_check::check_environment(&config, &mut problems);
    let is_sound = !config.warnings.is_fatal();
    let gateway = if is_sound {
        foundation.build(config, &mut problems)
    } else {
        foundation.report_all_errors(&config, &mut problems);
        None
    };
    if !problems.is_empty() {
        eprint!("{problems}");
    }
    match gateway {
        Some(gateway) if !problems.is_fatal() => {
            describe(path, &gateway, workers);
            ExitCode::SUCCESS
        }
        Some(_) | None => ExitCode::from(BAD_CONFIG),
    }
}

/// Describes the gateway that the configuration makes.
fn describe(path: &Path, gateway: &Gateway, workers: NonZeroUsize) {
    let parts = [
        (gateway.routes.len(), "route"),
        (gateway.filters.len(), "filter"),
        (gateway.upstreams.len(), "upstream"),
        (workers.get(), "worker"),
    ];
    let parts = parts.map(|(number, noun)| config::counted(number as u64, noun));
    println!("{}: good ({})", path.display(), parts.join(", "));
    for filter in &gateway.filters {
        let facts = filter.facts();
        let phases = filter.phases();
        let sees_bodies = phases.request_body || phases.response_body;
        let phases: Vec<_> = phases.names().collect();
        println!("  filter `{}`: {}", filter.name(), facts.plugin);
        if !facts.summary.is_empty() {
            println!("    {}", facts.summary);
        }
        match filter.is_handler() {
            true => println!("    handles whole requests and responses"),
            false => println!("    phases: {}", phases.join(", ")),
        }
        if sees_bodies {
            println!(
                "    bodies: whole bodies up to {} (`limits.body`), if its settings ask for them",
                config::size(filter.body_cap())
            );
        }
        for (title, list) in [
            ("provides", &facts.provides),
            ("sometimes", &facts.sometimes),
            ("requires", &facts.requires),
        ] {
            if !list.is_empty() {
                println!("    {title}: {}", list.join(", "));
            }
        }
        for (name, document) in filter.services().documents.iter() {
            println!(
                "    document `{name}`: {}, {document:?}",
                config::counted(document.bytes.len() as u64, "byte")
            );
        }
        if !filter.stubbed().is_empty() {
            println!(
                "    present but not usable: {}",
                filter.stubbed().join(", ")
            );
        }
    }
    for route in &gateway.routes {
        let filters: Vec<_> = route
            .filters
            .iter()
            .map(|filter| &**filter.name())
            .collect();
        let chain = match filters.as_slice() {
            [] => "no filters".to_owned(),
            filters => filters.join(" > "),
        };
        println!("  route `{}`: {chain}", route.info.name);
    }
}
