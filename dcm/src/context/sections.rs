//! The sections of each family's brief, as lines; what matters most comes first, so that it survives a small budget.

use super::{BriefOptions, Family, description, first_chars};
use crate::api::context::{ContextMessage, ContextTask};
use crate::model::SubtaskStatus;
use crate::storage::ContextRows;
use crate::time::Timestamp;

/// `text` on one line, cut to `width` characters.
fn cut(text: &str, width: usize) -> String {
    let flat = text.split_whitespace().collect::<Vec<_>>().join(" ");
    if flat.chars().count() <= width {
        flat
    } else {
        format!("{}...", first_chars(&flat, width.saturating_sub(3)))
    }
}

pub(super) fn render(
    options: &BriefOptions,
    agent_type: &str,
    family: Family,
    rows: &ContextRows,
    now: Timestamp,
) -> Vec<String> {
    let mut lines = vec![
        format!("# {} Context Brief", family.title()),
        format!("**Agent:** {} (@{agent_type})", cut(&options.agent_id, 60)),
        format!("**Session:** {}", cut(&options.session_id, 60)),
        format!("**Generated:** {now}"),
    ];
    if let Some(session) = &rows.session {
        section(&mut lines, "Current Request", [cut(&session.prompt, 200)]);
    }
    match family {
        Family::Orchestrator => {
            active_tasks(&mut lines, rows);
            blockers(&mut lines, rows);
            messages(&mut lines, rows, |_| true);
            files(&mut lines, rows);
        }
        Family::Developer => {
            current_task(&mut lines, "Current Task", rows, now);
            blockers(&mut lines, rows);
            files(&mut lines, rows);
            messages(&mut lines, rows, |_| true);
            history(&mut lines, rows);
        }
        Family::Validator => {
            current_task(&mut lines, "Validation Target", rows, now);
            changes(&mut lines, rows);
            failures(&mut lines, rows);
            messages(&mut lines, rows, |_| true);
        }
        Family::Specialist => {
            current_task(&mut lines, "Current Assignment", rows, now);
            files(&mut lines, rows);
            messages(&mut lines, rows, |_| true);
            blockers(&mut lines, rows);
        }
    }
    if let Some(summary) = options.summary.as_deref().filter(|summary| !summary.trim().is_empty()) {
        // By lines, so that what does not fit goes line by line.
        section(&mut lines, "Summary Before Compaction", summary.trim().lines().map(str::to_owned));
    }
    if let Some(project) = &rows.project {
        let name = project.name.as_deref().unwrap_or(&project.path);
        section(&mut lines, "Project", [format!("{} (`{}`)", cut(name, 80), cut(&project.path, 120))]);
    }
    section(&mut lines, "Instructions", instructions(family).map(str::to_owned));
    lines
}

fn section(lines: &mut Vec<String>, title: &str, content: impl IntoIterator<Item = String>) {
    let content: Vec<String> = content.into_iter().collect();
    if !content.is_empty() {
        lines.push(String::new());
        lines.push(format!("## {title}"));
        lines.extend(content);
    }
}

fn task_line(task: &ContextTask) -> String {
    let kind = task.agent_type.as_deref().map_or_else(String::new, |kind| format!(" (@{kind})"));
    let wave = task.wave_number.map_or_else(String::new, |wave| format!(" [Wave {wave}]"));
    let status = task.status.as_str().to_uppercase();
    format!("- [{status}] {}{kind}{wave}", cut(description(task), 80))
}

fn active_tasks(lines: &mut Vec<String>, rows: &ContextRows) {
    let mut content = Vec::new();
    for (status, most) in
        [(SubtaskStatus::Running, 5), (SubtaskStatus::Blocked, 5), (SubtaskStatus::Pending, 3)]
    {
        let of_status: Vec<&ContextTask> = rows.tasks.iter().filter(|task| task.status == status).collect();
        content.extend(of_status.iter().take(most).map(|task| task_line(task)));
        if of_status.len() > most {
            content.push(format!("- and {} more {status}", of_status.len() - most));
        }
    }
    if content.is_empty() {
        content.push("No active task.".to_owned());
    }
    section(lines, &format!("Active Tasks ({})", rows.tasks.len()), content);
}

fn current_task(lines: &mut Vec<String>, title: &str, rows: &ContextRows, now: Timestamp) {
    let of_status = |status| rows.tasks.iter().find(move |task| task.status == status);
    let Some(task) = of_status(SubtaskStatus::Running).or_else(|| of_status(SubtaskStatus::Pending)) else {
        section(lines, title, ["No task is assigned.".to_owned()]);
        return;
    };
    let mut content = vec![cut(description(task), 300), format!("**Status:** {}", task.status)];
    if let Some(name) = &task.task_name {
        let wave = task.wave_number.map_or_else(String::new, |wave| format!(" (wave {wave})"));
        content.push(format!("**Part of:** {}{wave}", cut(name, 80)));
    }
    let waits: Vec<String> = task.blocked_by.iter().flatten().map(ToString::to_string).collect();
    if !waits.is_empty() {
        content.push(format!("**Waits for:** {}", waits.join(", ")));
    }
    if let Some(started) = task.started_at {
        content.push(format!("**Running for:** {} min", now.millis_since(started).max(0) / 60_000));
    }
    section(lines, title, content);
}

fn blockers(lines: &mut Vec<String>, rows: &ContextRows) {
    let content = rows.blockings.iter().take(5).map(|one| {
        let reason =
            one.reason.as_deref().map_or_else(String::new, |reason| format!(": {}", cut(reason, 80)));
        format!("- blocked by {} since {}{reason}", cut(&one.blocked_by_agent, 60), one.created_at)
    });
    section(lines, "Blockers", content);
}

fn messages(lines: &mut Vec<String>, rows: &ContextRows, wanted: impl Fn(&ContextMessage) -> bool) {
    let content = rows.messages.iter().filter(|message| wanted(message)).take(6).map(|message| {
        let urgent = if message.priority >= 5 { "**!** " } else { "" };
        format!(
            "- {urgent}{} ({}): {}",
            cut(message.from_agent.as_deref().unwrap_or("system"), 60),
            message.topic.as_deref().unwrap_or("message"),
            cut(message.content.as_str(), 120),
        )
    });
    section(lines, "Messages", content);
}

/// Files in play, the latest touched first, each once.
fn distinct_files(rows: &ContextRows) -> Vec<(&str, &'static str)> {
    let mut files: Vec<(&str, &'static str)> = Vec::new();
    for action in &rows.history {
        let tool = action.tool_name.to_lowercase();
        let kind = match () {
            () if tool.contains("write") || tool.contains("create") => "created",
            () if tool.contains("edit") || tool.contains("update") => "modified",
            () if tool.contains("delete") || tool.contains("remove") => "deleted",
            () => "read",
        };
        for path in &action.file_paths {
            match files.iter_mut().find(|(known, _)| known == path) {
                Some(known) if known.1 == "read" => known.1 = kind,
                Some(_) => {}
                None => files.push((path, kind)),
            }
        }
    }
    files
}

fn files(lines: &mut Vec<String>, rows: &ContextRows) {
    section(
        lines,
        "Relevant Files",
        distinct_files(rows).into_iter().take(8).map(|(path, _)| format!("- `{path}`")),
    );
}

fn changes(lines: &mut Vec<String>, rows: &ContextRows) {
    let content =
        distinct_files(rows).into_iter().take(10).map(|(path, kind)| format!("- [{kind}] `{path}`"));
    section(lines, "Changes to Review", content);
}

fn failures(lines: &mut Vec<String>, rows: &ContextRows) {
    let failed = rows.history.iter().filter(|action| action.exit_code != 0);
    let content = failed
        .take(5)
        .map(|action| format!("- {} failed (exit code {})", action.tool_name, action.exit_code));
    section(lines, "Previous Issues", content);
}

fn history(lines: &mut Vec<String>, rows: &ContextRows) {
    let content = rows.history.iter().take(5).map(|action| {
        let outcome =
            if action.exit_code == 0 { "OK".to_owned() } else { format!("ERR:{}", action.exit_code) };
        let took = action.duration_ms.map_or_else(String::new, |ms| format!(" {ms} ms"));
        let paths: Vec<&str> = action.file_paths.iter().take(2).map(String::as_str).collect();
        format!("- [{outcome}] {}{took} {}", action.tool_name, paths.join(", ")).trim_end().to_owned()
    });
    section(lines, "Recent Actions", content);
}

fn instructions(family: Family) -> [&'static str; 3] {
    match family {
        Family::Orchestrator => [
            "1. Unblock what is blocked before starting new work.",
            "2. Give pending tasks to agents that are free.",
            "3. Answer messages of high priority first.",
        ],
        Family::Developer => [
            "1. Go on with the current task; do not start over.",
            "2. Look at the relevant files before changing them.",
            "3. Report what you finish or what stops you.",
        ],
        Family::Validator => [
            "1. Check every change listed above, then its tests.",
            "2. Verify that earlier failures do not come back.",
            "3. Report each finding with file and reason.",
        ],
        Family::Specialist => [
            "1. Stay within your field and the files in scope.",
            "2. Give findings with severity and a way to fix them.",
            "3. Report back to whoever assigned the work.",
        ],
    }
}
