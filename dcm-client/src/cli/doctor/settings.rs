//! What settings say about hooks, and what is wrong with it.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use serde_json::Value;

use super::super::hooks::Found;
use super::super::hooks::entries::{EVENTS, own_command, own_http, server_of_http};
use super::super::place::Server;
use super::Findings;
use crate::DEFAULT_URL;

/// Beyond this a timeout in seconds makes no sense; the client's own default is as much.
const LONGEST_TIMEOUT: f64 = 600.0;

const ABOUT: &str = "hooks";
const RENEW: &str = "`dcm hooks install` renews them";

pub(super) fn look(found: &[Found], server: &Server, findings: &mut Findings) {
    // What is registered for an event, in how many different ways: identical entries run once.
    let mut ways: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for file in found {
        let place = file.path.display();
        let settings = match &file.settings {
            None => continue,
            Some(Err(reason)) => {
                let remedy = "the client ignores settings that it cannot read; mend them";
                findings.problem(ABOUT, format!("{place}: {reason}"), remedy);
                continue;
            }
            Some(Ok(settings)) => settings,
        };
        let mut events = BTreeSet::new();
        for (event, _, handler) in file.entries() {
            look_at_timeout(&event, &handler, &place.to_string(), findings);
            let url = match (own_command(&handler), own_http(&handler)) {
                (Some(command), _) => {
                    look_at_program(&command.program, &place.to_string(), findings);
                    command.url.unwrap_or_else(|| DEFAULT_URL.to_owned())
                }
                (None, Some(url)) => {
                    look_at_permission(settings, &handler, &place.to_string(), findings);
                    url.to_owned()
                }
                (None, None) => {
                    look_at_stranger(&event, &handler, &place.to_string(), findings);
                    continue;
                }
            };
            if url != server.url {
                let says = format!("{event} in {place} goes to {url}, not to {}", server.url);
                findings.warning(ABOUT, says, "name that server with --url or DCM_URL, or install again");
            }
            ways.entry(event.clone()).or_default().insert(handler.to_string());
            events.insert(event);
        }
        if events.is_empty() {
            continue;
        }
        if settings.get("disableAllHooks").and_then(Value::as_bool) == Some(true) {
            findings.problem(
                ABOUT,
                format!("{place} has \"disableAllHooks\": true"),
                "no hook runs until it goes",
            );
        }
        let missing: Vec<&str> =
            EVENTS.iter().map(|(event, ..)| *event).filter(|event| !events.contains(*event)).collect();
        if missing.is_empty() {
            findings.well(ABOUT, format!("{} events are told by {place}", events.len()));
        } else {
            findings.warning(ABOUT, format!("{place} does not tell of {}", missing.join(", ")), RENEW);
        }
    }
    if ways.is_empty() {
        findings.problem(ABOUT, "no settings hold DCM's hooks", "`dcm hooks install` puts them in");
    }
    let doubled: Vec<&str> =
        ways.iter().filter(|(_, ways)| ways.len() > 1).map(|(event, _)| &**event).collect();
    if !doubled.is_empty() {
        let says = format!("told more than once: {}", doubled.join(", "));
        findings.problem(
            ABOUT,
            says,
            "`dcm hooks uninstall --scope …` takes them out of one of the settings",
        );
    }
    findings.drop_repetitions();
}

impl Findings {
    /// The same of fourteen events is said once.
    fn drop_repetitions(&mut self) {
        let mut seen = BTreeSet::new();
        self.0.retain(|finding| seen.insert((finding.about, finding.says.clone())));
    }
}

fn look_at_timeout(event: &str, handler: &Value, place: &str, findings: &mut Findings) {
    let Some(timeout) = handler.get("timeout").and_then(Value::as_f64) else { return };
    if timeout > LONGEST_TIMEOUT {
        let says = format!("a hook of {event} in {place} may take {timeout} seconds");
        let remedy = "timeouts are in seconds, not in milliseconds";
        if own_command(handler).is_some() || own_http(handler).is_some() {
            findings.problem(ABOUT, says, remedy);
        } else {
            findings.warning(ABOUT, says, remedy);
        }
    }
}

fn look_at_program(program: &str, place: &str, findings: &mut Findings) {
    let path = Path::new(program);
    if !path.is_absolute() {
        let says = format!("{place} runs {program:?}, which is found only where PATH has it");
        findings.warning(ABOUT, says, RENEW);
    } else if !path.is_file() {
        findings.problem(ABOUT, format!("{place} runs {program}, which is not there"), RENEW);
    } else if let (Ok(theirs), Ok(ours)) =
        (path.canonicalize(), std::env::current_exe().and_then(|path| path.canonicalize()))
        && theirs != ours
    {
        findings.warning(ABOUT, format!("{place} runs {program}, which is another one than this"), RENEW);
    }
}

fn look_at_permission(settings: &Value, handler: &Value, place: &str, findings: &mut Findings) {
    let Some(allowed) = settings.get("allowedHttpHookUrls").and_then(Value::as_array) else { return };
    let url = handler.get("url").and_then(Value::as_str).unwrap_or_default();
    // A pattern may end with a star; more is for its owner to judge.
    let covers = |pattern: &str| match pattern.strip_suffix('*') {
        Some(prefix) => url.starts_with(prefix),
        None => url == pattern,
    };
    if !allowed.iter().filter_map(Value::as_str).any(covers) {
        let says = format!("\"allowedHttpHookUrls\" in {place} does not allow {url}");
        findings.problem(ABOUT, says, "add it, or use `dcm hooks install --command`");
    }
}

/// Entries that are not ours and tell the same, and those of the service that DCM took the place of.
fn look_at_stranger(event: &str, handler: &Value, place: &str, findings: &mut Findings) {
    if let Some(url) = server_of_http(handler) {
        let says = format!("an entry for {event} in {place} posts to {url} as well and is not DCM's own");
        findings.warning(ABOUT, says, "remove it by hand if it is a copy");
    }
    let command = handler.get("command").and_then(Value::as_str).unwrap_or_default();
    if ["track-usage.sh", "track-action.sh", "track-agent.sh", "track-session.sh"]
        .iter()
        .any(|old| command.contains(old))
    {
        let says = format!("{place} still runs an older hook for {event}: {command}");
        findings.warning(ABOUT, says, "remove it; it records nothing that DCM's hooks do not");
    }
}
