//! A server with a little in it, and one right call of every operation that writes.

use dcm_suite::server::{Options, Server, Store};
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};

/// An id that nothing has.
pub(crate) const NOBODY: &str = "01890a5d-ac96-774b-bcce-b302099a8057";

/// A server and what was put into it.
#[derive(Debug)]
pub(crate) struct World {
    pub(crate) server: Server,
    project: String,
    request: String,
    task: String,
    subtask: String,
    pub(crate) message: String,
}

/// An answer.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: StatusCode,
    pub(crate) headers: reqwest::header::HeaderMap,
    pub(crate) body: String,
}

impl Answer {
    pub(crate) async fn of(request: reqwest::RequestBuilder) -> Self {
        let response = request.send().await.expect("the server answers");
        let (status, headers) = (response.status(), response.headers().clone());
        Self { status, headers, body: response.text().await.expect("the answer is a text") }
    }

    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_else(|error| panic!("{error}: {:?}", self.body))
    }
}

impl World {
    pub(crate) async fn on(store: Store) -> Self {
        Self::with(Options::on(store)).await
    }

    pub(crate) async fn with(options: Options) -> Self {
        let server = options.start().await;
        let [project, request, task, subtask, message] = Default::default();
        let mut world = Self { server, project, request, task, subtask, message };
        let made = world.made("project_upsert").await;
        world.project = made;
        world.request = world.made("request_create").await;
        world.task = world.made("task_create").await;
        world.subtask = world.made("subtask_create").await;
        world.made("session_create").await;
        for id in ["subscribe", "block", "action_record"] {
            world.made(id).await;
        }
        world.message = world.made("message_send").await;
        world
    }

    /// Carries out the right call; answers the id of what it made.
    async fn made(&self, id: &str) -> String {
        let meta = dcm::api::OPERATIONS.iter().find(|meta| meta.id == id).expect("an operation");
        let answer =
            self.send(meta.method.as_str(), &self.path(id, meta.path), self.right(id).to_string()).await;
        assert_eq!(answer.status, meta.success, "{id}: {answer:?}");
        let body = answer.json();
        let objects = body.as_object().expect("an object").values();
        let id = objects.filter_map(|member| member.get("id")).chain(body.get("id")).next();
        id.and_then(Value::as_str).unwrap_or_else(|| panic!("no id in {body}")).to_owned()
    }

    /// A path with its parameters.
    pub(crate) fn path(&self, id: &str, template: &str) -> String {
        let own = match id {
            "request_update" => &self.request,
            "task_update" => &self.task,
            "subtask_update" => &self.subtask,
            "session_update" => "s-1",
            _ => return template.to_owned(),
        };
        template.replace("{id}", own)
    }

    /// A body that the operation takes, with a value for every field.
    pub(crate) fn right(&self, id: &str) -> Value {
        let (project, request, task, subtask) = (&self.project, &self.request, &self.task, &self.subtask);
        match id {
            "auth_token" => json!({"agent_id": "a", "session_id": "s-1"}),
            "project_upsert" => json!({"path": "/bad/input", "name": "n", "metadata": {"a": [1.5, null]}}),
            "request_create" => json!({"project_id": project, "session_id": "s-1", "prompt": "p",
                "prompt_type": "feature", "status": "active", "metadata": {}}),
            "request_update" => json!({"status": "active", "metadata": {"b": 1}}),
            "task_create" => {
                json!({"request_id": request, "name": "n", "wave_number": 3, "status": "running"})
            }
            "task_update" => json!({"status": "running", "name": "n"}),
            "subtask_create" => {
                json!({"task_id": task, "description": "d", "agent_type": "t", "agent_id": "a",
                "status": "running", "blocked_by": [], "context_snapshot": {}})
            }
            "subtask_update" => json!({"status": "running", "result": {}, "agent_id": "a", "blocked_by": []}),
            "action_record" => {
                json!({"tool_name": "Bash", "tool_type": "builtin", "input": "list the folder",
                "output": "o", "exit_code": -1, "duration_ms": 1, "file_paths": ["/a"], "subtask_id": subtask,
                "session_id": "s-1", "project_path": "/bad/input"})
            }
            "routing_feedback" => json!({"tool_name": "Bash", "keywords": ["folder"], "chosen": true}),
            "session_create" => {
                json!({"id": "s-1", "project_id": project, "started_at": "2026-02-07T10:00:00.000Z",
                "ended_at": "2026-02-07T11:00:00Z", "total_tools_used": 2, "total_success": 1, "total_errors": 1})
            }
            "session_update" => json!({"ended_at": "2026-02-07T11:00:00+01:00", "total_tools_used": 2,
                "total_success": 1, "total_errors": 1}),
            "message_send" => {
                json!({"from_agent": "a", "to_agent": "b", "topic": "context.request", "content": {"x": 1},
                "priority": 10, "ttl_seconds": 86_400, "project_id": project})
            }
            "subscribe" => {
                json!({"agent_id": "a", "topic": "task.created", "callback_url": "http://localhost/x"})
            }
            "unsubscribe" => json!({"agent_id": "a", "topic": "task.created"}),
            "block" => json!({"blocked_by": "a", "blocked_agent": "b", "reason": "r"}),
            "unblock" => json!({"blocked_by": "a", "blocked_agent": "b"}),
            "context_generate" => json!({"agent_id": "a", "session_id": "s-1", "agent_type": "developer",
                "max_tokens": 100, "include_history": true, "include_messages": false, "include_blocking": true,
                "history_limit": 50, "project_id": project}),
            "compact_restore" => json!({"session_id": "s-1", "agent_id": "a", "agent_type": "developer",
                "compact_summary": "s", "max_tokens": 8000}),
            "compact_save" => {
                json!({"session_id": "s-1", "agent_id": "a", "trigger": "manual", "context_summary": "s",
                "active_tasks": [{"name": "n"}], "modified_files": ["/a"], "key_decisions": [{"d": 1}],
                "agent_states": [{"agent": "a"}], "wave_state": {"wave": 1}})
            }
            "hook" => json!({"session_id": "s-1", "hook_event_name": "SessionStart", "cwd": "/bad/input",
                "source": "startup"}),
            "receipt_acknowledge" => json!({"message_id": self.message, "agent_id": "b"}),
            "ingest" => json!({"session_id": "s-1", "project_path": "/bad/input", "source": "test",
                "observations": [{"type": "session_started", "at": "2026-02-07T10:00:00.000Z"}]}),
            other => panic!("please say here what a right call of {other} is"),
        }
    }

    /// The same for a second call: what may be there once only has another name.
    pub(crate) fn right_again(&self, id: &str, name: &str) -> Value {
        let mut body = self.right(id);
        if id == "session_create" {
            body["id"] = name.into();
        }
        body
    }

    /// Sends a body, if there is one.
    pub(crate) async fn send(&self, method: &str, path: &str, body: impl Into<reqwest::Body>) -> Answer {
        let method = Method::from_bytes(method.as_bytes()).expect("a method");
        let has_body = matches!(method, Method::POST | Method::PATCH);
        let mut request = self.server.http().request(method, format!("{}{path}", self.server.api()));
        if has_body {
            request = request.header("content-type", "application/json").body(body);
        }
        Answer::of(request).await
    }

    /// Everything that can be read, without the times of the answers themselves.
    pub(crate) async fn everything(&self) -> Vec<(String, Value)> {
        let hierarchy = format!("/api/hierarchy/{}", self.project);
        let subtask = format!("/api/subtasks/{}", self.subtask);
        let paths = [
            "/stats",
            "/api/cleanup/stats",
            "/api/projects",
            "/api/requests?limit=1000",
            "/api/tasks?limit=1000",
            "/api/subtasks?limit=1000",
            "/api/actions?limit=1000",
            "/api/sessions?limit=1000",
            "/api/messages?limit=1000",
            "/api/subscriptions",
            "/api/blocking/a",
            "/api/routing/stats",
            "/api/routing/suggest?keywords=folder,list&min_score=0",
            "/api/compact/status/s-1",
            &hierarchy,
            &subtask,
        ];
        let mut all = Vec::new();
        for path in paths {
            let answer = self.send("GET", path, "").await;
            assert_eq!(answer.status, StatusCode::OK, "{path}: {answer:?}");
            let mut body = answer.json();
            let members = body.as_object_mut().expect("an object");
            members.remove("timestamp");
            // When the cleaning jobs ran last is not what was stored.
            members.remove("last_cleanup");
            all.push((path.to_owned(), body));
        }
        all
    }

    pub(crate) async fn assert_healthy(&self) {
        let answer = self.send("GET", "/health", "").await;
        assert_eq!((answer.status, answer.json()["status"].as_str()), (StatusCode::OK, Some("healthy")));
    }
}
