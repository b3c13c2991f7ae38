//! `windlass check`: everything that a start would find, and nothing put in use.

use std::num::NonZeroUsize;
use std::path::Path;
use std::process::ExitCode;

use super::BAD_CONFIG;
use crate::config::Config;
use crate::gateway::{Foundation, Gateway};

/// Check a configuration: read it, compile and configure its filters, build its router.
pub fn check(path: &Path) -> ExitCode {
    let config = match Config::read(path) {
        Ok(config) => config,
        Err(problems) => {
            eprint!("{problems}");
            return ExitCode::from(BAD_CONFIG);
        }
    };
    let workers = super::run::workers(&config);
    let foundation = match Foundation::without_store(&config, workers) {
        Ok(foundation) => foundation,
        Err(error) => {
            eprintln!("windlass: {error}");
            return ExitCode::FAILURE;
        }
    };
    let mut problems = config.warnings.clone();
    super::fits::check(&config, workers, &mut problems);
    let gateway = foundation.build(config, &mut problems);
    if !problems.is_empty() {
        eprint!("{problems}");
    }
    match gateway {
        Some(gateway) => {
            describe(path, &gateway, workers);
            ExitCode::SUCCESS
        }
        None => ExitCode::from(BAD_CONFIG),
    }
}

/// What the configuration amounts to.
fn describe(path: &Path, gateway: &Gateway, workers: NonZeroUsize) {
    println!(
        "{}: good ({} routes, {} filters, {} upstreams, {workers} workers)",
        path.display(),
        gateway.routes.len(),
        gateway.filters.len(),
        gateway.upstreams.len(),
    );
    for filter in &gateway.filters {
        let facts = filter.facts();
        let phases: Vec<_> = filter.phases().names().collect();
        println!("  filter `{}`: {}", filter.name(), facts.plugin);
        if !facts.summary.is_empty() {
            println!("    {}", facts.summary);
        }
        println!("    phases: {}", phases.join(", "));
        for (title, list) in [
            ("provides", &facts.provides),
            ("sometimes", &facts.sometimes),
            ("requires", &facts.requires),
        ] {
            if !list.is_empty() {
                println!("    {title}: {}", list.join(", "));
            }
        }
        if !filter.stubbed().is_empty() {
            println!("    there but not usable: {}", filter.stubbed().join(", "));
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
