//! What DCM remembers, as plain data with public fields.
//!
//! The tree is [`Project`] > [`Request`] (one user prompt) > [`Task`] (one wave) > [`Subtask`] (one agent's piece of
//! work) > [`Action`] (one tool call). Beside it stand [`Session`]s, [`Message`]s, [`Subscription`]s and
//! [`Blocking`]s.

mod action;
mod agent_context;
mod hook_state;
mod message;
mod project;
mod receipt;
mod request;
mod session;
mod status;
mod subtask;
mod task;

pub use action::{Action, KeywordScore};
pub use agent_context::AgentContext;
pub use hook_state::{BriefState, Carried, Compacting, HookState, Injected, Launch};
pub use message::{Blocking, Message, Subscription};
pub use project::{Project, ProjectStats};
pub use receipt::{Receipt, ReceiptState};
pub use request::{Compaction, Request};
pub use session::Session;
pub(crate) use status::wire_enum;
pub use status::{PromptType, RequestStatus, SubtaskStatus, TaskStatus, ToolType, Topic};
pub use subtask::Subtask;
pub use task::Task;
