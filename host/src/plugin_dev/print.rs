//! Prints each exchange with what its filters did.
//!
//! The phases come from the recorder, the end of an exchange from the access log, which goes into a pipe that this thread
//! reads. An exchange is printed when it has ended, so that those that run at the same time do not mix. What a log phase
//! does comes after that, in lines of its own.

use std::collections::HashMap;
use std::fmt::Write as _;
use std::io::{self, BufRead as _, BufReader, PipeReader, Write as _};
use std::sync::mpsc::Receiver;
use std::time::{Duration, Instant};

use serde::Deserialize;

use super::style::{Style, Tone};
use crate::wasm::recorder::{
    PhaseEnd, PhaseRecord, RecordedCall, RecordedEdit, RecordedLine, RecordedStep, Recorder,
};

/// The most exchanges that have begun and not ended, whose phases are kept.
const MAX_OPEN: usize = 1024;

/// How long a log phase is waited for, while nothing else is to be printed.
const LOG_PHASE_WAIT: Duration = Duration::from_millis(30);

/// The access log's facts about an exchange.
#[derive(Debug, Deserialize)]
struct EndedExchange {
    request: String,
    method: String,
    path: String,
    status: Option<u16>,
    duration_us: u64,
    failure: Option<String>,
    filter: Option<String>,
}

/// The printing thread.
#[derive(Debug)]
pub(crate) struct ExchangePrinter {
    style: Style,
    open: HashMap<String, Vec<PhaseRecord>>,
    reported_lost: u64,
}

impl ExchangePrinter {
    /// Starts the thread. It ends when the access log does.
    ///
    /// # Errors
    ///
    /// The system gives no thread.
    pub(crate) fn start(
        access: PipeReader,
        records: Receiver<PhaseRecord>,
        recorder: Recorder,
    ) -> io::Result<()> {
        let mut printer = Self {
            style: Style::of_output(),
            open: HashMap::new(),
            reported_lost: 0,
        };
        let run = move || {
            let mut access = BufReader::new(access);
            let mut line = String::new();
            while matches!(access.read_line(&mut line), Ok(1..)) {
                // Everything that the exchange did was sent before its line was written.
                let before = printer.keep(records.try_iter());
                print_text(&(before + &printer.ended(&line, recorder.lost())));
                line.clear();
                // Its log phase comes after that.
                let end = Instant::now() + LOG_PHASE_WAIT;
                while access.buffer().is_empty()
                    && let Ok(record) =
                        records.recv_timeout(end.saturating_duration_since(Instant::now()))
                {
                    print_text(&printer.keep([record]));
                }
            }
        };
        std::thread::Builder::new()
            .name("dev-print".into())
            .spawn(run)?;
        Ok(())
    }

    /// Keeps the phases of exchanges that go on. Gives the text of log phases, which come after the end.
    fn keep(&mut self, records: impl IntoIterator<Item = PhaseRecord>) -> String {
        let mut text = String::new();
        for record in records {
            if record.phase == "on-log" {
                let id = self.style.paint(Tone::Quiet, &record.request);
                // Writing to a text cannot fail.
                let _ = writeln!(text, "after {id}");
                self.phase(&record, &mut text);
                continue;
            }
            if self.open.len() >= MAX_OPEN && !self.open.contains_key(&record.request) {
                self.open.clear();
            }
            self.open
                .entry(record.request.clone())
                .or_default()
                .push(record);
        }
        text
    }

    /// The text of an exchange that has ended.
    fn ended(&mut self, line: &str, lost: u64) -> String {
        let Ok(ended) = serde_json::from_str::<EndedExchange>(line) else {
            return String::new();
        };
        let mut text = self.head(&ended);
        for phase in self.open.remove(&ended.request).unwrap_or_default() {
            self.phase(&phase, &mut text);
        }
        if lost > self.reported_lost {
            let more = lost - self.reported_lost;
            self.reported_lost = lost;
            let _ = writeln!(
                text,
                "  ({more} phases were not recorded: too many at once)"
            );
        }
        text
    }

    fn head(&self, ended: &EndedExchange) -> String {
        let (status, tone) = match ended.status {
            Some(status @ 0..400) => (status.to_string(), Tone::Good),
            Some(status @ 400..500) => (status.to_string(), Tone::Warning),
            Some(status) => (status.to_string(), Tone::Bad),
            None => ("no response".to_owned(), Tone::Bad),
        };
        let mut head = format!("{} {} ", ended.method, ended.path);
        head = self.style.paint(Tone::Strong, &head);
        head.push_str(&self.style.paint(tone, &status));
        if let Some(failure) = &ended.failure {
            head.push(' ');
            head.push_str(&self.style.paint(tone, failure));
        }
        if let Some(filter) = &ended.filter {
            let _ = write!(head, " by `{filter}`");
        }
        let time = time(Duration::from_micros(ended.duration_us));
        let about = format!("  {time}  request {}", ended.request);
        head + &self.style.paint(Tone::Quiet, &about) + "\n"
    }

    fn phase(&self, record: &PhaseRecord, text: &mut String) {
        let (end, tone) = match &record.end {
            PhaseEnd::Verdict(words) if words.starts_with("respond") => {
                (words.clone(), Tone::Warning)
            }
            PhaseEnd::Verdict(words) => (words.clone(), Tone::Good),
            PhaseEnd::Failed { text, .. } => (format!("failed: it {text}"), Tone::Bad),
            PhaseEnd::Waits(text) => (format!("waits, and runs again: it {text}"), Tone::Warning),
        };
        let chunk = record.chunk.map(|bytes| format!(" ({bytes} bytes)"));
        let name = format!(
            "{} {}{}",
            record.filter,
            record.phase,
            chunk.unwrap_or_default()
        );
        let end = self.style.paint(tone, &end);
        let took = self.style.paint(Tone::Quiet, &time(record.took));
        let _ = writeln!(text, "  {name}: {end}  {took}");
        for step in &record.steps {
            match step {
                RecordedStep::Call(call) => self.call(call, text),
                RecordedStep::Line(line) => self.line(line, text),
            }
        }
        if record.left_out > 0 {
            let _ = writeln!(text, "    ({} further calls)", record.left_out);
        }
        let undone = matches!(record.end, PhaseEnd::Failed { .. } | PhaseEnd::Waits(_));
        for edit in &record.edits {
            self.edit(edit, undone, text);
        }
        if let PhaseEnd::Failed { backtrace, .. } = &record.end {
            for frame in backtrace.lines().filter(|frame| !frame.is_empty()) {
                let _ = writeln!(text, "    {}", self.style.paint(Tone::Bad, frame));
            }
        }
    }

    fn call(&self, call: &RecordedCall, text: &mut String) {
        let shown = format!("{}({})", call.function, call.arguments);
        let shown = self.style.paint(Tone::Quiet, &shown);
        let _ = match &call.result {
            Ok(result) if result.is_empty() => writeln!(text, "    {shown}"),
            Ok(result) => writeln!(text, "    {shown} = {result}"),
            Err(trap) => writeln!(
                text,
                "    {shown} {}",
                self.style.paint(Tone::Bad, &format!("trapped: {trap}"))
            ),
        };
    }

    fn line(&self, line: &RecordedLine, text: &mut String) {
        let tone = match line.source {
            "error" => Tone::Bad,
            "warn" | "stderr" => Tone::Warning,
            _ => Tone::Strong,
        };
        let source = self.style.paint(tone, line.source);
        let _ = writeln!(text, "    {source}: {}", line.text);
    }

    fn edit(&self, edit: &RecordedEdit, undone: bool, text: &mut String) {
        let none = || "none".to_owned();
        let before = edit.before.clone().unwrap_or_else(none);
        let after = edit.after.clone().unwrap_or_else(none);
        let undone = if undone { " (undone)" } else { "" };
        let edit = format!("{}: {before} -> {after}{undone}", edit.what);
        let _ = writeln!(text, "    {}", self.style.paint(Tone::Good, &edit));
    }
}

/// A time for people.
fn time(time: Duration) -> String {
    let micros = time.as_secs_f64() * 1e6;
    match micros {
        short if short < 1_000.0 => format!("{short:.0} µs"),
        middle if middle < 1e6 => format!("{:.1} ms", middle / 1e3),
        long => format!("{:.2} s", long / 1e6),
    }
}

/// Prints a line about the command itself.
pub(crate) fn print_line(text: &str) {
    let style = Style::of_output();
    print_text(&format!("{} {text}\n", style.paint(Tone::Quiet, "dev:")));
}

fn print_text(text: &str) {
    let mut output = io::stdout().lock();
    // If nobody reads standard output, there is no way to report it.
    let _ = output
        .write_all(text.as_bytes())
        .and_then(|()| output.flush());
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(end: PhaseEnd) -> PhaseRecord {
        PhaseRecord {
            request: "r1".to_owned(),
            filter: "team".into(),
            position: 0,
            phase: "on-request",
            chunk: None,
            took: Duration::from_micros(12),
            steps: vec![
                RecordedStep::Call(RecordedCall {
                    function: "exchange.header-text".into(),
                    arguments: "request, \"x-team\"".to_owned(),
                    result: Ok("\"red\"".to_owned()),
                    took: Duration::from_micros(1),
                }),
                RecordedStep::Line(RecordedLine {
                    source: "info",
                    text: "team red".to_owned(),
                }),
            ],
            left_out: 0,
            edits: vec![RecordedEdit {
                what: "note `bytes`".to_owned(),
                before: None,
                after: Some("\"5\"".to_owned()),
            }],
            end,
        }
    }

    fn printer() -> ExchangePrinter {
        ExchangePrinter {
            style: Style::plain(),
            open: HashMap::new(),
            reported_lost: 0,
        }
    }

    const LINE: &str = r#"{"request":"r1","method":"GET","path":"/","status":403,"duration_us":1500,"failure":"team_unknown","filter":"team"}"#;

    #[test]
    fn an_exchange_is_printed_with_its_phases_when_it_has_ended() {
        let mut printer = printer();
        let verdict = PhaseEnd::Verdict("respond 403 `team_unknown`".to_owned());
        assert_eq!(printer.keep([record(verdict)]), "");
        let text = printer.ended(LINE, 0);
        let expected = "GET / 403 team_unknown by `team`  1.5 ms  request r1
  team on-request: respond 403 `team_unknown`  12 µs
    exchange.header-text(request, \"x-team\") = \"red\"
    info: team red
    note `bytes`: none -> \"5\"
";
        assert_eq!(text, expected);
        // Once.
        assert!(!printer.ended(LINE, 0).contains("on-request"));
    }

    #[test]
    fn a_log_phase_is_printed_after_its_exchange() {
        let mut printer = printer();
        let log = PhaseRecord {
            phase: "on-log",
            ..record(PhaseEnd::Verdict("done".to_owned()))
        };
        let text = printer.keep([log]);
        assert!(text.starts_with("after r1\n  team on-log: done"), "{text}");
    }

    #[test]
    fn a_failure_is_printed_with_its_stack_and_the_undone_edits() {
        let mut printer = printer();
        let failed = PhaseEnd::Failed {
            kind: "trap",
            text: "trapped: unreachable".to_owned(),
            backtrace: "\n  0: team::on_request\n       at src/lib.rs:30".to_owned(),
        };
        printer.keep([record(failed)]);
        let text = printer.ended(LINE, 2);
        for part in [
            "failed: it trapped: unreachable",
            "-> \"5\" (undone)",
            "at src/lib.rs:30",
            "(2 phases were not recorded",
        ] {
            assert!(text.contains(part), "no {part} in\n{text}");
        }
    }
}
