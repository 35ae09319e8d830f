/// Hands every operation of DCM to the macro `callback`: the only list of them there is.
///
/// It is exported for the SDK and the server, which are other crates; nobody else is promised its form.
///
/// One row reads
/// `/// summary` `METHOD "path" name(Input) -> Output = status, "tag", error style, access;`
#[doc(hidden)]
#[macro_export]
macro_rules! for_each_operation {
    ($callback:ident) => {
        $callback! {
            /// Whether the service and its store are well.
            GET "/health" health($crate::api::system::Health) -> $crate::api::system::HealthReport = 200, "system", Plain, Open;
            /// How many rows of each kind there are.
            GET "/stats" stats($crate::api::system::Stats) -> $crate::api::system::StatsReport = 200, "system", Plain, Key;
            /// How many skills, commands, workflows and plugins the user has installed.
            GET "/stats/tools-summary" tools_summary($crate::api::system::ToolsSummary) -> $crate::api::system::ToolsSummaryReport = 200, "system", Plain, Key;
            /// What the cleaning jobs did, and how the mailboxes stand.
            GET "/api/cleanup/stats" cleanup_stats($crate::api::system::CleanupStats) -> $crate::api::system::CleanupReport = 200, "system", Plain, Key;
            /// A token for a WebSocket connection.
            POST "/api/auth/token" auth_token($crate::api::system::AuthToken) -> $crate::api::system::AuthTokenIssued = 200, "system", Plain, Key;

            /// Create a project, or update the one at the same path.
            POST "/api/projects" project_upsert($crate::api::projects::ProjectUpsert) -> $crate::api::projects::ProjectUpserted = 201, "projects", Plain, Key;
            /// Every project, the latest touched first.
            GET "/api/projects" project_list($crate::api::projects::ProjectList) -> $crate::api::projects::ProjectPage = 200, "projects", Query, Key;
            /// The project at a path.
            GET "/api/projects/by-path" project_by_path($crate::api::projects::ProjectByPath) -> $crate::api::projects::ProjectFound = 200, "projects", Query, Key;
            /// One project with its newest requests and its numbers.
            GET "/api/projects/{id}" project_get($crate::api::projects::ProjectGet) -> $crate::api::projects::ProjectDetail = 200, "projects", Query, Key;
            /// Remove a project and everything below it; its sessions stay, without a project.
            DELETE "/api/projects/{id}" project_delete($crate::api::projects::ProjectDelete) -> $crate::api::NoContent = 204, "projects", Query, Key;

            /// Record a user prompt.
            POST "/api/requests" request_create($crate::api::requests::RequestCreate) -> $crate::api::requests::RequestSaved = 201, "requests", NamesField, Key;
            /// Requests, newest first.
            GET "/api/requests" request_list($crate::api::requests::RequestList) -> $crate::api::requests::RequestPage = 200, "requests", Query, Key;
            /// One request with its tasks.
            GET "/api/requests/{id}" request_get($crate::api::requests::RequestGet) -> $crate::api::requests::RequestDetail = 200, "requests", Query, Key;
            /// Change status or metadata of a request.
            PATCH "/api/requests/{id}" request_update($crate::api::requests::RequestUpdate) -> $crate::api::requests::RequestSaved = 200, "requests", NamesField, Key;
            /// Remove a request and everything below it.
            DELETE "/api/requests/{id}" request_delete($crate::api::requests::RequestDelete) -> $crate::api::NoContent = 204, "requests", Query, Key;

            /// Create a task (a wave of subtasks).
            POST "/api/tasks" task_create($crate::api::tasks::TaskCreate) -> $crate::api::tasks::TaskSaved = 201, "tasks", NamesField, Key;
            /// Tasks, by wave within a request, else newest first.
            GET "/api/tasks" task_list($crate::api::tasks::TaskList) -> $crate::api::tasks::TaskPage = 200, "tasks", Query, Key;
            /// One task with its subtasks.
            GET "/api/tasks/{id}" task_get($crate::api::tasks::TaskGet) -> $crate::api::tasks::TaskDetail = 200, "tasks", Query, Key;
            /// Change status or name of a task.
            PATCH "/api/tasks/{id}" task_update($crate::api::tasks::TaskUpdate) -> $crate::api::tasks::TaskSaved = 200, "tasks", NamesField, Key;
            /// Remove a task and everything below it.
            DELETE "/api/tasks/{id}" task_delete($crate::api::tasks::TaskDelete) -> $crate::api::NoContent = 204, "tasks", Query, Key;

            /// Create a subtask for an agent.
            POST "/api/subtasks" subtask_create($crate::api::subtasks::SubtaskCreate) -> $crate::api::subtasks::SubtaskSaved = 201, "subtasks", NamesField, Key;
            /// Subtasks, in order within a task, else newest first.
            GET "/api/subtasks" subtask_list($crate::api::subtasks::SubtaskList) -> $crate::api::subtasks::SubtaskPage = 200, "subtasks", Query, Key;
            /// One subtask with its actions.
            GET "/api/subtasks/{id}" subtask_get($crate::api::subtasks::SubtaskGet) -> $crate::api::subtasks::SubtaskDetail = 200, "subtasks", Query, Key;
            /// Change status, result, agent or blockers of a subtask; every given field is applied.
            PATCH "/api/subtasks/{id}" subtask_update($crate::api::subtasks::SubtaskUpdate) -> $crate::api::subtasks::SubtaskSaved = 200, "subtasks", NamesField, Key;
            /// Remove a subtask and its actions.
            DELETE "/api/subtasks/{id}" subtask_delete($crate::api::subtasks::SubtaskDelete) -> $crate::api::NoContent = 204, "subtasks", Query, Key;

            /// Record a tool call.
            POST "/api/actions" action_record($crate::api::actions::ActionRecord) -> $crate::api::actions::ActionRecorded = 201, "actions", NamesField, Key;
            /// Actions, newest first.
            GET "/api/actions" action_list($crate::api::actions::ActionList) -> $crate::api::actions::ActionPage = 200, "actions", Query, Key;
            /// Actions of the last 24 hours, by hour.
            GET "/api/actions/hourly" action_hourly($crate::api::actions::ActionHourly) -> $crate::api::actions::HourlyReport = 200, "actions", Query, Key;
            /// Remove one action.
            DELETE "/api/actions/{id}" action_delete($crate::api::actions::ActionDelete) -> $crate::api::NoContent = 204, "actions", Query, Key;
            /// Remove every action of a session.
            DELETE "/api/actions/by-session/{session_id}" action_delete_by_session($crate::api::actions::ActionDeleteBySession) -> $crate::api::actions::ActionsDeleted = 200, "actions", Query, Key;

            /// Tools that served these words before.
            GET "/api/routing/suggest" routing_suggest($crate::api::routing::RoutingSuggest) -> $crate::api::routing::Suggestions = 200, "routing", Query, Key;
            /// What the scorer has learned, in numbers.
            GET "/api/routing/stats" routing_stats($crate::api::routing::RoutingStats) -> $crate::api::routing::RoutingReport = 200, "routing", Query, Key;
            /// Tell the scorer whether its suggestion was right.
            POST "/api/routing/feedback" routing_feedback($crate::api::routing::RoutingFeedback) -> $crate::api::routing::FeedbackTaken = 200, "routing", Plain, Key;

            /// The whole tree of a project.
            GET "/api/hierarchy/{project_id}" hierarchy_get($crate::api::hierarchy::HierarchyGet) -> $crate::api::hierarchy::Hierarchy = 200, "hierarchy", Query, Key;
            /// Agents at work right now.
            GET "/api/active-sessions" active_agents($crate::api::hierarchy::ActiveAgents) -> $crate::api::hierarchy::ActiveAgentList = 200, "hierarchy", Query, Key;

            /// Create a session.
            POST "/api/sessions" session_create($crate::api::sessions::SessionCreate) -> $crate::model::Session = 201, "sessions", Plain, Key;
            /// Sessions, newest first.
            GET "/api/sessions" session_list($crate::api::sessions::SessionList) -> $crate::api::sessions::SessionPage = 200, "sessions", Query, Key;
            /// Sessions in numbers.
            GET "/api/sessions/stats" session_stats($crate::api::sessions::SessionStats) -> $crate::api::sessions::SessionReport = 200, "sessions", Query, Key;
            /// One session with its newest requests.
            GET "/api/sessions/{id}" session_get($crate::api::sessions::SessionGet) -> $crate::api::sessions::SessionDetail = 200, "sessions", Query, Key;
            /// Change end time or counters of a session.
            PATCH "/api/sessions/{id}" session_update($crate::api::sessions::SessionUpdate) -> $crate::model::Session = 200, "sessions", Plain, Key;
            /// Remove a session; its requests stay.
            DELETE "/api/sessions/{id}" session_delete($crate::api::sessions::SessionDelete) -> $crate::api::NoContent = 204, "sessions", Query, Key;

            /// Send a message to an agent, or to all.
            POST "/api/messages" message_send($crate::api::messages::MessageSend) -> $crate::api::messages::MessageSent = 201, "messages", Plain, Key;
            /// Every unexpired message, newest first, without marking any as read.
            GET "/api/messages" message_list($crate::api::messages::MessageList) -> $crate::api::messages::MessagePage = 200, "messages", Query, Key;
            /// An agent's messages, the most urgent first; they are marked as read.
            GET "/api/messages/{agent_id}" message_inbox($crate::api::messages::MessageInbox) -> $crate::api::messages::Inbox = 200, "messages", Query, Key;

            /// How far a message has come on its way to its readers.
            GET "/api/receipts/{message_id}" receipts_get($crate::api::messages::ReceiptsGet) -> $crate::api::messages::Receipts = 200, "messages", Query, Key;
            /// Note that an agent has taken note of a message.
            POST "/api/receipts" receipt_acknowledge($crate::api::messages::ReceiptAcknowledge) -> $crate::model::Receipt = 200, "messages", Plain, Key;

            /// Subscribe an agent to a topic.
            POST "/api/subscribe" subscribe($crate::api::subscriptions::Subscribe) -> $crate::api::subscriptions::Subscribed = 201, "subscriptions", Plain, Key;
            /// Subscriptions, newest first.
            GET "/api/subscriptions" subscription_list($crate::api::subscriptions::SubscriptionList) -> $crate::api::subscriptions::SubscriptionPage = 200, "subscriptions", Query, Key;
            /// The subscriptions of one agent, by topic.
            GET "/api/subscriptions/{agent_id}" subscriptions_of_agent($crate::api::subscriptions::SubscriptionsOfAgent) -> $crate::api::subscriptions::AgentSubscriptions = 200, "subscriptions", Query, Key;
            /// Remove a subscription by its id.
            DELETE "/api/subscriptions/{id}" subscription_delete($crate::api::subscriptions::SubscriptionDelete) -> $crate::api::subscriptions::Unsubscribed = 200, "subscriptions", Query, Key;
            /// Remove a subscription by agent and topic.
            POST "/api/unsubscribe" unsubscribe($crate::api::subscriptions::Unsubscribe) -> $crate::api::subscriptions::Unsubscribed = 200, "subscriptions", Plain, Key;

            /// Record that one agent blocks another.
            POST "/api/blocking" block($crate::api::blocking::Block) -> $crate::api::blocking::Blocked = 201, "blocking", Plain, Key;
            /// Whether one agent blocks another.
            GET "/api/blocking/check" blocking_check($crate::api::blocking::BlockingCheck) -> $crate::api::blocking::BlockingChecked = 200, "blocking", Query, Key;
            /// Who blocks an agent, and whom it blocks.
            GET "/api/blocking/{agent_id}" blocking_get($crate::api::blocking::BlockingGet) -> $crate::api::blocking::BlockingState = 200, "blocking", Query, Key;
            /// Remove a blocking by its id.
            DELETE "/api/blocking/{id}" blocking_delete($crate::api::blocking::BlockingDelete) -> $crate::api::blocking::Unblocked = 200, "blocking", Query, Key;
            /// Remove a blocking by the pair of agents.
            POST "/api/unblock" unblock($crate::api::blocking::Unblock) -> $crate::api::blocking::Unblocked = 200, "blocking", Plain, Key;

            /// What happened, in order: the events after a position, on one channel.
            GET "/api/events" event_list($crate::api::events::EventList) -> $crate::api::events::EventPage = 200, "events", Query, Key;

            /// What an agent should know now, as a brief or as data.
            GET "/api/context/{agent_id}" context_get($crate::api::context::ContextGet) -> $crate::api::context::ContextAnswer = 200, "context", Query, Key;
            /// A brief for an agent, on demand.
            POST "/api/context/generate" context_generate($crate::api::context::ContextGenerate) -> $crate::api::context::ContextGenerated = 201, "context", Plain, Key;
            /// A brief for an agent whose context was compacted.
            POST "/api/compact/restore" compact_restore($crate::api::context::CompactRestore) -> $crate::api::context::CompactRestored = 200, "compact", Plain, Key;
            /// Save what is known just before a compaction; the history is kept.
            POST "/api/compact/save" compact_save($crate::api::compact::CompactSave) -> $crate::api::compact::CompactSaved = 201, "compact", Plain, Key;
            /// What was saved last before a compaction of a session, and the history.
            GET "/api/compact/snapshot/{session_id}" compact_snapshot($crate::api::compact::CompactSnapshot) -> $crate::api::compact::SnapshotAnswer = 200, "compact", Query, Key;
            /// Whether a session was compacted.
            GET "/api/compact/status/{session_id}" compact_status($crate::api::context::CompactStatus) -> $crate::api::context::CompactState = 200, "compact", Query, Key;

            /// How each agent stands, and how it left its work, the latest first.
            GET "/api/agent-contexts" agent_context_list($crate::api::agent_contexts::AgentContextList) -> $crate::api::agent_contexts::AgentContextPage = 200, "agent-contexts", Query, Key;
            /// How many contexts of agents there are.
            GET "/api/agent-contexts/stats" agent_context_stats($crate::api::agent_contexts::AgentContextStats) -> $crate::api::agent_contexts::AgentContextReport = 200, "agent-contexts", Query, Key;
            /// Take one event of an agent client's hooks; the answer is what the agent is told.
            POST "/hooks/claude" hook($crate::api::hooks::HookReport) -> $crate::api::hooks::HookAnswer = 200, "hooks", Plain, Key;

            /// Record what was observed of one session: idempotent, in one commit.
            POST "/api/ingest" ingest($crate::api::ingest::Ingest) -> $crate::api::ingest::Ingested = 200, "ingest", NamesField, Key;
        }
    };
}
pub(crate) use for_each_operation;
