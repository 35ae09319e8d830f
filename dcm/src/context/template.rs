//! What each family's brief holds, in which order, and what it is worth to its readers.

use super::Family;

/// A kind of section.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Part {
    /// For whom it is, and where.
    Head,
    /// The newest words of the user.
    Request,
    /// What the agent itself is at.
    Task,
    /// Who blocks whom.
    Blocked,
    /// What others are at, and what waits.
    Work,
    /// What sub-agents and ended work came to.
    Results,
    /// What failed when it was last tried.
    Failures,
    /// Files that were changed.
    Changed,
    /// Files that were looked at.
    Read,
    /// Unread messages.
    Messages,
    /// What was decided, as a snapshot says.
    Decisions,
    /// What a compaction kept of the conversation.
    Summary,
    /// The last tool calls.
    Steps,
    /// Earlier words of the user.
    Earlier,
    /// The agent's own work in other sessions of the project.
    Before,
}

impl Part {
    /// Its name in explanations.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Head => "head",
            Self::Request => "request",
            Self::Task => "task",
            Self::Blocked => "blocked",
            Self::Work => "work",
            Self::Results => "results",
            Self::Failures => "failures",
            Self::Changed => "changed",
            Self::Read => "read",
            Self::Messages => "messages",
            Self::Decisions => "decisions",
            Self::Summary => "summary",
            Self::Steps => "steps",
            Self::Earlier => "earlier",
            Self::Before => "before",
        }
    }
}

/// A section of a family's brief.
#[derive(Debug, Clone, Copy)]
pub(super) struct Section {
    pub(super) part: Part,
    pub(super) heading: &'static str,
    /// What its best line is worth; lines compete by worth for each token.
    pub(super) worth: f64,
    /// The part of the budget, in percent, that is its own as long as it has something to say.
    pub(super) floor: usize,
}

/// A family's brief: its title, and its sections in the order in which they are read.
#[derive(Debug, Clone, Copy)]
pub(super) struct Template {
    pub(super) title: &'static str,
    pub(super) sections: &'static [Section],
}

const fn section(part: Part, heading: &'static str, worth: f64, floor: usize) -> Section {
    Section { part, heading, worth, floor }
}

const HEAD: Section = section(Part::Head, "", 30.0, 0);
const REQUEST: Section = section(Part::Request, "Newest request", 100.0, 0);
const DECISIONS: Section = section(Part::Decisions, "Saved before the compaction", 9.0, 5);
const SUMMARY: Section = section(Part::Summary, "Summary before the compaction", 8.0, 6);
const EARLIER: Section = section(Part::Earlier, "Earlier requests, newest first", 4.0, 0);
const BEFORE: Section = section(Part::Before, "This agent in other sessions of the project", 3.0, 0);
const STEPS: Section = section(Part::Steps, "Last tool calls, newest first", 2.0, 0);

/// Decides who does what: who is stuck comes first, then what is open and what came back.
const ORCHESTRATOR: Template = Template {
    title: "Orchestrator brief",
    sections: &[
        HEAD,
        REQUEST,
        section(Part::Blocked, "Blocked agents", 14.0, 8),
        section(Part::Task, "This agent's own work", 12.0, 6),
        section(Part::Work, "Open work", 9.0, 10),
        section(Part::Results, "What came back, newest first", 20.0, 16),
        section(Part::Failures, "Failed when last tried, newest first", 20.0, 21),
        section(Part::Messages, "Unread messages", 7.0, 8),
        DECISIONS,
        section(Part::Changed, "Files changed (how often), most relevant first", 6.0, 14),
        section(Part::Read, "Files read, most relevant first", 3.5, 6),
        EARLIER,
        SUMMARY,
        BEFORE,
        STEPS,
    ],
};

/// Does the work: its task, what stops it, the files in play, what is broken.
const DEVELOPER: Template = Template {
    title: "Developer brief",
    sections: &[
        HEAD,
        REQUEST,
        section(Part::Task, "Current task", 20.0, 12),
        section(Part::Blocked, "Blocked", 12.0, 6),
        section(Part::Failures, "Failed when last tried, newest first", 20.0, 24),
        section(Part::Changed, "Files changed (how often), most relevant first", 6.5, 18),
        section(Part::Read, "Files read, most relevant first", 4.5, 6),
        section(Part::Results, "What came back, newest first", 20.0, 14),
        section(Part::Messages, "Unread messages", 6.0, 6),
        section(Part::Work, "Open work of others", 4.0, 3),
        DECISIONS,
        EARLIER,
        SUMMARY,
        BEFORE,
        STEPS,
    ],
};

/// Checks the work of others: what changed, what was said to be done, what failed.
const VALIDATOR: Template = Template {
    title: "Validator brief",
    sections: &[
        HEAD,
        REQUEST,
        section(Part::Task, "To be validated", 20.0, 10),
        section(Part::Changed, "Changes to review (how often), most relevant first", 7.0, 18),
        section(Part::Failures, "Failed when last tried, newest first", 20.0, 24),
        section(Part::Results, "Finished work, newest first", 20.0, 18),
        section(Part::Blocked, "Blocked", 10.0, 4),
        section(Part::Messages, "Unread messages", 6.0, 6),
        DECISIONS,
        section(Part::Read, "Files read, most relevant first", 4.0, 6),
        section(Part::Work, "Open work of others", 3.5, 2),
        EARLIER,
        SUMMARY,
        BEFORE,
        STEPS,
    ],
};

/// Looks at one aspect: its assignment, what was decided, the files in scope, who asked for what.
const SPECIALIST: Template = Template {
    title: "Specialist brief",
    sections: &[
        HEAD,
        REQUEST,
        section(Part::Task, "Assignment", 20.0, 12),
        section(Part::Messages, "Unread messages", 8.0, 8),
        DECISIONS,
        section(Part::Changed, "Files in scope, changed (how often), most relevant first", 6.5, 16),
        section(Part::Read, "Files in scope, read, most relevant first", 4.5, 8),
        section(Part::Results, "What came back, newest first", 20.0, 16),
        section(Part::Failures, "Failed when last tried, newest first", 20.0, 22),
        section(Part::Blocked, "Blocked", 10.0, 4),
        section(Part::Work, "Open work of others", 3.5, 2),
        EARLIER,
        SUMMARY,
        BEFORE,
        STEPS,
    ],
};

/// The template of a family.
pub(super) const fn template(family: Family) -> &'static Template {
    match family {
        Family::Orchestrator => &ORCHESTRATOR,
        Family::Developer => &DEVELOPER,
        Family::Validator => &VALIDATOR,
        Family::Specialist => &SPECIALIST,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_template_has_every_part_once() {
        for family in [Family::Orchestrator, Family::Developer, Family::Validator, Family::Specialist] {
            let template = template(family);
            let mut names: Vec<_> = template.sections.iter().map(|section| section.part.name()).collect();
            names.sort_unstable();
            names.dedup();
            assert_eq!(names.len(), template.sections.len(), "{}", template.title);
            assert_eq!(names.len(), 15, "{}", template.title);
            let floors: usize = template.sections.iter().map(|section| section.floor).sum();
            assert!(floors <= 100, "{}: {floors} % are promised", template.title);
        }
    }
}
