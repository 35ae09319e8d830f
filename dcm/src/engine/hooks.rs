//! `POST /hooks/claude`: one event in, one commit, and what its agent is told.

use super::rules::{BriefWanted, HookTaken, NoteBrief, Observe, TakeHook};
use super::{Dcm, Run};
use crate::api::compact::CompactSave;
use crate::api::hooks::{HookAnswer, HookOutput, HookReport};
use crate::api::ingest::{HOOK_SOURCE, Ingest, Observation};
use crate::context::{BriefOptions, estimate_tokens};
use crate::error::Result;
use crate::hooks::{MAX_CONTEXT, Noticed, Speaks, notice, width};

/// The budget of a brief that is given by a hook, in tokens: what fits beside messages below the limit of clients.
const BRIEF_TOKENS: usize = 2_000;
/// The least budget that a brief is worth compiling for.
const LEAST_TOKENS: usize = 100;

impl Run<HookReport> for Dcm {
    async fn run(&self, mut report: HookReport) -> Result<HookAnswer> {
        let now = self.now();
        // Clocks of other machines may be ahead.
        report.at = report.at.map(|at| at.min(now));
        let noticed = notice(&report, now);
        if noticed.observations.is_empty() && noticed.speaks == Speaks::Nothing {
            return Ok(HookAnswer(None));
        }
        let session_id = report.session_id.clone();
        let Noticed { agent_id, fingerprint: event, .. } = noticed.clone();
        let live = report.at.is_none();
        let snapshot = noticed.observations.iter().find_map(|one| match one {
            Observation::CompactionStarted { trigger, agent_id, .. } if live => {
                Some((agent_id.clone(), trigger.clone()))
            }
            _ => None,
        });
        let starts = |one: &Observation| matches!(one, Observation::SessionStarted { .. });
        let command = TakeHook {
            observe: Observe(Ingest {
                session_id: session_id.clone(),
                project_path: noticed.project_path.clone(),
                source: Some(HOOK_SOURCE.to_owned()),
                observations: noticed.observations.clone(),
            }),
            begins: noticed.observations.iter().any(starts),
            live,
            message_ttl_ms: self.config().message_ttl_ms,
            noticed,
        };
        let HookTaken { abandoned, text, brief } = self.commit(command).await?;
        self.drop_phantoms(abandoned).await?;
        if let Some((agent, trigger)) = snapshot {
            self.snapshot_for_hook(&session_id, agent, trigger).await;
        }
        let text = match brief {
            Some(wanted) => {
                let note = NoteBrief { session_id, agent_id, event, tokens: 0 };
                Some(self.hook_brief(note, wanted, text).await?)
            }
            None => text,
        };
        Ok(HookAnswer(text.map(|text| HookOutput::context(&report.hook_event_name, &text))))
    }
}

impl Dcm {
    /// What is open and what was changed, as it stands before the context is lost. The event itself is recorded, and
    /// repeating it would not say more, so a failure here is nobody else's.
    async fn snapshot_for_hook(&self, session_id: &str, agent: Option<String>, trigger: Option<String>) {
        let save = CompactSave {
            session_id: session_id.to_owned(),
            agent_id: Some(agent.unwrap_or_else(|| session_id.to_owned())),
            trigger,
            context_summary: None,
            active_tasks: None,
            modified_files: None,
            key_decisions: None,
            agent_states: None,
            wave_state: None,
        };
        if let Err(error) = self.save_announced_snapshot(save).await {
            tracing::warn!(?error, "a session is compacted without a snapshot");
        }
    }

    /// A brief for an agent that begins, or begins anew, with the messages that it was told besides.
    async fn hook_brief(
        &self,
        note: NoteBrief,
        wanted: BriefWanted,
        messages: Option<String>,
    ) -> Result<String> {
        let NoteBrief { session_id, agent_id, .. } = &note;
        let head = match &wanted.parent {
            Some(parent) => format!(
                "DCM keeps a shared memory for the agents of this project. This agent is `{agent_id}`, launched by \
                 `{parent}`, in session `{session_id}`; messages to it arrive between its tool calls. Its name belongs \
                 in each command, or the main agent is meant: `dcm inbox {agent_id}`, \
                 `dcm send TO TEXT --from {agent_id}`.\n\n"
            ),
            None => format!(
                "DCM keeps a shared memory for the agents of this project. This agent is `{agent_id}` (the session's \
                 id); messages to it arrive between its tool calls.\n\n"
            ),
        };
        let taken = width(&head) + messages.as_deref().map_or(0, |text| width(text) + 2);
        let room = (MAX_CONTEXT.saturating_sub(taken) / 4).min(BRIEF_TOKENS);
        let mut text = head;
        if room >= LEAST_TOKENS {
            let options = BriefOptions {
                agent_type: wanted.agent_type.or_else(|| wanted.parent.is_none().then(|| "main".to_owned())),
                max_tokens: i32::try_from(room).ok(),
                include_messages: false,
                ..BriefOptions::new(agent_id.clone(), session_id.clone())
            };
            let (brief, _, _) = self.brief(options).await?;
            text.push_str(&brief.content);
        }
        let tokens = estimate_tokens(&text);
        self.commit_aside(NoteBrief { tokens, ..note }).await?;
        if let Some(messages) = messages {
            text.push_str("\n\n");
            text.push_str(&messages);
        }
        Ok(text)
    }
}
