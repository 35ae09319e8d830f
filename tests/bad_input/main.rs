//! Whatever is sent, the answer says what is wrong with it, and nothing was changed: over HTTP, on both stores.
//!
//! What is wrong is derived from the OpenAPI document, so every operation and field is held to it, and new ones are
//! without anybody thinking of them.

mod document;
mod transport;
mod verdict;
mod world;
mod wrong;

use std::fmt::Write as _;

use dcm_suite::on_both_stores;
use dcm_suite::server::{Options, Store};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::{Value, json};

use document::Described;
use verdict::Verdict;
use world::{Answer, NOBODY, World};

on_both_stores!(bodies, members, parameters, unknown_parents, tolerated, error_bodies);

fn writes() -> Vec<Described> {
    let writes = |one: &Described| matches!(one.method.as_str(), "POST" | "PATCH");
    document::operations().into_iter().filter(writes).collect()
}

/// `{…}` with one member written as given.
fn with_member(right: &Value, name: &str, text: &str) -> String {
    let mut others = right.clone();
    others.as_object_mut().expect("an object").remove(name);
    let others = others.to_string();
    let comma = if others == "{}" { "" } else { "," };
    format!("{{{}:{text}{comma}{}", json!(name), &others[1..])
}

/// Bodies that are no JSON objects.
async fn bodies(store: Store) {
    let world = World::on(store).await;
    let before = world.everything().await;
    let mut verdict = Verdict::default();
    for operation in writes() {
        let path = world.path(&operation.id, &operation.path);
        let right = world.right(&operation.id).to_string();
        let half = &right[..right.len() - 1];
        let twice = format!("{right}{right}");
        let texts = ["", " ", "{", "nul", "{\"a\":}", "{'a':1}", "[1", "\u{feff}{}", half, &twice];
        for text in texts {
            let answer = world.send(&operation.method, &path, text.to_owned()).await;
            verdict.refused(&format!("{} {text:?}", operation.id), &answer, 400, None);
        }
        for text in ["[]", "[{}]", "\"text\"", "7", "1.5", "true", "null"] {
            let answer = world.send(&operation.method, &path, text).await;
            verdict.refused(&format!("{} {text}", operation.id), &answer, 400, None);
        }
        for bytes in [b"\xff\xfe{\0}\0".as_slice(), b"{\"a\":\"\xc3\x28\"}", b"\x1f\x8b\x08\x00"] {
            let answer = world.send(&operation.method, &path, bytes).await;
            verdict.refused(&format!("{} {bytes:?}", operation.id), &answer, 400, None);
        }
        let deep = format!("{}{}", "[".repeat(100_000), "]".repeat(100_000));
        let answer = world.send(&operation.method, &path, deep).await;
        verdict.refused(&format!("{} deep lists", operation.id), &answer, 400, None);
    }
    verdict.end(400);
    assert_eq!(world.everything().await, before, "a refused body changed something");
    world.assert_healthy().await;
}

/// Each field of each body with values that it does not take, and without it where it is needed.
async fn members(store: Store) {
    let world = World::on(store).await;
    let before = world.everything().await;
    let mut verdict = Verdict::default();
    for operation in writes() {
        let path = world.path(&operation.id, &operation.path);
        let right = world.right(&operation.id);
        for field in &operation.body {
            let mut wrong = wrong::in_body(field);
            if operation.id == "ingest" && field.name == "observations" {
                wrong.extend(wrong::observations());
            }
            for (what, text) in wrong {
                let answer =
                    world.send(&operation.method, &path, with_member(&right, &field.name, &text)).await;
                let what = format!("{} {}: {what}", operation.id, field.name);
                verdict.refused(&what, &answer, 400, Some(&field.name));
            }
            if field.required {
                let mut without = right.clone();
                without.as_object_mut().expect("an object").remove(&field.name);
                let answer = world.send(&operation.method, &path, without.to_string()).await;
                let what = format!("{} without {}", operation.id, field.name);
                verdict.refused(&what, &answer, 400, Some(&field.name));
            }
        }
        // Every complaint at once, not one after the other.
        let needed: Vec<_> = operation.body.iter().filter(|field| field.required).collect();
        let answer = world.send(&operation.method, &path, "{}").await;
        for field in &needed {
            verdict.refused(&format!("{} {{}}", operation.id), &answer, 400, Some(&field.name));
        }
        if needed.is_empty() {
            verdict.refused(&format!("{} {{}}", operation.id), &answer, 400, None);
        }
    }
    verdict.end(900);
    assert_eq!(world.everything().await, before, "a refused call changed something");
    world.assert_healthy().await;
}

fn encoded(text: &str) -> String {
    utf8_percent_encode(text, NON_ALPHANUMERIC).to_string()
}

/// A path with right values for its parameters, except for `wrong`.
fn path_with(operation: &Described, wrong: Option<(&str, &str)>) -> String {
    let mut path = operation.path.clone();
    for field in operation.parameters.iter().filter(|field| field.in_path) {
        let right = if field.keyword("format").is_some_and(|format| format == "uuid") { NOBODY } else { "x" };
        let value = wrong.filter(|(name, _)| *name == field.name).map_or(right, |(_, value)| value);
        path = path.replace(&format!("{{{}}}", field.name), &encoded(value));
    }
    path
}

/// Each parameter of each path and query with values that it does not take.
async fn parameters(store: Store) {
    let world = World::on(store).await;
    let before = world.everything().await;
    let mut verdict = Verdict::default();
    for operation in document::operations() {
        let queries: Vec<_> = operation.parameters.iter().filter(|field| !field.in_path).collect();
        let needed = |except: &str| {
            let needed = queries.iter().filter(|field| field.required && field.name != except);
            needed.fold(String::new(), |query, field| query + "&" + &field.name + "=x")
        };
        let body =
            if operation.method == "PATCH" { world.right(&operation.id) } else { json!({}) }.to_string();
        for field in &operation.parameters {
            for value in wrong::in_url(field) {
                let target = if field.in_path {
                    path_with(&operation, Some((&field.name, &value)))
                } else {
                    let query = format!("?{}={}", field.name, encoded(&value));
                    format!("{}{query}{}", path_with(&operation, None), needed(&field.name))
                };
                let answer = world.send(&operation.method, &target, body.clone()).await;
                let what = format!("{} {target}", operation.method);
                verdict.refused(&what, &answer, 400, Some(&field.name));
            }
            // Bytes that are no UTF-8: a parameter of the path is named, a query is refused as a whole.
            let (target, named) = if field.in_path {
                let path = path_with(&operation, Some((&field.name, "BAD")));
                (path.replace("BAD", "a%ffb"), Some(field.name.as_str()))
            } else {
                (
                    format!("{}?{}=a%c3%28{}", path_with(&operation, None), field.name, needed(&field.name)),
                    None,
                )
            };
            let answer = world.send(&operation.method, &target, body.clone()).await;
            verdict.refused(&format!("{} {target}", operation.method), &answer, 400, named);
            if field.required && !field.in_path {
                for missing in ["", &format!("&{}=", field.name)] {
                    let target = format!("{}?{}{missing}", path_with(&operation, None), needed(&field.name));
                    let answer = world.send(&operation.method, &target, "").await;
                    verdict.refused(
                        &format!("{} {target}", operation.method),
                        &answer,
                        400,
                        Some(&field.name),
                    );
                }
            }
        }
    }
    verdict.end(300);
    assert_eq!(world.everything().await, before, "a refused call changed something");
    world.assert_healthy().await;
}

/// Rows that are not there: what is written below them, and what is asked of them.
async fn unknown_parents(store: Store) {
    let world = World::on(store).await;
    let before = world.everything().await;
    let mut verdict = Verdict::default();
    for (id, field, value) in [
        ("request_create", "project_id", json!(NOBODY)),
        ("task_create", "request_id", json!(NOBODY)),
        ("subtask_create", "task_id", json!(NOBODY)),
        ("action_record", "subtask_id", json!(NOBODY)),
        ("message_send", "project_id", json!(NOBODY)),
        ("unsubscribe", "agent_id", json!("nobody")),
        ("unblock", "blocked_by", json!("nobody")),
    ] {
        let meta = dcm::api::OPERATIONS.iter().find(|meta| meta.id == id).expect("an operation");
        let body = with_member(&world.right(id), field, &value.to_string());
        let answer = world.send(meta.method.as_str(), &world.path(id, meta.path), body).await;
        verdict.refused(&format!("{id} {field}"), &answer, 404, None);
    }
    // What a subtask waits for is no parent: then the field is at fault.
    for (method, id, template) in
        [("POST", "subtask_create", "/api/subtasks"), ("PATCH", "subtask_update", "/api/subtasks/{id}")]
    {
        let body = with_member(&world.right(id), "blocked_by", &json!([NOBODY]).to_string());
        let answer = world.send(method, &world.path(id, template), body).await;
        verdict.refused(&format!("{id} blocked_by"), &answer, 400, Some("blocked_by"));
    }
    let mut session = world.right_again("session_create", "s-2");
    session["project_id"] = NOBODY.into();
    let answer = world.send("POST", "/api/sessions", session.to_string()).await;
    verdict.refused("session_create project_id", &answer, 404, None);
    let again = world.send("POST", "/api/sessions", world.right("session_create").to_string()).await;
    verdict.refused("session_create again", &again, 409, None);

    for operation in document::operations() {
        // Names may be those of somebody of whom nothing was heard yet; ids are of rows.
        let by_id = operation.parameters.iter().any(|field| field.in_path)
            && (operation.path.contains("/{id}") || operation.path.contains("/{project_id}"));
        if by_id {
            let target = path_with(&operation, None);
            let body = if operation.method == "PATCH" { world.right(&operation.id) } else { json!({}) };
            let answer = world.send(&operation.method, &target, body.to_string()).await;
            verdict.refused(&format!("{} {target}", operation.method), &answer, 404, None);
        }
    }
    let answer = world.send("GET", "/api/projects/by-path?path=/no/such/project", "").await;
    verdict.refused("by-path", &answer, 404, None);
    verdict.end(25);
    assert_eq!(world.everything().await, before, "a refused call changed something");
    world.assert_healthy().await;
}

/// What may look wrong and is taken: absent as null, members that nobody knows, whole numbers with a point.
async fn tolerated(store: Store) {
    let world = World::on(store).await;
    let mut verdict = Verdict::default();
    let status =
        |id: &str| dcm::api::OPERATIONS.iter().find(|meta| meta.id == id).map_or(0, |meta| meta.success);
    for operation in writes() {
        let id = operation.id.as_str();
        let path = world.path(id, &operation.path);
        // What is removed has to be there again.
        let restore = match id {
            "unsubscribe" => Some(("/api/subscribe", world.right("subscribe"))),
            "unblock" => Some(("/api/blocking", world.right("block"))),
            _ => None,
        };
        let mut calls = Vec::new();
        let mut nulls = world.right_again(id, "s-null");
        let is_patch = operation.method == "PATCH";
        // A PATCH needs one field, so its first one stays.
        for field in operation.body.iter().filter(|field| !field.required).skip(usize::from(is_patch)) {
            nulls[&field.name] = Value::Null;
        }
        calls.push(("null", nulls.to_string()));
        let strangers = r#"{"no_such_field":[{"a":"\u0000\ud800"}],"__proto__":{},"type":7,"#;
        let right = world.right_again(id, "s-strangers").to_string();
        calls.push(("unknown members", format!("{strangers}{}", &right[1..])));
        let deep = format!("{{\"deep\":{}{},", "[".repeat(200), "]".repeat(200));
        calls.push((
            "an unknown deep member",
            format!("{deep}{}", &world.right_again(id, "s-deep").to_string()[1..]),
        ));
        for field in operation.body.iter().filter(|field| field.takes("integer") && field.name != "exit_code")
        {
            let least = field.keyword("minimum").and_then(Value::as_i64).unwrap_or(0);
            let mut right = world.right_again(id, &format!("s-{}", field.name));
            right.as_object_mut().expect("an object").remove(&field.name);
            calls.push((
                "a whole number with a point",
                with_member(&right, &field.name, &format!("{least}.0")),
            ));
        }
        for (what, body) in calls {
            if let Some((path, body)) = &restore {
                world.send("POST", path, body.to_string()).await;
            }
            let answer = world.send(&operation.method, &path, body).await;
            verdict.taken(&format!("{id} {what}"), &answer, status(id));
        }
    }
    for path in [
        "/api/projects?limit=4294967295",
        "/api/tasks?limit=&offset=",
        "/api/tasks?limit=1001&offset=4294967295",
        "/api/tasks?nobody_knows=1",
        "/api/tasks?status=no-such-status",
        "/api/blocking/a%2Fb%20c%3F",
        "/api/context/%F0%9F%98%80?format=raw",
    ] {
        verdict.taken(path, &world.send("GET", path, "").await, 200);
    }
    // Beyond 32 bits nothing is counted.
    for (path, field) in [
        ("/api/tasks?limit=4294967296", "limit"),
        ("/api/tasks?offset=4294967296", "offset"),
        ("/api/actions?offset=99999999999999999999999", "offset"),
        ("/api/sessions?limit=99999999999999999999999", "limit"),
    ] {
        verdict.refused(path, &world.send("GET", path, "").await, 400, Some(field));
    }
    // 255 characters are 255 characters, however many bytes they have.
    let long = json!({"agent_id": "é".repeat(255), "topic": "task.created"});
    verdict.taken("255 characters", &world.send("POST", "/api/subscribe", long.to_string()).await, 201);
    verdict.end(60);
    world.assert_healthy().await;
}

/// The words of a representative set of refusals: a change of them is seen in review.
async fn error_bodies(store: Store) {
    let world = World::on(store).await;
    let mut text = String::new();
    let long = "x".repeat(300);
    let deep = format!(r#"{{"path":"/p","metadata":{{"a":{}{}}}}}"#, "[".repeat(200), "]".repeat(200));
    let short = format!(r#"{{"agent_id":"{long}","topic":"task.created"}}"#);
    for (method, path, body) in [
        ("POST", "/api/tasks", "{"),
        ("POST", "/api/tasks", ""),
        ("POST", "/api/tasks", "[]"),
        ("POST", "/api/tasks", "{}"),
        ("POST", "/api/tasks", r#"{"request_id":"x","status":"done","wave_number":1.5,"name":7}"#),
        ("POST", "/api/tasks", r#"{"request_id":"01890a5d-ac96-774b-bcce-b302099a8057"}"#),
        ("POST", "/api/projects", r#"{"path":"a\u0000b","metadata":[]}"#),
        ("POST", "/api/projects", r#"{"path":"\ud800"}"#),
        ("POST", "/api/projects", r#"{"path":"/p","metadata":{"a\u0000":1}}"#),
        ("POST", "/api/projects", &deep),
        (
            "POST",
            "/api/actions",
            r#"{"tool_name":"","tool_type":"magic","exit_code":2147483648,"duration_ms":-1}"#,
        ),
        (
            "POST",
            "/api/messages",
            r#"{"from_agent":"a","topic":"x","content":7,"priority":11,"ttl_seconds":0}"#,
        ),
        ("POST", "/api/messages", "{}"),
        ("POST", "/api/subscribe", &short),
        ("POST", "/api/subscribe", r#"{"agent_id":"a","topic":"task.created","callback_url":"nowhere"}"#),
        ("POST", "/api/sessions", r#"{"id":"s-9","started_at":"yesterday"}"#),
        ("POST", "/api/sessions", r#"{"id":"s-1"}"#),
        ("POST", "/api/context/generate", "{}"),
        ("POST", "/api/routing/feedback", "{}"),
        ("POST", "/api/auth/token", "{}"),
        ("POST", "/api/unblock", r#"{"blocked_by":"x","blocked_agent":"y"}"#),
        ("POST", "/api/ingest", r#"{"session_id":"s","observations":[{"type":"slept"}]}"#),
        ("PATCH", "/api/tasks/01890a5d-ac96-774b-bcce-b302099a8057", "{}"),
        ("PATCH", "/api/tasks/01890a5d-ac96-774b-bcce-b302099a8057", r#"{"status":"running"}"#),
        ("GET", "/api/tasks?limit=-1&offset=x", ""),
        ("GET", "/api/tasks/not-a-uuid", ""),
        ("GET", "/api/tasks/01890a5d-ac96-774b-bcce-b302099a8057", ""),
        ("GET", "/api/context/a?format=xml&max_tokens=99&include_history=maybe", ""),
        ("GET", "/api/messages/a?since=yesterday&limit=0", ""),
        ("GET", "/api/blocking/check", ""),
        ("GET", "/api/routing/suggest", ""),
        ("GET", "/api/projects/by-path", ""),
        ("GET", "/api/blocking/%ff", ""),
        ("GET", "/api/tasks?status=%ff", ""),
        ("GET", "/nope", ""),
        ("GET", "/api/tasks/", ""),
        ("PUT", "/api/tasks", ""),
        ("DELETE", "/health", ""),
    ] {
        let answer = world.send(method, path, body.to_owned()).await;
        let shown: String = body.chars().take(100).collect();
        let _ = writeln!(text, "{method} {path} {shown}\n  {} {}", answer.status.as_u16(), answer.body);
    }
    // Both stores say the same.
    insta::with_settings!({snapshot_path => "../snapshots", prepend_module_to_snapshot => false}, {
        insta::assert_snapshot!("error_bodies", text);
    });
}

/// The answers of a server that asks for keys, without and with one.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn keys() {
    let world = Options::on(Store::Embedded).variable("DCM_API_KEYS", "first-key,second-key").start().await;
    let ask = |method: &str, path: &str, key: Option<&str>| {
        let method = method.parse::<reqwest::Method>().expect("a method");
        let mut request = world.http().request(method, format!("{}{path}", world.api())).body("{}");
        if let Some(key) = key {
            request = request.header("authorization", key);
        }
        Answer::of(request)
    };
    let mut verdict = Verdict::default();
    let wrong =
        [None, Some(""), Some("Bearer"), Some("Bearer "), Some("Bearer third-key"), Some("first-key")];
    let more = [Some("Basic Zmlyc3Qta2V5"), Some("Bearer first-key,second-key"), Some("Bearer first-ke")];
    for operation in document::operations().iter().filter(|one| one.id != "health") {
        for key in wrong.iter().chain(&more) {
            let answer = ask(&operation.method, &path_with(operation, None), *key).await;
            verdict.refused(&format!("{} {key:?}", operation.id), &answer, 401, None);
            assert!(answer.headers.contains_key("www-authenticate"), "{answer:?}");
            assert!(!answer.body.contains("-key"), "{answer:?}");
        }
    }
    // What does not exist is not told from what does.
    verdict.refused("unknown", &ask("GET", "/nope", None).await, 401, None);
    verdict.refused("unknown", &ask("PUT", "/api/tasks", None).await, 401, None);
    for key in ["Bearer first-key", "bearer second-key"] {
        verdict.taken(key, &ask("GET", "/stats", Some(key)).await, 200);
    }
    verdict.taken("health", &ask("GET", "/health", None).await, 200);
    verdict.end(500);
}
