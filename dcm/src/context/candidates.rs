//! From rows to lines: what could stand in a brief, what it is worth, and where it comes from.

use std::collections::HashSet;

use super::files::{self, Files};
use super::summary::pieces;
use super::template::Part;
use super::text::{ago, cut, flat, members_of, misleads, short_id, span, words_of};
use super::{BriefOptions, is_of_the_store};
use crate::api::context::{ContextMessage, ContextSource};
use crate::json::JsonObject;
use crate::model::{RequestStatus, SubtaskStatus};
use crate::observe::first_line;
use crate::storage::{BriefBlocking, BriefRows, BriefWork};
use crate::time::Timestamp;

/// How many characters of a summary are read, as in `sql/shared/brief.sql`.
const SUMMARY: usize = 100_000;

/// Something that could stand in a brief.
#[derive(Debug, Clone)]
pub(super) struct Candidate {
    pub(super) part: Part,
    /// The line, from its shortest form to its fullest; one at least.
    pub(super) forms: Vec<String>,
    /// How much of its section's worth it has, from 0 to 1.
    pub(super) score: f64,
    /// Whether it says only what the user's words say that are quoted.
    pub(super) repeats: bool,
    pub(super) source: ContextSource,
}

/// What could stand in a brief.
#[derive(Debug)]
pub(super) struct Candidates {
    pub(super) lines: Vec<Candidate>,
    /// Whether there is nothing else.
    pub(super) all: bool,
    /// What the headings of sections say of what stands below them.
    pub(super) notes: Vec<(Part, String)>,
}

/// How old what was kept of an earlier context is, and that what the user asked for last is over: nobody is to begin it
/// again.
pub(super) fn notes(options: &BriefOptions, rows: &BriefRows, now: Timestamp) -> Vec<(Part, String)> {
    let snapshot = rows.snapshot.as_ref().map(|saved| saved.created_at);
    let given = options.summary.as_deref().is_some_and(|text| !text.trim().is_empty());
    let summary = rows.summary.as_ref().map(|summary| summary.created_at).or(snapshot).filter(|_| !given);
    let age = |part, at: Option<Timestamp>| Some((part, ago(now, at?)));
    let newest = rows.prompts.first().filter(|prompt| prompt.status.is_final());
    let over = newest.map(|prompt| (Part::Request, prompt.status.to_string()));
    [over, age(Part::Decisions, snapshot), age(Part::Summary, summary)].into_iter().flatten().collect()
}

/// A source; its relevance is set with the candidate's.
pub(super) fn source(kind: &str, id: &str, summary: String) -> ContextSource {
    ContextSource { kind: kind.to_owned(), id: id.to_owned(), relevance: 0.0, summary, line: None }
}

/// Collects candidates in the order in which they would be read.
pub(super) struct Collector<'a> {
    pub(super) options: &'a BriefOptions,
    pub(super) rows: &'a BriefRows,
    pub(super) now: Timestamp,
    candidates: Vec<Candidate>,
}

/// The score of the line at `place` of a list that is sorted already.
pub(super) fn falling(place: usize, half_life: f64) -> f64 {
    #[expect(clippy::cast_precision_loss, reason = "lists are short")]
    let place = place as f64;
    0.5_f64.powf(place / half_life)
}

/// Every candidate for a brief.
pub(super) fn collect(options: &BriefOptions, rows: &BriefRows, now: Timestamp) -> Vec<Candidate> {
    let agent_type = &*rows.agent_type;
    let mut collector = Collector { options, rows, now, candidates: Vec::new() };
    let snapshot = rows.snapshot.as_ref().map(|snapshot| &snapshot.saved);
    let files = if options.include_history {
        let noted = snapshot.map(|snapshot| list(snapshot, "modified_files")).unwrap_or_default();
        let project = rows.project.as_ref().map(|project| project.path.as_str());
        let since = rows.prompts.first().map(|prompt| prompt.created_at);
        files::rank(&rows.files, &noted, project, since)
    } else {
        Files::default()
    };
    collector.head(agent_type, &files);
    collector.work(agent_type);
    if options.include_blocking {
        collector.blockings();
    }
    if options.include_history {
        collector.failures();
        collector.files(&files);
        collector.steps(&files);
    }
    if options.include_messages {
        collector.messages();
    }
    if let Some(snapshot) = snapshot {
        collector.decisions(snapshot);
    }
    collector.summary(snapshot);
    collector.prompts();
    collector.before();
    collector.candidates
}

/// The texts of a list in a snapshot; what is no text is shown as JSON.
fn list(snapshot: &JsonObject, name: &str) -> Vec<String> {
    match snapshot.get(name) {
        Some(serde_json::Value::Array(items)) => items
            .into_iter()
            // How that stands now is known better.
            .filter(|item| !is_of_the_store(item))
            .map(|item| match item {
                serde_json::Value::String(text) => text,
                serde_json::Value::Object(map) => words_of(&JsonObject::from_map(&map)),
                other => other.to_string(),
            })
            .filter(|text| !text.trim().is_empty())
            .collect(),
        _ => Vec::new(),
    }
}

/// How the agents and the wave stood, as a snapshot says.
fn states(snapshot: &JsonObject) -> Vec<String> {
    let told = |value: serde_json::Value| match value {
        serde_json::Value::Object(map) => members_of(&JsonObject::from_map(&map)),
        serde_json::Value::String(text) => text,
        serde_json::Value::Null => String::new(),
        other => other.to_string(),
    };
    let agents = match snapshot.get("agent_states") {
        Some(serde_json::Value::Array(agents)) => agents,
        _ => Vec::new(),
    };
    let agents = agents.into_iter().map(|agent| ("Agent then", told(agent)));
    let wave = snapshot.get("wave_state").map(|wave| ("Wave then", told(wave)));
    let all = agents.chain(wave).filter(|(_, text)| !text.trim().is_empty());
    all.map(|(lead, text)| format!("- {lead}: {}", flat(&text))).collect()
}

impl Collector<'_> {
    pub(super) fn add(&mut self, part: Part, score: f64, forms: Vec<String>, source: ContextSource) {
        let (mut forms, mut source) = (forms, source);
        for form in &mut forms {
            if form.contains(misleads) {
                form.retain(|letter| !misleads(letter));
            }
        }
        forms.retain(|form| !form.is_empty());
        forms.dedup();
        if !forms.is_empty() {
            let score = score.clamp(0.001, 1.0);
            source.relevance = (score * 100.0).round() / 100.0;
            self.candidates.push(Candidate { part, forms, score, repeats: false, source });
        }
    }

    fn head(&mut self, agent_type: &str, files: &Files) {
        let agent = cut(&self.options.agent_id, 60);
        let session = cut(&self.options.session_id, 60);
        let line = if agent == session {
            format!("Main agent of session `{session}` (@{}).", cut(agent_type, 40))
        } else {
            format!("Agent `{agent}` (@{}), session `{session}`.", cut(agent_type, 40))
        };
        let of_session = source("session", &self.options.session_id, format!("Session {session}"));
        self.add(Part::Head, 0.7, vec![line], of_session);
        let project = self.rows.project.as_ref();
        let named = project.map(|project| {
            let name = project.name.as_deref().filter(|name| !name.is_empty());
            (name.map(|name| cut(name, 80)), cut(&project.path, 200))
        });
        let line = match (named, &files.root) {
            (Some((Some(name), path)), Some(root)) if *root == path => {
                format!("Project {name}; files are relative to `{path}`.")
            }
            (Some((Some(name), path)), None) => format!("Project {name} in `{path}`."),
            (Some((None, path)), None) => format!("Project in `{path}`."),
            (Some((Some(name), path)), Some(root)) => {
                format!("Project {name} in `{path}`; files are relative to `{}`.", cut(root, 200))
            }
            (_, Some(root)) => format!("Files are relative to `{}`.", cut(root, 200)),
            (None, None) => return,
        };
        let of_project = match project {
            Some(project) => {
                let name = project.name.as_deref().unwrap_or(&project.path);
                source("project", &project.id.to_string(), format!("Project {}", cut(name, 80)))
            }
            None => source("session", &self.options.session_id, format!("Session {session}")),
        };
        self.add(Part::Head, 0.5, vec![line], of_project);
    }

    fn is_own(&self, work: &BriefWork) -> bool {
        let agent = Some(self.options.agent_id.as_str());
        let is_main = self.options.agent_id == self.options.session_id;
        work.agent_id.as_deref() == agent
            || (work.agent_id.is_none() && work.agent_type.as_deref() == agent)
            // The main agent's list of tasks names nobody.
            || (is_main && work.agent_id.is_none() && work.agent_type.is_none())
    }

    /// Whether a piece of work says nothing but what the newest request says: that the main agent is at it.
    fn repeats_request(&self, work: &BriefWork) -> bool {
        let (Some(prompt), Some(text)) = (self.rows.prompts.first(), work.description.as_deref()) else {
            return false;
        };
        let is_main = self.options.agent_id == self.options.session_id;
        let adds_nothing = is_main && work.status == SubtaskStatus::Running && work.blocked_by.is_empty();
        let text = flat(text);
        adds_nothing && (text == flat(&prompt.text) || text == flat(&first_line(&prompt.text)))
    }

    fn describe(work: &BriefWork, width: usize) -> String {
        work.description.as_deref().map_or_else(|| "(no description)".to_owned(), |text| cut(text, width))
    }

    /// Who does a piece of work.
    fn doer(&self, work: &BriefWork) -> String {
        match (work.agent_type.as_deref(), work.agent_id.as_deref()) {
            (Some(kind), Some(id)) if id == self.options.session_id || kind == id => cut(kind, 40),
            (Some(kind), Some(id)) => format!("{} {}", cut(kind, 40), cut(id, 40)),
            (Some(name), None) | (None, Some(name)) => cut(name, 60),
            (None, None) => String::new(),
        }
    }

    fn place_of(work: &BriefWork) -> String {
        let Some(wave) = work.wave_number else { return String::new() };
        match work.task_name.as_deref().filter(|name| !name.is_empty()) {
            Some(name) => format!("wave {wave}, {}", cut(name, 60)),
            None => format!("wave {wave}"),
        }
    }

    /// What a piece of work waits for, as far as that is known and not done.
    fn waits_for(&self, work: &BriefWork, width: usize) -> String {
        let open: Vec<String> = work
            .blocked_by
            .iter()
            .filter_map(|id| self.rows.blockers.iter().find(|other| other.id == *id))
            .filter(|other| other.status != SubtaskStatus::Completed)
            .map(|other| match other.description.as_deref() {
                Some(text) => format!("{} ({})", cut(text, width), other.status),
                None => format!("subtask …{} ({})", short_id(other.id), other.status),
            })
            .take(3)
            .collect();
        if open.is_empty() { String::new() } else { format!(" Waits for: {}.", open.join("; ")) }
    }

    fn work(&mut self, agent_type: &str) {
        let urgency = |status| match status {
            SubtaskStatus::Running => 0,
            SubtaskStatus::Blocked => 1,
            SubtaskStatus::Paused => 2,
            _ => 3,
        };
        let mut open: Vec<&BriefWork> =
            self.rows.work.iter().filter(|work| !work.status.is_final()).collect();
        open.sort_by_key(|work| (urgency(work.status), work.created_at, work.id));
        let (own, others): (Vec<&BriefWork>, Vec<&BriefWork>) =
            open.into_iter().partition(|work| self.is_own(work));
        // Work that is waiting for anybody of this kind is nearly the agent's own.
        let (kin, others): (Vec<&BriefWork>, Vec<&BriefWork>) = others
            .into_iter()
            .partition(|work| work.agent_id.is_none() && work.agent_type.as_deref() == Some(agent_type));
        for (place, work) in own.iter().enumerate() {
            self.open_work(Part::Task, work, falling(place, 2.0));
        }
        for (place, work) in kin.iter().enumerate() {
            self.open_work(Part::Task, work, 0.5 * falling(place, 2.0));
        }
        // What is stuck needs somebody before what runs by itself.
        let mut others = others;
        others.sort_by_key(|work| {
            (work.status != SubtaskStatus::Blocked, urgency(work.status), work.created_at)
        });
        for (place, work) in others.iter().enumerate() {
            self.open_work(Part::Work, work, falling(place, 8.0));
        }
        let mut ended: Vec<&BriefWork> =
            self.rows.work.iter().filter(|work| work.status.is_final()).collect();
        ended.sort_by_key(|work| std::cmp::Reverse((work.completed_at, work.created_at, work.id)));
        for (place, work) in ended.iter().enumerate() {
            let failed = if work.status == SubtaskStatus::Failed { 1.0 } else { 0.9 };
            self.ended_work(work, failed * falling(place, 10.0));
        }
    }

    fn open_work(&mut self, part: Part, work: &BriefWork, score: f64) {
        let own = part == Part::Task;
        let since = work.started_at.unwrap_or(work.created_at);
        let mut about = vec![span(self.now.millis_since(since))];
        about.extend(Some(Self::place_of(work)).filter(|place| !place.is_empty()));
        let doer = Some(self.doer(work)).filter(|doer| !own && !doer.is_empty());
        let doer = doer.map_or_else(String::new, |doer| format!("{doer}: "));
        let form = |width: usize, full: bool| {
            let about = if full { format!(" ({})", about.join(", ")) } else { String::new() };
            let waits = if full || own { self.waits_for(work, 60) } else { String::new() };
            format!("- [{}] {doer}{}{about}{waits}", work.status, Self::describe(work, width))
        };
        let forms = if own {
            vec![form(160, false), form(300, true), form(1200, true)]
        } else {
            vec![form(80, false), form(160, true)]
        };
        let id = source("task", &work.id.to_string(), format!("Task: {}", Self::describe(work, 50)));
        self.add(part, score, forms, id);
        if own
            && self.repeats_request(work)
            && let Some(last) = self.candidates.last_mut()
        {
            last.repeats = true;
        }
    }

    fn ended_work(&mut self, work: &BriefWork, score: f64) {
        let result = work.result.as_ref().map(words_of).unwrap_or_default();
        let told = flat(&result);
        // A turn of the main agent that ended without words says nothing, nor that it was given up as idle.
        let reaped = work.result.as_ref().is_some_and(|result| result.get("failed_by").is_some());
        if self.is_own(work) && (reaped || told.is_empty() && work.status == SubtaskStatus::Completed) {
            return;
        }
        let doer = Some(self.doer(work)).filter(|doer| !doer.is_empty());
        let doer = doer.map_or_else(String::new, |doer| format!("{doer}, "));
        let form = |width: usize, words: usize| {
            let result =
                if told.is_empty() { "no result was recorded".to_owned() } else { cut(&told, words) };
            format!("- {doer}{}: {} → {result}", work.status, Self::describe(work, width))
        };
        // Of many, the result says more than what was asked for.
        let brief = match self.doer(work) {
            who if who.is_empty() || told.is_empty() => String::new(),
            who if work.status == SubtaskStatus::Failed => format!("- {who}, failed: {}", cut(&told, 60)),
            who => format!("- {who}: {}", cut(&told, 60)),
        };
        let id = source("task", &work.id.to_string(), format!("Task: {}", Self::describe(work, 50)));
        self.add(Part::Results, score, vec![brief, form(60, 110), form(100, 300), form(200, 1200)], id);
    }

    fn blockings(&mut self) {
        let agent = self.options.agent_id.as_str();
        let line = |one: &BriefBlocking, width: usize| {
            let since = span(self.now.millis_since(one.created_at));
            let reason =
                one.reason.as_deref().map(|reason| cut(reason, width)).filter(|text| !text.is_empty());
            let reason = reason.map_or_else(String::new, |reason| format!(": {reason}"));
            let (by, blocked) = (cut(&one.blocked_by, 60), cut(&one.blocked_agent, 60));
            if one.blocked_agent == agent {
                format!("- Blocked by {by} for {since}{reason}")
            } else if one.blocked_by == agent {
                format!("- This agent blocks {blocked} for {since}{reason}")
            } else {
                format!("- {blocked} is blocked by {by} for {since}{reason}")
            }
        };
        let mut all: Vec<(usize, &BriefBlocking)> = self
            .rows
            .blockings
            .iter()
            .map(|one| match one {
                one if one.blocked_agent == agent => (0, one),
                one if one.blocked_by == agent => (1, one),
                one => (2, one),
            })
            .collect();
        all.sort_by_key(|(rank, one)| (*rank, one.created_at, one.id));
        let lines: Vec<_> = all
            .into_iter()
            .enumerate()
            .map(|(place, (rank, one))| {
                let score = [1.0, 0.9, 0.8][rank] * falling(place, 6.0);
                let id = source(
                    "blocking",
                    &one.id.to_string(),
                    format!("Blocked by {}", cut(&one.blocked_by, 60)),
                );
                (score, vec![line(one, 80), line(one, 300)], id)
            })
            .collect();
        for (score, forms, id) in lines {
            self.add(Part::Blocked, score, forms, id);
        }
    }

    fn files(&mut self, files: &Files) {
        for file in &files.ranked {
            let shown = cut(&file.shown, 400);
            let id = source("file", &cut(&file.path, 1000), format!("File {}", cut(&file.shown, 100)));
            let (part, line) = match file.changes {
                0 => (Part::Read, format!("- {shown}")),
                1 => (Part::Changed, format!("- {shown}")),
                times => (Part::Changed, format!("- {shown} ×{times}")),
            };
            self.add(part, file.score, vec![line], id);
        }
    }

    fn messages(&mut self) {
        let line = |message: &ContextMessage, width: usize| {
            let urgent = if message.priority >= 5 { "urgent, " } else { "" };
            let from = cut(message.from_agent.as_deref().unwrap_or("system"), 60);
            let topic = cut(message.topic.as_deref().unwrap_or("message"), 40);
            match cut(&words_of(&message.content), width) {
                words if words.is_empty() => format!("- {from} ({urgent}{topic})"),
                words => format!("- {from} ({urgent}{topic}): {words}"),
            }
        };
        for (place, message) in self.rows.messages.iter().enumerate() {
            let urgency = 0.4 + 0.06 * f64::from(message.priority.clamp(0, 10));
            let from = message.from_agent.as_deref().unwrap_or("system");
            let id = source("message", &message.id.to_string(), format!("Message from {}", cut(from, 60)));
            let forms = vec![line(message, 90), line(message, 300), line(message, 1200)];
            self.add(Part::Messages, urgency * falling(place, 10.0), forms, id);
        }
    }

    fn decisions(&mut self, snapshot: &JsonObject) {
        let Some(saved) = &self.rows.snapshot else { return };
        let texts = [("key_decisions", ""), ("active_tasks", "Was at: ")];
        let mut lines = Vec::new();
        let known: HashSet<String> =
            self.rows.work.iter().filter_map(|work| work.description.as_deref()).map(flat).collect();
        let is_known = |text: &str| {
            let said = flat(text);
            // It may have been cut when it was saved.
            let cut = said.strip_suffix('…').filter(|beginning| !beginning.is_empty());
            known.contains(&said) || cut.is_some_and(|cut| known.iter().any(|known| known.starts_with(cut)))
        };
        for (name, lead) in texts {
            let is_task = name == "active_tasks";
            let said = list(snapshot, name).into_iter().filter(|text| !(is_task && is_known(text)));
            lines.extend(said.map(|text| format!("- {lead}{}", flat(&text))));
        }
        lines.extend(states(snapshot));
        for (place, text) in lines.iter().enumerate() {
            let id = source("snapshot", &saved.id.to_string(), "Saved before a compaction".to_owned());
            self.add(Part::Decisions, falling(place, 10.0), vec![cut(text, 160), cut(text, 600)], id);
        }
    }

    fn summary(&mut self, snapshot: Option<&JsonObject>) {
        let given = self.options.summary.as_deref().filter(|text| !text.trim().is_empty());
        let saved = self.rows.summary.as_ref();
        let of_snapshot = snapshot.and_then(|snapshot| match snapshot.get("context_summary") {
            Some(serde_json::Value::String(text)) => Some(text),
            _ => None,
        });
        let kept = saved.map(|saved| saved.text.clone()).or(of_snapshot);
        let Some(text) = given.map(str::to_owned).or(kept) else { return };
        let id = match saved.filter(|_| given.is_none()) {
            Some(saved) => source("summary", &saved.id.to_string(), "Summary of a compaction".to_owned()),
            None => source("summary", &self.options.session_id, "Summary that was given".to_owned()),
        };
        // No more than the store hands out of one that it keeps.
        let end = text.char_indices().nth(SUMMARY).map_or(text.len(), |(at, _)| at);
        let pieces = pieces(&text[..end]);
        // What is to be done next is worth most, then what was wanted at first and what was done last.
        let mut ahead = 0;
        for (place, piece) in pieces.iter().enumerate() {
            let from_end = pieces.len() - 1 - place;
            let score = if piece.is_ahead {
                ahead += 1;
                falling(ahead - 1, 8.0)
            } else {
                0.4 * falling(place, 6.0).max(falling(from_end, 3.0))
            };
            let line = format!("- {}", piece.text);
            let forms = vec![cut(&line, 160), cut(&line, 330), line];
            self.add(Part::Summary, score, forms, id.clone());
        }
    }

    fn prompts(&mut self) {
        for (place, prompt) in self.rows.prompts.iter().skip(1).enumerate() {
            let when = ago(self.now, prompt.created_at);
            let over = match prompt.status {
                // That it is done is what is expected of it.
                RequestStatus::Active | RequestStatus::Completed => String::new(),
                status => format!(", {status}"),
            };
            let forms =
                [100, 300, 1000].map(|width| format!("- {} ({when}{over})", cut(&prompt.text, width)));
            let id = source("session", &prompt.id.to_string(), format!("Request: {}", cut(&prompt.text, 50)));
            self.add(Part::Earlier, falling(place, 3.0), forms.to_vec(), id);
        }
    }

    fn before(&mut self) {
        for (place, context) in self.rows.contexts.iter().enumerate() {
            // Without a description only its state is known.
            if context.progress.starts_with('(') {
                continue;
            }
            let when = ago(self.now, context.updated_at);
            let forms = [120, 400].map(|width| format!("- {when}: {}", cut(&context.progress, width)));
            let id = source("agent_context", &context.id.to_string(), "Earlier work of the agent".to_owned());
            self.add(Part::Before, falling(place, 2.0), forms.to_vec(), id);
        }
    }
}
