//! Tool calls as lines: what failed when it was last tried, and what was done last.

use super::candidates::{Collector, falling, source};
use super::files::Files;
use super::template::Part;
use super::text::{ago, code, cut};
use crate::observe::attempt_of;
use crate::storage::{BriefFailure, BriefStep};
use crate::time::Timestamp;

impl Collector<'_> {
    /// Whose a tool call was, where it was not the agent's own.
    fn whose(&self, owner: Option<&str>) -> String {
        match owner {
            Some(owner) if owner == self.options.agent_id => String::new(),
            Some(owner) if owner == self.options.session_id => "by the main agent".to_owned(),
            Some(owner) => format!("by {}", cut(owner, 40)),
            // The main agent makes most of the calls that nobody is named for.
            None if self.options.agent_id == self.options.session_id => String::new(),
            None => "by an agent not named".to_owned(),
        }
    }

    /// How much a tool call counts for whose it was.
    fn nearness(&self, owner: Option<&str>) -> f64 {
        if owner == Some(self.options.agent_id.as_str()) { 1.0 } else { 0.8 }
    }

    pub(super) fn failures(&mut self) {
        for (place, failure) in self.rows.failures.iter().enumerate() {
            // A command is worth more than a file that was not where it was thought to be.
            let weight = match failure.failure.tool_name.as_str() {
                "Read" | "Glob" | "Grep" | "LS" => 0.6,
                _ => 1.0,
            };
            let id = source(
                "failure",
                &failure.failure.action_id.to_string(),
                format!("{} failed", cut(&failure.failure.tool_name, 60)),
            );
            let forms = failure_forms(failure, &self.whose(failure.agent_id.as_deref()), self.now);
            self.add(
                Part::Failures,
                weight * self.nearness(failure.agent_id.as_deref()) * falling(place, 24.0),
                forms,
                id,
            );
        }
    }

    pub(super) fn steps(&mut self, files: &Files) {
        // They are read by time; what the agent did itself comes into the brief first.
        let is_own = |step: &BriefStep| step.agent_id.as_deref() == Some(self.options.agent_id.as_str());
        let own = self.rows.steps.iter().filter(|step| is_own(step)).count();
        let (mut next_own, mut next_other) = (0, own);
        let ranked: Vec<(usize, &BriefStep)> = self
            .rows
            .steps
            .iter()
            .map(|step| {
                let next = if is_own(step) { &mut next_own } else { &mut next_other };
                *next += 1;
                (*next - 1, step)
            })
            .collect();
        for (place, step) in ranked {
            let input = step.input.as_deref().unwrap_or("");
            let path = step.paths.first().map(|path| files.shown(path));
            let about = path.unwrap_or_else(|| attempt_of(input));
            let outcome = match step.exit_code {
                0 => String::new(),
                exit => format!(" failed (exit {exit})"),
            };
            let about = if about.is_empty() { String::new() } else { format!(" {}", code(&about, 100)) };
            let when = ago(self.now, step.created_at);
            let whose = match self.whose(step.agent_id.as_deref()) {
                whose if whose.is_empty() => whose,
                whose => format!(" ({whose})"),
            };
            let line = format!("- {}{about}{outcome}, {when}{whose}", cut(&step.tool_name, 60));
            let id =
                source("history", &step.id.to_string(), format!("Tool call {}", cut(&step.tool_name, 60)));
            self.add(Part::Steps, falling(place, 5.0), vec![line], id);
        }
    }
}

/// A failure is told with its age and, where it was somebody else's, with whose it was.
fn failure_forms(open: &BriefFailure, whose: &str, now: Timestamp) -> Vec<String> {
    let failure = &open.failure;
    let tool = match failure.tool_name.as_str() {
        // Its commands speak for themselves, where they are known.
        "Bash" if !failure.attempt.is_empty() => String::new(),
        tool => format!("{} ", cut(tool, 60)),
    };
    let mut about = vec![format!("exit {}", failure.exit_code)];
    if failure.times > 1 {
        about.push(format!("{} times", failure.times));
    }
    about.push(ago(now, failure.failed_at));
    if !whose.is_empty() {
        about.push(whose.to_owned());
    }
    let about = about.join(", ");
    let detail = failure.detail.as_deref().map(|detail| cut(detail, 200)).filter(|text| !text.is_empty());
    let form = |width: usize, full: bool| {
        let attempt = if failure.attempt.is_empty() {
            String::new()
        } else {
            format!("{} ", code(&failure.attempt, width))
        };
        let detail =
            detail.as_ref().filter(|_| full).map_or_else(String::new, |detail| format!(": {detail}"));
        format!("- {tool}{attempt}({about}){detail}")
    };
    let brief = if failure.attempt.is_empty() {
        String::new()
    } else {
        let whose = if whose.is_empty() { String::new() } else { format!(", {whose}") };
        format!("- {tool}{} (exit {}{whose})", code(&failure.attempt, 100), failure.exit_code)
    };
    vec![brief, form(100, false), form(200, false), form(400, true)]
}
