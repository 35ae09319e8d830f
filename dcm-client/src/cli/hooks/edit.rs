//! Entries put into the text of settings and taken out of it; every other character stays.

use jsonc_parser::ParseOptions;
use jsonc_parser::cst::{CstArray, CstNode, CstObject, CstRootNode};
use serde_json::Value;

use super::entries::{Entry, NewEntry, all_entries, is_own};

/// Why settings are left as they are.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Unusable(pub(super) String);

/// The settings as data.
pub(super) fn read(text: &str) -> Result<Value, Unusable> {
    let text = text.trim_start_matches('\u{feff}');
    if text.trim().is_empty() {
        return Ok(Value::Object(serde_json::Map::default()));
    }
    let value: Value = serde_json::from_str(text).map_err(|error| {
        let reason = error.to_string();
        // The position stands in front, where editors look for it.
        let reason = reason.split(" at line ").next().unwrap_or_default();
        Unusable(format!("line {}, column {}: {reason}", error.line(), error.column()))
    })?;
    if value.is_object() { Ok(value) } else { Err(Unusable("it must hold a JSON object".to_owned())) }
}

/// The text with exactly these entries of ours; `None` when it has them already.
pub(super) fn with_entries(text: &str, wanted: Vec<NewEntry>) -> Result<Option<String>, Unusable> {
    let before = read(text)?;
    let mut own: Vec<Entry> =
        all_entries(&before).into_iter().filter(|entry| is_own(&entry.handler)).collect();
    let same = own.len() == wanted.len()
        && wanted.iter().all(|new| {
            let new = new.as_entry();
            let found = own.iter().position(|entry| *entry == new);
            found.map(|at| own.swap_remove(at)).is_some()
        });
    if same {
        return Ok(None);
    }
    let (bom, text) = split_bom(text);
    let text = if text.trim().is_empty() { "{}\n" } else { text };
    let root = parse(text)?;
    let object = root.object_value().ok_or_else(|| Unusable("it must hold a JSON object".to_owned()))?;
    take_out(&object, &before);
    let hooks = object
        .object_value_or_create("hooks")
        .ok_or_else(|| Unusable("\"hooks\" must be an object".to_owned()))?;
    for entry in wanted {
        let event = entry.event;
        let groups = hooks
            .array_value_or_create(event)
            .ok_or_else(|| Unusable(format!("\"hooks\".\"{event}\" must be a list")))?;
        groups.ensure_multiline();
        groups.append(entry.group());
    }
    Ok(Some(format!("{bom}{root}")))
}

/// The text without our entries; `None` when it has none. What became empty by that goes as well, unless `original`
/// (the settings before ours were put in) has it too.
pub(super) fn without_entries(text: &str, original: &Value) -> Result<Option<String>, Unusable> {
    let before = read(text)?;
    if !all_entries(&before).iter().any(|entry| is_own(&entry.handler)) {
        return Ok(None);
    }
    let (bom, text) = split_bom(text);
    let root = parse(text)?;
    let object = root.object_value().ok_or_else(|| Unusable("it must hold a JSON object".to_owned()))?;
    take_out(&object, original);
    Ok(Some(format!("{bom}{root}")))
}

fn take_out(settings: &CstObject, original: &Value) {
    let Some(hooks) = settings.object_value("hooks") else { return };
    let mut any = false;
    for event in hooks.properties() {
        let Some(groups) = event.array_value() else { continue };
        let mut of_event = false;
        for group in groups.elements() {
            let handlers = group.as_object().and_then(|group| group.array_value("hooks"));
            let Some(handlers) = handlers else { continue };
            if take_out_own(&handlers) {
                of_event = true;
                if handlers.elements().is_empty() {
                    group.remove();
                }
            }
        }
        let name = event.decoded_name().unwrap_or_default();
        let was_there = original.get("hooks").and_then(|hooks| hooks.get(&name)).is_some();
        if of_event && groups.elements().is_empty() && !was_there {
            event.remove();
        }
        any |= of_event;
    }
    if any
        && hooks.properties().is_empty()
        && original.get("hooks").is_none()
        && let Some(property) = settings.get("hooks")
    {
        property.remove();
    }
}

fn take_out_own(handlers: &CstArray) -> bool {
    let own: Vec<CstNode> = handlers
        .elements()
        .into_iter()
        .filter(|handler| serde_json::from_str(&handler.to_string()).is_ok_and(|value| is_own(&value)))
        .collect();
    let any = !own.is_empty();
    own.into_iter().for_each(CstNode::remove);
    any
}

fn split_bom(text: &str) -> (&str, &str) {
    let rest = text.trim_start_matches('\u{feff}');
    text.split_at(text.len() - rest.len())
}

fn parse(text: &str) -> Result<CstRootNode, Unusable> {
    CstRootNode::parse(text, &ParseOptions::default()).map_err(|error| Unusable(error.to_string()))
}
