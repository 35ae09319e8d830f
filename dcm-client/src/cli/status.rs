//! `dcm status`

use dcm::api::system::{Health, Stats};
use serde_json::json;

use super::{Outcome, complain_of, print};
use crate::Client;

/// Asks the server how it is and what it holds.
pub(super) async fn run(client: &Client, as_json: bool) -> Outcome {
    let health = match client.health(Health {}).await {
        Ok(health) => health,
        Err(error) => return complain_of(client, &error),
    };
    let stats = match client.stats(Stats {}).await {
        Ok(stats) => Some(stats),
        // What a sick server cannot count is no further news.
        Err(_) if health.status != "healthy" => None,
        Err(error) => return complain_of(client, &error),
    };
    if as_json {
        print(&json!({"url": client.url(), "health": health, "stats": stats}).to_string());
    } else {
        let store = match &health.database.error {
            Some(error) => error.clone(),
            None => format!("answers in {} ms", health.database.latency_ms),
        };
        let counts = stats.map_or_else(String::new, |stats| {
            format!(
                "  projects  {}\n  requests  {}\n  actions   {}\n  messages  {}\n",
                stats.project_count, stats.request_count, stats.action_count, stats.message_count
            )
        });
        let text = format!(
            "{} is {} (DCM {})\n  store     {store}\n{counts}",
            client.url(),
            health.status,
            health.version
        );
        print(&text);
    }
    if health.status == "healthy" { Outcome::Well } else { Outcome::Failed }
}
