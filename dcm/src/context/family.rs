//! Which kind of agent needs which kind of brief (CONTRACT E.1, README's wildcards).

/// The four families of briefs. A new one is a variant here, a row in `context::template` and the agent types
/// that belong to it below.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Family {
    /// Sees the whole: active tasks, blockers, who does what.
    Orchestrator,
    /// Sees its task, the files in play, what just happened.
    Developer,
    /// Sees what is to be checked and what failed before.
    Validator,
    /// Sees its assignment and what touches its field.
    Specialist,
}

/// Types that are known by name; they come before the wildcards.
const NAMED: [(&str, Family); 36] = [
    ("project-supervisor", Family::Orchestrator),
    ("tech-lead", Family::Orchestrator),
    ("step-orchestrator", Family::Orchestrator),
    ("fullstack-coordinator", Family::Orchestrator),
    ("main", Family::Orchestrator),
    ("backend-laravel", Family::Developer),
    ("frontend-react", Family::Developer),
    ("laravel-api", Family::Developer),
    ("database-admin", Family::Developer),
    ("react-native-dev", Family::Developer),
    ("react-native-ui", Family::Developer),
    ("react-native-api", Family::Developer),
    ("supabase-backend", Family::Developer),
    ("supabase-edge", Family::Developer),
    ("devops-infra", Family::Developer),
    ("migration-specialist", Family::Developer),
    ("performance-engineer", Family::Developer),
    ("explore-codebase", Family::Developer),
    ("explore-docs", Family::Developer),
    ("market-researcher", Family::Developer),
    ("business-analyst", Family::Developer),
    ("qa-testing", Family::Validator),
    ("regression-guard", Family::Validator),
    ("validator", Family::Validator),
    ("code-reviewer", Family::Validator),
    ("security-specialist", Family::Specialist),
    ("gdpr-dpo", Family::Specialist),
    ("legal-compliance", Family::Specialist),
    ("accessibility-specialist", Family::Specialist),
    ("seo-specialist", Family::Specialist),
    ("i18n-specialist", Family::Specialist),
    ("impact-analyzer", Family::Specialist),
    ("technical-writer", Family::Specialist),
    ("fix-grammar", Family::Specialist),
    ("customer-success", Family::Specialist),
    ("product-manager", Family::Specialist),
];

const BEGINNINGS: [(&str, Family); 4] = [
    ("backend-", Family::Developer),
    ("frontend-", Family::Developer),
    ("database-", Family::Developer),
    ("security-", Family::Validator),
];

const ENDINGS: [(&str, Family); 2] = [("-specialist", Family::Specialist), ("-expert", Family::Specialist)];

impl Family {
    /// The family of an agent type: by name, by wildcard, else developer. Capitals do not count.
    #[must_use]
    pub fn of(agent_type: &str) -> Self {
        let agent_type = &*agent_type.to_ascii_lowercase();
        let named = NAMED.iter().find(|(name, _)| *name == agent_type);
        let begins = || BEGINNINGS.iter().find(|(start, _)| agent_type.starts_with(start));
        let ends = || ENDINGS.iter().find(|(end, _)| agent_type.ends_with(end));
        named.or_else(begins).or_else(ends).map_or(Self::Developer, |(_, family)| *family)
    }
}

/// Parts of agent ids and the types that they suggest; the first that is found counts.
const HINTS: [(&str, &str); 13] = [
    ("supervisor", "project-supervisor"),
    ("lead", "tech-lead"),
    ("orchestrator", "step-orchestrator"),
    ("backend", "backend-laravel"),
    ("frontend", "frontend-react"),
    ("database", "database-admin"),
    ("qa", "qa-testing"),
    ("test", "qa-testing"),
    ("security", "security-specialist"),
    ("gdpr", "gdpr-dpo"),
    ("seo", "seo-specialist"),
    ("validator", "validator"),
    ("reviewer", "code-reviewer"),
];

/// The agent type that an agent id suggests; `developer` when it suggests none.
#[must_use]
pub fn infer_agent_type(agent_id: &str) -> &'static str {
    let id = agent_id.to_lowercase();
    let id = id.strip_prefix("agent-").or_else(|| id.strip_prefix("agent_")).unwrap_or(&id);
    let id = id.trim_end_matches(|c: char| c.is_ascii_digit());
    let id = id.strip_suffix(['-', '_']).unwrap_or(id);
    let id = id.strip_suffix("-worker").or_else(|| id.strip_suffix("_worker")).unwrap_or(id);
    HINTS.iter().find(|(hint, _)| id.contains(hint)).map_or("developer", |(_, kind)| *kind)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_before_wildcards_before_developer() {
        for (agent_type, family) in [
            ("tech-lead", Family::Orchestrator),
            ("Tech-Lead", Family::Orchestrator),
            ("graphql-Expert", Family::Specialist),
            ("backend-go", Family::Developer),
            ("security-specialist", Family::Specialist),
            ("security-audit", Family::Validator),
            ("graphql-expert", Family::Specialist),
            ("migration-specialist", Family::Developer),
            ("fix-grammar", Family::Specialist),
            ("whatever", Family::Developer),
        ] {
            assert_eq!(Family::of(agent_type), family, "{agent_type}");
        }
    }

    #[test]
    fn ids_suggest_types() {
        assert_eq!(infer_agent_type("agent-backend-worker-3"), "backend-laravel");
        assert_eq!(infer_agent_type("Latest-Dev"), "qa-testing");
        assert_eq!(infer_agent_type("x"), "developer");
    }
}
