//! The client against a real HTTP server whose answers are written down beforehand.

use std::time::Duration;

use dcm::api::blocking::BlockingDelete;
use dcm::api::hierarchy::ActiveAgents;
use dcm::api::projects::{ProjectDelete, ProjectUpsert};
use dcm::api::subscriptions::SubscriptionsOfAgent;
use dcm::api::system::{Health, Stats};
use dcm::api::tasks::TaskUpdate;
use dcm::api::{Execute, NoContent};
use dcm::{ErrorKind, ProjectId};
use dcm_client::{Client, ClientBuilder, is_unreachable};
use serde_json::{Value, json};

use crate::support::{Answer, Server, url_of_nobody};

fn client(server: &Server) -> ClientBuilder {
    Client::builder().url(&server.url).backoff(Duration::from_millis(1), Duration::from_secs(2))
}

fn stats() -> Answer {
    let body = json!({"projectCount": 1, "requestCount": 2, "actionCount": 3, "messageCount": 4,
        "timestamp": "2026-01-01T00:00:00.000Z"});
    Answer::Json(200, body)
}

fn project() -> Value {
    json!({"success": true, "project": {"id": "01890a5d-ac96-774b-bcce-b302099a8057", "path": "/p", "name": "p",
        "metadata": {}, "created_at": "2026-01-01T00:00:00.000Z", "updated_at": "2026-01-01T00:00:00.000Z"}})
}

fn upsert() -> ProjectUpsert {
    serde_json::from_value(json!({"path": "/p"})).unwrap()
}

fn project_id() -> ProjectId {
    "01890a5d-ac96-774b-bcce-b302099a8057".parse().unwrap()
}

#[tokio::test]
async fn operations_go_out_and_answers_come_back() {
    let server = Server::start([stats(), Answer::Json(204, Value::Null)]).await;
    let client = client(&server).api_key("k3y").build().unwrap();
    assert_eq!(client.stats(Stats {}).await.unwrap().action_count, 3);
    let deleted: NoContent = client.execute(ProjectDelete { id: project_id() }).await.unwrap();
    assert_eq!(deleted, NoContent);
    let asked = server.asked();
    assert_eq!((&*asked[0].method, &*asked[0].target), ("GET", "/stats"));
    assert_eq!(asked[0].authorization.as_deref(), Some("Bearer k3y"));
    assert_eq!(asked[1].method, "DELETE");
    assert_eq!(asked[1].target, "/api/projects/01890a5d-ac96-774b-bcce-b302099a8057");
    assert!(asked.iter().all(|asked| asked.key.is_none()));
}

#[tokio::test]
async fn a_post_keeps_its_idempotency_key_until_it_succeeds() {
    let server = Server::start([
        Answer::Json(503, json!({"error": "away"})),
        Answer::HangUp,
        Answer::Json(201, project()),
        Answer::Json(201, project()),
    ])
    .await;
    let client = client(&server).build().unwrap();
    client.project_upsert(upsert()).await.unwrap();
    client.project_upsert(upsert()).await.unwrap();
    let asked = server.asked();
    assert_eq!(asked.len(), 4);
    assert!(asked[0].key.as_ref().is_some_and(|key| key.len() == 36));
    assert!(asked[..3].iter().all(|one| one == &asked[0]), "{asked:?}");
    assert_eq!(asked[0].body, json!({"path": "/p"}));
    // The next call is another one.
    assert_ne!(asked[3].key, asked[0].key);
}

#[tokio::test]
async fn a_removal_whose_answer_was_lost_is_done() {
    let gone = || Answer::Json(404, json!({"error": "Project not found"}));
    let remove = || ProjectDelete { id: project_id() };
    let server = Server::start([Answer::HangUp, gone()]).await;
    client(&server).build().unwrap().project_delete(remove()).await.unwrap();
    assert_eq!(server.asked().len(), 2);

    // Nobody has removed it: there was nothing.
    let server = Server::start([gone()]).await;
    let error = client(&server).build().unwrap().project_delete(remove()).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NotFound);
    // Nor was it removed by an attempt that was turned away at the door.
    let server = Server::start([Answer::Later(429, 0), gone()]).await;
    let error = client(&server).build().unwrap().project_delete(remove()).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NotFound);
    // Where the answer says more than that it is done, only the server knows it.
    let server =
        Server::start([Answer::HangUp, Answer::Json(404, json!({"error": "Blocking not found"}))]).await;
    let id = "01890a5d-ac96-774b-bcce-b302099a8057".parse().unwrap();
    let error = client(&server).build().unwrap().blocking_delete(BlockingDelete { id }).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NotFound);
}

#[tokio::test]
async fn a_patch_is_sent_once() {
    let server = Server::start([Answer::Json(503, json!({"error": "away"}))]).await;
    let update =
        TaskUpdate { id: "01890a5d-ac96-774b-bcce-b302099a8057".parse().unwrap(), status: None, name: None };
    let error = client(&server).build().unwrap().task_update(update).await.unwrap_err();
    assert_eq!((error.kind(), error.message()), (ErrorKind::Unavailable, "away"));
    assert!(!is_unreachable(&error));
    assert_eq!(server.asked().len(), 1);
}

#[tokio::test]
async fn a_patch_that_nobody_heard_is_sent_again() {
    let url = url_of_nobody().await;
    let update =
        TaskUpdate { id: "01890a5d-ac96-774b-bcce-b302099a8057".parse().unwrap(), status: None, name: None };
    let client = Client::builder().url(&url).retries(20).build().unwrap();
    let updating = tokio::spawn(async move { client.task_update(update).await });
    let body = json!({"error": "Task not found"});
    let server = Server::start_at(url.strip_prefix("http://").unwrap(), [Answer::Json(404, body)]).await;
    assert_eq!(updating.await.unwrap().unwrap_err().kind(), ErrorKind::NotFound);
    assert_eq!(server.asked().len(), 1);
}

#[tokio::test]
async fn an_agent_that_no_url_can_name_is_refused_before_anything_is_sent() {
    let server = Server::start([]).await;
    for agent_id in ["", ".", ".."] {
        let asked = SubscriptionsOfAgent { agent_id: agent_id.to_owned() };
        let error = client(&server).build().unwrap().subscriptions_of_agent(asked).await.unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Invalid);
        assert!(error.details().unwrap().contains_key("agent_id"), "{error}");
    }
    assert!(server.asked().is_empty());
}

#[tokio::test]
async fn attempts_are_limited() {
    let server = Server::start((0..3).map(|_| Answer::Json(502, Value::Null))).await;
    let error = client(&server).retries(2).build().unwrap().stats(Stats {}).await.unwrap_err();
    assert_eq!(
        (error.kind(), error.message()),
        (ErrorKind::Unavailable, "the server answered with status 502")
    );
    assert_eq!(server.asked().len(), 3);
}

#[tokio::test]
async fn retry_after_is_read() {
    let server = Server::start([Answer::Later(429, 0), stats()]).await;
    client(&server).build().unwrap().stats(Stats {}).await.unwrap();
    assert_eq!(server.asked().len(), 2);

    // Longer than anybody wants to wait: the caller is told.
    let server = Server::start([Answer::Later(503, 3600)]).await;
    let error = client(&server).build().unwrap().stats(Stats {}).await.unwrap_err();
    assert_eq!((error.kind(), error.retry_after_seconds()), (ErrorKind::Unavailable, Some(3600)));
    assert_eq!(server.asked().len(), 1);
}

#[tokio::test]
async fn errors_come_back_by_kind_and_are_not_repeated() {
    for (status, kind) in [
        (400, ErrorKind::Invalid),
        (401, ErrorKind::Unauthorized),
        (404, ErrorKind::NotFound),
        (409, ErrorKind::Conflict),
        (422, ErrorKind::KeyReused),
        (500, ErrorKind::Internal),
    ] {
        let body = json!({"error": "no", "details": {"path": ["must not be empty"]}});
        let server = Server::start([Answer::Json(status, body)]).await;
        let error = client(&server).build().unwrap().project_upsert(upsert()).await.unwrap_err();
        assert_eq!((error.kind(), error.message()), (kind, "no"));
        assert_eq!(error.details().unwrap()["path"], ["must not be empty"]);
        assert_eq!(server.asked().len(), 1);
    }
    let server = Server::start([Answer::Json(200, json!({"not": "a report"}))]).await;
    let error = client(&server).build().unwrap().stats(Stats {}).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Internal);
}

#[tokio::test]
async fn an_unhealthy_server_still_reports() {
    let report = json!({"status": "unhealthy", "timestamp": "2026-01-01T00:00:00.000Z", "version": "1",
        "database": {"healthy": false, "latencyMs": 0, "error": "away"}, "features": {}});
    let server = Server::start([Answer::Json(503, report)]).await;
    let health = client(&server).build().unwrap().health(Health {}).await.unwrap();
    assert_eq!(health.status, "unhealthy");
    assert_eq!(server.asked().len(), 1);
}

#[tokio::test]
async fn a_server_that_is_not_there() {
    let url = url_of_nobody().await;
    let client = Client::builder().url(&url).backoff(Duration::from_millis(1), Duration::from_millis(2));
    let error = client.build().unwrap().active_agents(ActiveAgents {}).await.unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unavailable);
    assert!(is_unreachable(&error));
    assert!(error.message().contains(&url) && error.message().contains("refused"), "{error}");
}

#[tokio::test]
async fn a_server_that_does_not_answer_in_time() {
    let server = Server::start([Answer::Silence, Answer::Silence]).await;
    let client = client(&server).timeout(Duration::from_millis(50)).retries(1).build().unwrap();
    let error = client.stats(Stats {}).await.unwrap_err();
    assert!(is_unreachable(&error) && error.message().ends_with("in time"), "{error}");
    assert_eq!(server.asked().len(), 2);
}
