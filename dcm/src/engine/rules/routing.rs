use crate::api::routing::{FeedbackTaken, RoutingFeedback};
use crate::error::{Error, Result};
use crate::routing::opinion;
use crate::storage::{Command, Footprint, State};

impl Command for RoutingFeedback {
    type Outcome = FeedbackTaken;

    fn footprint(&self, _: &mut Footprint) {}

    fn decide(&self, state: &mut State) -> Result<FeedbackTaken> {
        if self.keywords.is_empty() {
            return Err(Error::invalid_field(
                "Missing required fields: tool_name and keywords",
                "keywords",
                "must name at least one word",
            ));
        }
        let chosen = self.chosen.is_some_and(|chosen| chosen.0);
        let change = opinion(chosen);
        for keyword in &self.keywords {
            state.learn(&keyword.to_lowercase(), &self.tool_name, &change);
        }
        Ok(FeedbackTaken {
            success: true,
            message: format!("Updated {} keyword scores for {}", self.keywords.len(), self.tool_name),
            adjustment: change.delta,
        })
    }
}
