//! `POST /hooks/claude`: one event of an agent client's hooks.
//!
//! The body is the event as the client's hook gets it, whole. Nothing in it is needed but the session and the name of
//! the event; what this version does not know is kept, not refused (see [`crate::hooks`]). Two things travel in the
//! query, because the body is the client's: `at` and `agent`.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::input::{FieldSource, FieldSpec, InputErrors, NAME, Rule};
use crate::hooks::AgentClient;
use crate::observe::{TEXT_LIMIT, cut_text, mend};
use crate::time::Timestamp;

/// `POST /hooks/claude`
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct HookReport {
    /// When it was observed, for an event that is told later. Nobody waits for the answer then, so nothing is told to
    /// the agent. The present unless given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub at: Option<Timestamp>,
    /// The client whose event it is; told by the event unless given.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub agent: Option<AgentClient>,
    /// The session.
    pub session_id: String,
    /// What happened: `PostToolUse`, `Stop`, …
    pub hook_event_name: String,
    /// All other members of the event.
    #[serde(flatten)]
    pub fields: Map<String, Value>,
}

const QUERY_FIELD: FieldSpec = FieldSpec { name: "at", required: false, rule: Rule::Any };
const BODY_FIELD: FieldSpec = FieldSpec { name: "session_id", required: true, rule: NAME };

impl super::Input for HookReport {
    const FIELDS: &'static [FieldSpec] = &[
        QUERY_FIELD,
        FieldSpec { name: "agent", ..QUERY_FIELD },
        BODY_FIELD,
        FieldSpec { name: "hook_event_name", ..BODY_FIELD },
    ];
    const MISSING: &'static [(&'static str, &'static str)] = &[];
    const QUERY: &'static [&'static str] = &["at", "agent"];

    fn read(source: &FieldSource, errors: &mut InputErrors) -> Option<Self> {
        let [at, agent, session_id, hook_event_name] = Self::FIELDS else { return None };
        let at = source.read_query(at, errors);
        let agent = source.read_query(agent, errors);
        let session = source.read::<String>(session_id, errors);
        let name = source.read::<String>(hook_event_name, errors);
        if !errors.is_empty() {
            for (spec, value) in [(session_id, &session), (hook_event_name, &name)] {
                if let Some(value) = value {
                    errors.check(spec, value);
                }
            }
            errors.order_by(Self::FIELDS);
        }
        Some(Self {
            at: at?,
            agent: agent?,
            session_id: session?,
            hook_event_name: name?,
            fields: rest(source),
        })
    }

    fn check(&self, errors: &mut InputErrors) {
        let specs = Self::FIELDS.iter().filter(|spec| spec.required);
        for (spec, value) in specs.zip([&self.session_id, &self.hook_event_name]) {
            errors.check(spec, value);
        }
    }
}

/// The members that have no field of their own. An event is never refused for one of them: what no store can hold is
/// mended, and what nests too deeply is kept as text.
fn rest(source: &FieldSource) -> Map<String, Value> {
    let named = ["session_id", "hook_event_name"];
    let others = source.body.iter().filter(|(name, _)| !named.contains(&&***name));
    let values = others.map(|(name, raw)| {
        let text = mend(raw.get());
        let value = serde_json::from_str(&text);
        (name.replace('\0', ""), value.unwrap_or_else(|_| Value::String(cut_text(&text, TEXT_LIMIT))))
    });
    values.filter(|(_, value)| !value.is_null()).collect()
}

/// Answer to [`HookReport`]: the output of the hook, or (204) nothing.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(transparent)]
pub struct HookAnswer(pub Option<HookOutput>);

/// What a hook tells its client. Clients refuse outputs with members that they do not know, so there are no others.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct HookOutput {
    /// What belongs to this event.
    pub hook_specific_output: HookSpecificOutput,
}

/// What a hook tells its client about one event.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct HookSpecificOutput {
    /// The event, as it was reported.
    pub hook_event_name: String,
    /// What the agent is told; at most 9,500 characters.
    pub additional_context: String,
}
