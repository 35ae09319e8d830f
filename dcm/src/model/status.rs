//! The closed sets of words on the wire.

/// Defines an enum whose variants are words on the wire, with parsing, printing and a schema.
macro_rules! wire_enum {
    ($(#[$doc:meta])* $name:ident { $($(#[$variant_doc:meta])* $variant:ident = $word:literal,)+ }) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Serialize, schemars::JsonSchema)]
        pub enum $name {
            $($(#[$variant_doc])* #[serde(rename = $word)] $variant,)+
        }

        impl $name {
            /// Every word, in the order of the contract.
            pub const ALL: &'static [Self] = &[$(Self::$variant),+];

            /// The word on the wire.
            #[must_use]
            pub const fn as_str(self) -> &'static str {
                match self {
                    $(Self::$variant => $word,)+
                }
            }
        }

        impl std::str::FromStr for $name {
            type Err = &'static str;

            fn from_str(text: &str) -> Result<Self, Self::Err> {
                match text {
                    $($word => Ok(Self::$variant),)+
                    _ => Err(concat!("must be one of", $(" ", $word,)+)),
                }
            }
        }

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str(self.as_str())
            }
        }

        impl<'de> serde::Deserialize<'de> for $name {
            fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let text = std::borrow::Cow::<'_, str>::deserialize(deserializer)?;
                text.parse().map_err(serde::de::Error::custom)
            }
        }
    };
}
pub(crate) use wire_enum;

wire_enum! {
    /// What a user prompt asks for.
    PromptType {
        /// Something new.
        Feature = "feature",
        /// Find and mend a fault.
        Debug = "debug",
        /// Explain something.
        Explain = "explain",
        /// Look for something.
        Search = "search",
        /// Change the shape, not the behaviour.
        Refactor = "refactor",
        /// Write or run tests.
        Test = "test",
        /// Judge a change.
        Review = "review",
        /// Anything else.
        Other = "other",
    }
}

wire_enum! {
    /// Where a request stands.
    RequestStatus {
        /// Being worked on.
        Active = "active",
        /// Done.
        Completed = "completed",
        /// Ended with a failure.
        Failed = "failed",
        /// Given up; new work below it does not open it again.
        Cancelled = "cancelled",
    }
}

wire_enum! {
    /// Where a task (wave) stands.
    TaskStatus {
        /// Not begun.
        Pending = "pending",
        /// Being worked on.
        Running = "running",
        /// Done.
        Completed = "completed",
        /// Ended with a failure.
        Failed = "failed",
        /// Waiting for something else.
        Blocked = "blocked",
    }
}

wire_enum! {
    /// Where a subtask stands.
    SubtaskStatus {
        /// Not begun.
        Pending = "pending",
        /// Being worked on.
        Running = "running",
        /// Interrupted on purpose.
        Paused = "paused",
        /// Waiting for something else.
        Blocked = "blocked",
        /// Done.
        Completed = "completed",
        /// Ended with a failure.
        Failed = "failed",
    }
}

wire_enum! {
    /// What kind of tool an action called.
    ToolType {
        /// A tool of the agent itself.
        Builtin = "builtin",
        /// Another agent.
        Agent = "agent",
        /// A skill.
        Skill = "skill",
        /// A slash command.
        Command = "command",
        /// A tool of an MCP server.
        Mcp = "mcp",
    }
}

wire_enum! {
    /// What a message is about; the closed set of the contract (A.10).
    Topic {
        /// Work was created.
        TaskCreated = "task.created",
        /// Work was completed.
        TaskCompleted = "task.completed",
        /// Work failed.
        TaskFailed = "task.failed",
        /// Somebody asks for context.
        ContextRequest = "context.request",
        /// Somebody answers with context.
        ContextResponse = "context.response",
        /// Somebody is blocked.
        AlertBlocking = "alert.blocking",
        /// An agent is alive.
        AgentHeartbeat = "agent.heartbeat",
        /// How far a workflow has come.
        WorkflowProgress = "workflow.progress",
    }
}

impl RequestStatus {
    /// Whether nothing more is expected to happen.
    #[must_use]
    pub const fn is_final(self) -> bool {
        !matches!(self, Self::Active)
    }
}

impl TaskStatus {
    /// Whether nothing more is expected to happen.
    #[must_use]
    pub const fn is_final(self) -> bool {
        matches!(self, Self::Completed | Self::Failed)
    }
}

impl SubtaskStatus {
    /// Whether nothing more is expected to happen.
    #[must_use]
    pub const fn is_final(self) -> bool {
        matches!(self, Self::Completed | Self::Failed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_round_trip_and_strangers_are_told_the_set() {
        for status in SubtaskStatus::ALL {
            assert_eq!(status.as_str().parse(), Ok(*status));
            assert_eq!(serde_json::to_value(status).unwrap(), status.as_str());
        }
        let complaint = "done".parse::<TaskStatus>().unwrap_err();
        assert_eq!(complaint, "must be one of pending running completed failed blocked");
    }
}
