//! The scorer in numbers.

use super::recorded::ToolSums;
use super::tools::Tool;
use super::{Scorer, rounded};
use crate::api::routing::{RoutingReport, RoutingTotals, ToolByScore, ToolByUsage, ToolTypeCount};
use crate::model::ToolType;

/// Tools in each list.
const LISTED: usize = 10;

#[expect(clippy::cast_precision_loss, reason = "a mean for people to read")]
fn mean(sum: f64, count: usize) -> f64 {
    if count == 0 { 0.0 } else { sum / count as f64 }
}

fn count(count: usize) -> i64 {
    i64::try_from(count).unwrap_or(i64::MAX)
}

impl Scorer {
    /// What is recorded: over everything, the first ten tools by score and by use, and the kinds of tools.
    #[must_use]
    pub fn report(&self) -> RoutingReport {
        let mut tools: Vec<(&Tool, &ToolSums)> =
            self.tools.iter().zip(self.recorded.tools()).filter(|(_, sums)| sums.rows > 0).collect();
        // As it is shown: what differs only by rounding comes in the order of the names, on every node.
        let average = |sums: &ToolSums| rounded(mean(sums.score, sums.rows as usize), 3);
        let usage = |sums: &ToolSums| i64::try_from(sums.usage).unwrap_or(i64::MAX);
        #[expect(clippy::cast_precision_loss, reason = "a mean for people to read")]
        let used = tools.iter().map(|(_, sums)| sums.usage as f64).sum();
        let score = tools.iter().map(|(_, sums)| sums.score).sum();

        let mut kinds: Vec<(ToolType, usize)> = Vec::new();
        for (tool, _) in &tools {
            match kinds.iter_mut().find(|(kind, _)| *kind == tool.kind) {
                Some((_, count)) => *count += 1,
                None => kinds.push((tool.kind, 1)),
            }
        }
        kinds.sort_by(|a, b| b.1.cmp(&a.1).then_with(|| a.0.as_str().cmp(b.0.as_str())));

        let totals = RoutingTotals {
            total_records: count(self.recorded.rows()),
            unique_keywords: count(self.recorded.words()),
            unique_tools: count(tools.len()),
            avg_score: rounded(mean(score, self.recorded.rows()), 3),
            avg_usage: rounded(mean(used, self.recorded.rows()), 1),
        };
        tools.sort_by(|a, b| average(b.1).total_cmp(&average(a.1)).then_with(|| a.0.name.cmp(&b.0.name)));
        let top_by_score = tools
            .iter()
            .take(LISTED)
            .map(|(tool, sums)| ToolByScore {
                tool_name: tool.name.to_string(),
                tool_type: tool.kind,
                avg_score: average(sums),
            })
            .collect();
        tools.sort_by(|a, b| b.1.usage.cmp(&a.1.usage).then_with(|| a.0.name.cmp(&b.0.name)));
        let top_by_usage = tools
            .iter()
            .take(LISTED)
            .map(|(tool, sums)| ToolByUsage {
                tool_name: tool.name.to_string(),
                tool_type: tool.kind,
                total_usage: usage(sums),
            })
            .collect();
        let type_distribution = kinds
            .into_iter()
            .map(|(tool_type, tools)| ToolTypeCount { tool_type, tool_count: count(tools) })
            .collect();
        RoutingReport { totals, top_by_score, top_by_usage, type_distribution }
    }
}
