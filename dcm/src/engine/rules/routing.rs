use serde_json::json;

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
        let data = json!({"tool_name": self.tool_name, "keywords": self.keywords, "chosen": chosen});
        state.emit("routing.feedback", [], data, json!({"chosen": chosen}));
        Ok(FeedbackTaken {
            success: true,
            message: format!("Updated {} keyword scores for {}", self.keywords.len(), self.tool_name),
            adjustment: opinion(chosen).delta,
        })
    }
}
