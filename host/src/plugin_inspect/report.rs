//! The report on a component: as a page for people, and as JSON for programs.

use std::fmt::{self, Write as _};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use serde::Serialize;
use serde_json::Value as Json;

use super::cost::CallCost;
use super::sample::Sample;
use crate::model::filter::HostInterface;
use crate::model::word::Word as _;
use crate::wasm::anatomy::Anatomy;
use crate::wasm::component::CompiledComponent;
use crate::wasm::inspect::Inspection;
use crate::wasm::registry::LoadError;
use crate::wasm::{Filter, file_digest};

/// Everything that is known about a component.
#[derive(Debug, Serialize)]
pub(crate) struct InspectionReport {
    file: String,
    bytes: u64,
    sha256: String,
    debug_lines: bool,
    function_names: bool,
    core_instances: u32,
    memories: u32,
    tables: u32,
    /// Why the gateway does not load it, in the words of `windlass check`.
    pub(super) refused: Option<String>,
    #[serde(flatten)]
    pub(super) component: Option<ComponentReport>,
    pub(super) settings: Option<SettingsReport>,
    /// The `allow` that its table needs; none if it needs no grant.
    pub(super) allow: Option<String>,
    /// Whether it names secrets, and no case has one.
    pub(super) lacks_secrets: bool,
    #[serde(flatten)]
    pub(super) load: Option<LoadReport>,
    pub(super) call: Option<CallReport>,
}

/// The facts that are known without settings.
#[derive(Debug, Serialize)]
pub(super) struct ComponentReport {
    name: String,
    version: String,
    summary: String,
    phases: Vec<&'static str>,
    exports: Vec<String>,
    imports: Vec<ImportRow>,
    #[serde(skip)]
    pub(super) interfaces: Arc<[HostInterface]>,
    machine_code_bytes: usize,
    instantiate_us: f64,
    /// The schema as JSON, or as the text that is no JSON.
    settings_schema: Option<Json>,
}

/// One imported interface.
#[derive(Debug, Serialize)]
struct ImportRow {
    name: String,
    /// The interface that `allow` must name.
    grant: Option<&'static str>,
    /// Whether calling it traps: filters do not have it.
    traps: bool,
}

/// The settings that it was tried with.
#[derive(Debug, Serialize)]
pub(super) struct SettingsReport {
    from: String,
    /// Themselves, as a TOML table in one line.
    table: String,
    /// The errors in them, each with its JSON pointer.
    errors: Vec<String>,
}

/// The facts that are known once it is configured.
#[derive(Debug, Serialize)]
pub(super) struct LoadReport {
    provides: Vec<String>,
    sometimes: Vec<String>,
    requires: Vec<String>,
    /// Whether calls run on a fiber.
    fiber: bool,
    configure_us: Option<f64>,
    memory_bytes: u64,
}

/// The cost of calls here.
#[derive(Debug, Serialize)]
pub(super) struct CallReport {
    request: String,
    of_case: bool,
    outcome: String,
    failed: bool,
    exchanges: usize,
    median_us: f64,
    p99_us: f64,
    memory_growth_bytes: u64,
}

impl InspectionReport {
    /// The facts of the file.
    pub(super) fn of_file(file: &Path, wasm: &[u8], anatomy: Option<Anatomy>) -> Self {
        let anatomy = anatomy.unwrap_or_default();
        Self {
            file: file.display().to_string(),
            bytes: wasm.len() as u64,
            sha256: file_digest(wasm),
            debug_lines: anatomy.has_debug_lines,
            function_names: anatomy.has_function_names,
            core_instances: anatomy.core_instances,
            memories: anatomy.memories,
            tables: anatomy.tables,
            refused: None,
            component: None,
            settings: None,
            allow: None,
            lacks_secrets: false,
            load: None,
            call: None,
        }
    }

    /// Whether a gateway loads it, as far as that can be said.
    #[must_use]
    pub(crate) fn loads(&self) -> bool {
        self.refused.is_none()
    }

    /// The table to paste into a configuration.
    fn table(&self, component: &ComponentReport) -> String {
        let mut table = format!("[filter.{}]\nplugin   = {:?}\n", component.name, self.file);
        match &self.settings {
            Some(settings) if !settings.errors.is_empty() => {
                table.push_str("settings = {}   # write them by the schema above\n");
            }
            Some(settings) if settings.table != "{}" => {
                table.push_str("settings = ");
                table.push_str(settings.table.trim());
                table.push('\n');
            }
            _ => {}
        }
        if let Some(allow) = &self.allow {
            table.push_str(&allow.replacen("allow =", "allow    =", 1));
            if self.lacks_secrets {
                table.push_str(
                    "   # and `secrets = [\"..\"]`, with those that it signs or verifies with",
                );
            }
            table.push('\n');
        }
        table
    }
}

impl ComponentReport {
    pub(super) fn new(component: &CompiledComponent, inspection: Inspection) -> Self {
        let grant = |name: &str| {
            let path = name.split('@').next().unwrap_or(name);
            HostInterface::at(path).map(HostInterface::word)
        };
        let import = |name: String| ImportRow {
            grant: grant(&name),
            traps: inspection.stubbed.contains(&name),
            name,
        };
        let schema = inspection.description.schema;
        Self {
            name: inspection.description.name,
            version: inspection.description.version,
            summary: inspection.description.summary,
            phases: component.phases().names().collect(),
            exports: inspection.exports,
            imports: inspection.imports.into_iter().map(import).collect(),
            interfaces: inspection.interfaces,
            machine_code_bytes: inspection.machine_code,
            instantiate_us: micros(inspection.instantiation),
            settings_schema: schema
                .map(|text| serde_json::from_str(&text).unwrap_or(Json::String(text))),
        }
    }
}

impl SettingsReport {
    pub(super) fn accepted(sample: &Sample) -> Self {
        Self {
            from: sample.origin(),
            table: sample.settings.clone(),
            errors: Vec::new(),
        }
    }

    pub(super) fn rejected(sample: &Sample, error: &LoadError) -> Self {
        let errors = match error {
            LoadError::Settings { complaints, .. } => complaints
                .iter()
                .map(|one| format!("`{}`: {}", one.at, one.message))
                .collect(),
            other => vec![other.to_string()],
        };
        Self {
            from: sample.origin(),
            table: sample.settings.clone(),
            errors,
        }
    }
}

impl LoadReport {
    pub(super) fn new(filter: &Filter, memory: u64) -> Self {
        let facts = filter.facts();
        Self {
            provides: facts.provides.clone(),
            sometimes: facts.sometimes.clone(),
            requires: facts.requires.clone(),
            fiber: filter.runs_on_fiber(),
            configure_us: filter.start_time().ok().map(micros),
            memory_bytes: memory,
        }
    }
}

impl CallReport {
    pub(super) fn new(cost: CallCost, sample: &Sample) -> Self {
        Self {
            request: sample.request_line(),
            of_case: sample.is_of_case,
            outcome: cost.outcome,
            failed: cost.has_failed,
            exchanges: cost.exchanges,
            median_us: micros(cost.median),
            p99_us: micros(cost.p99),
            memory_growth_bytes: cost.growth,
        }
    }
}

fn micros(time: Duration) -> f64 {
    (time.as_secs_f64() * 1e8).round() / 100.0
}

/// A time for people.
fn time(micros: f64) -> String {
    match micros {
        short if short < 100.0 => format!("{short:.1} µs"),
        middle if middle < 1_000.0 => format!("{middle:.0} µs"),
        long => format!("{:.1} ms", long / 1_000.0),
    }
}

/// A size for people.
#[expect(clippy::cast_precision_loss, reason = "it is shown with one decimal")]
fn size(bytes: u64) -> String {
    match bytes {
        0..1024 => format!("{bytes} bytes"),
        1024..1_048_576 => format!("{:.1} KiB", bytes as f64 / 1024.0),
        _ => format!("{:.1} MiB", bytes as f64 / 1_048_576.0),
    }
}

fn list(names: &[String]) -> String {
    names.join(", ")
}

/// A page of rows, each with a title.
#[derive(Default)]
struct ReportPage(String);

impl ReportPage {
    /// A row; one without a title goes on with that before it.
    fn row(&mut self, title: &str, text: impl fmt::Display) {
        // Writing to a text cannot fail.
        let _ = writeln!(self.0, "  {title:<14}{text}");
    }

    fn some(&mut self, title: &str, names: &[String]) {
        if !names.is_empty() {
            self.row(title, list(names));
        }
    }
}

impl fmt::Display for InspectionReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}", self.file)?;
        let mut page = ReportPage::default();
        if let Some(component) = &self.component {
            page.row(
                "plugin",
                format_args!(
                    "{} {}: {}",
                    component.name, component.version, component.summary
                ),
            );
        }
        if let Some(refused) = &self.refused {
            page.row("does not load", refused);
        }
        self.file_rows(&mut page);
        if let Some(component) = &self.component {
            component.rows(&mut page);
        }
        self.cost_rows(&mut page);
        f.write_str(&page.0)?;
        let Some(component) = &self.component else {
            return Ok(());
        };
        match &component.settings_schema {
            Some(Json::String(text)) => {
                writeln!(f, "\nThe schema of its settings is no JSON: {text:?}")?;
            }
            Some(schema) => writeln!(f, "\nSchema of its settings:\n\n{schema:#}")?,
            None => {}
        }
        writeln!(f, "\nTo enable it:\n\n{}", self.table(component).trim_end())
    }
}

impl InspectionReport {
    fn file_rows(&self, page: &mut ReportPage) {
        let lines = if self.debug_lines {
            "debug lines: traps name file and line"
        } else {
            "no debug lines"
        };
        let names = if self.function_names {
            "function names"
        } else {
            "no function names"
        };
        page.row(
            "size",
            format_args!("{}, {lines}, {names}", size(self.bytes)),
        );
        page.row("sha256", &self.sha256);
        page.row(
            "parts",
            format_args!(
                "{}, {}, {}",
                crate::config::counted(self.core_instances.into(), "core instance"),
                match self.memories {
                    1 => "1 memory".to_owned(),
                    many => format!("{many} memories"),
                },
                crate::config::counted(self.tables.into(), "table"),
            ),
        );
    }

    fn cost_rows(&self, page: &mut ReportPage) {
        if let Some(settings) = &self.settings {
            let verdict = match settings.errors.len() {
                0 => "accepted",
                _ => "rejected; pass some with `--settings '{ .. }'`, and its calls are measured",
            };
            page.row("settings", format_args!("{}: {verdict}", settings.from));
            for error in &settings.errors {
                page.row("", error);
            }
        }
        if let Some(load) = &self.load {
            page.some("provides", &load.provides);
            page.some("sometimes", &load.sometimes);
            page.some("requires", &load.requires);
            let fiber = match load.fiber {
                true => "yes: its calls may use more than 10 ms of CPU time",
                false => "no: it imports nothing that blocks (with `limits.cpu` above 10 ms: yes)",
            };
            page.row("fiber", fiber);
            if let Some(start) = load.configure_us {
                let text = "to instantiate and configure (median of up to 51)";
                page.row("start", format_args!("{} {text}", time(start)));
            }
            let memory = size(load.memory_bytes);
            page.row(
                "memory",
                format_args!("{memory} an instance, once it is configured"),
            );
        }
        if let Some(call) = &self.call {
            call.rows(page);
        }
    }
}

impl ComponentReport {
    fn rows(&self, page: &mut ReportPage) {
        let code = self.machine_code_bytes as u64;
        page.row("machine code", size(code));
        page.row("phases", self.phases.join(", "));
        let mut title = "exports";
        for name in &self.exports {
            page.row(std::mem::take(&mut title), name);
        }
        title = "imports";
        for import in &self.imports {
            let note = match (import.grant, import.traps) {
                (Some(grant), _) => format!("needs the grant `{grant}`"),
                (None, true) => "linked, but some of its functions trap".to_owned(),
                (None, false) => "no grant needed".to_owned(),
            };
            let name = &import.name;
            page.row(std::mem::take(&mut title), format_args!("{name:<44}{note}"));
        }
        page.row(
            "instantiate",
            format_args!("{} (median of up to 51)", time(self.instantiate_us)),
        );
    }
}

impl CallReport {
    fn rows(&self, page: &mut ReportPage) {
        let case = if self.of_case {
            " (the first case)"
        } else {
            ""
        };
        page.row("measured with", format_args!("{}{case}", self.request));
        if self.failed {
            page.row("call", format_args!("failed: {}", self.outcome));
            return;
        }
        page.row(
            "call",
            format_args!(
                "{} an exchange with all its phases (median of {}; 99 %: {}); it {}",
                time(self.median_us),
                self.exchanges,
                time(self.p99_us),
                self.outcome
            ),
        );
        page.row(
            "growth",
            format_args!("{} of memory an exchange", size(self.memory_growth_bytes)),
        );
    }
}
