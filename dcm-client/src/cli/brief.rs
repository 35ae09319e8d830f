//! `dcm brief`

use std::fmt::Write as _;

use clap::Args;
use dcm::api::context::{BriefChoice, ContextAnswer, ContextGet};
use serde_json::json;

use super::Outcome;
use super::agents::{Session, answered};
use super::paint::plain;
use crate::Client;

/// What an agent should know now, within a budget of tokens.
#[derive(Debug, Args)]
pub(super) struct Brief {
    /// The agent [default: the session's main agent]
    agent: Option<String>,
    #[command(flatten)]
    session: Session,
    /// What kind of agent it is, such as `backend-rust`; guessed from its name unless given
    #[arg(long = "type", value_name = "TYPE")]
    agent_type: Option<String>,
    /// The most tokens that the brief may cost
    #[arg(long, visible_alias = "max-tokens", value_name = "N", default_value_t = 2000, value_parser = clap::value_parser!(i32).range(100..=8000))]
    tokens: i32,
    /// Say of everything that could stand in the brief why it does or does not
    #[arg(long)]
    explain: bool,
}

impl Brief {
    /// Asks for the brief and prints it.
    pub(super) async fn run(self, client: &Client, as_json: bool) -> Outcome {
        let agent_id = match self.session.agent(self.agent.as_ref()) {
            Ok(agent) => agent,
            Err(outcome) => return outcome,
        };
        let ask = ContextGet {
            agent_id,
            session_id: self.session.id(),
            agent_type: self.agent_type,
            format: None,
            max_tokens: Some(self.tokens),
            include_history: None,
            include_messages: None,
            include_blocking: None,
            history_limit: None,
            explain: self.explain.then_some(true),
        };
        let answer = client.context_get(ask).await;
        answered(client, as_json, answer, |answer| match answer {
            ContextAnswer::Brief { brief, explanation, .. } => {
                let mut text = plain(&brief.content);
                if let Some(choices) = explanation {
                    text.push_str(&plain(&explained(choices, brief.token_count, self.tokens)));
                }
                text
            }
            ContextAnswer::NoSession { message, .. } => message.clone(),
            other @ ContextAnswer::Raw { .. } => json!(other).to_string(),
        })
    }
}

/// A table of what is in and what is out.
fn explained(choices: &[BriefChoice], cost: i64, budget: i32) -> String {
    let mut text = format!("\n{cost} of {budget} tokens\n\n    worth  tokens  section    line\n");
    for choice in choices {
        let mark = if choice.included { "in " } else { "out" };
        let line: String = choice.text.chars().take(90).collect();
        // Writing to a text cannot fail.
        let _ = writeln!(
            text,
            "{mark} {:>5.2}  {:>6}  {:<10} {line}  ({})",
            choice.worth, choice.tokens, choice.section, choice.reason
        );
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_says_what_is_in_and_why() {
        let choice = |included, text: &str| BriefChoice {
            section: "changed".to_owned(),
            kind: "file".to_owned(),
            id: "/a".to_owned(),
            text: text.to_owned(),
            worth: 3.456,
            tokens: 7,
            included,
            reason: "by its worth for its tokens".to_owned(),
        };
        let text = explained(&[choice(true, "- a.rs"), choice(false, "- b.rs")], 120, 500);
        assert!(text.contains("120 of 500 tokens"), "{text}");
        assert!(text.contains("in   3.46       7  changed    - a.rs  (by its worth"), "{text}");
        assert!(text.contains("out  3.46"), "{text}");
    }
}
