//! Operations that ask the scorer.

use super::{Dcm, Run};
use crate::api::routing::{RoutingReport, RoutingStats, RoutingSuggest, Suggestions};
use crate::error::{Error, Result};
use crate::routing::{Question, Scorer};

impl Run<RoutingSuggest> for Dcm {
    async fn run(&self, operation: RoutingSuggest) -> Result<Suggestions> {
        let question = question(operation)?;
        self.shared.learning.ask(|scorer| scorer.suggest(&question)).await
    }
}

/// What the scorer is asked; either words or a prompt.
fn question(operation: RoutingSuggest) -> Result<Question> {
    let given = |text: Option<String>| text.filter(|text| !text.is_empty());
    let asked = match (given(operation.keywords), given(operation.prompt)) {
        (None, None) => {
            return Err(Error::invalid_field(
                "Missing required query parameter: keywords",
                "keywords",
                "is required, unless prompt is given",
            ));
        }
        (Some(_), Some(_)) => {
            return Err(Error::invalid_field(
                "keywords and prompt exclude each other",
                "prompt",
                "must not be given together with keywords",
            ));
        }
        (Some(keywords), None) => Question::keywords(&keywords),
        (None, Some(prompt)) => Question::prompt(&prompt),
    };
    if asked.keywords.is_empty() && asked.min_score.is_some() {
        return Err(Error::invalid("No valid keywords provided"));
    }
    Ok(Question {
        limit: operation.limit.unwrap_or(10).min(50) as usize,
        min_score: operation.min_score.or(asked.min_score),
        tool_type: operation.tool_type,
        exclude_types: operation
            .exclude_types
            .iter()
            .flat_map(|kinds| kinds.split(','))
            .map(|kind| kind.trim().to_owned())
            .filter(|kind| !kind.is_empty())
            .collect(),
        ..asked
    })
}

impl Run<RoutingStats> for Dcm {
    async fn run(&self, _: RoutingStats) -> Result<RoutingReport> {
        self.shared.learning.ask(Scorer::report).await
    }
}
