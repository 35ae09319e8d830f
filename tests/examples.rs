//! Every example runs, and says what its readers are told it says.

#![expect(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

macro_rules! examples {
    ($($name:ident $path:literal,)+) => {$(
        #[path = $path]
        #[expect(dead_code, reason = "the examples' own `main` only prints what is looked at here")]
        mod $name;
    )+};
}

examples! {
    brief "../examples/brief.rs",
    custom_store "../examples/custom_store.rs",
    handover "../examples/handover.rs",
    quickstart "../examples/quickstart.rs",
    remote "../examples/remote.rs",
    serve "../examples/serve.rs",
    subscriber "../examples/subscriber.rs",
    supervisor "../examples/supervisor.rs",
}

use std::future::Future;

use dcm::api::Operation;
use dcm::api::messages::MessageSend;
use dcm::api::projects::ProjectList;
use dcm::api::subtasks::SubtaskUpdate;
use dcm::api::wire::from_request;
use dcm::model::SubtaskStatus;
use dcm_client::Client;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::sync::oneshot;

/// Runs `test` against the server of the example `serve`.
async fn served<T, F: Future<Output = T>>(test: impl FnOnce(String) -> F) -> T {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let (stop, stopped) = oneshot::channel::<()>();
    let serving = tokio::spawn(serve::run(listener, async move { drop(stopped.await) }));
    let outcome = test(url).await;
    drop(stop);
    serving.await.unwrap().unwrap();
    outcome
}

#[tokio::test]
async fn a_server_inside_a_program_serves_what_the_program_wrote() {
    served(|url| async move {
        let list = ProjectList { limit: None, offset: None };
        let page = Client::new(url).unwrap().project_list(list).await.unwrap();
        assert_eq!((page.total, page.projects[0].path.as_str()), (1, "/srv/shop"));
    })
    .await;
}

#[tokio::test]
async fn a_client_records_lists_and_hears() {
    let text = served(|url| async move { remote::run(&url).await.unwrap() }).await;
    let said = "/path/to/project is My Project\nwave 0 is pending\nwave 1 is pending\ntask done: wave 0\n\
                task done: wave 1\n";
    assert_eq!(text, said);
}

#[tokio::test]
async fn two_agents_hand_over_their_work() {
    let text = served(|url| async move { handover::run(&url).await.unwrap() }).await;
    let columns = r#"{"columns":["id","name"],"table":"products"}"#;
    assert_eq!(text, format!("front got {columns}\n"));
}

#[tokio::test]
async fn a_subscriber_goes_on_where_it_was() {
    served(|url| async move {
        let client = Client::new(&url).unwrap();
        let send = async |number: u32| {
            let send =
                json!({"from_agent": "a", "topic": "workflow.progress", "content": {"number": number}});
            client.message_send(serde_json::from_value::<MessageSend>(send).unwrap()).await.unwrap();
        };
        let run = async |count| {
            let mut output = Vec::new();
            subscriber::run(&url, "watcher", count, &mut output).await.unwrap();
            String::from_utf8(output).unwrap()
        };
        // A new agent begins where the log ends then: it comes, sees nothing and goes.
        assert_eq!(run(0).await, "");
        send(1).await;
        send(2).await;
        let text = run(1).await;
        assert_eq!((text.matches("message.new").count(), text.contains("again")), (1, false), "{text}");
        send(3).await;
        let text = run(2).await;
        assert_eq!(text.matches("message.new").count(), 2, "{text}");
    })
    .await;
}

/// Keeps what is written, and tells when that begins.
struct Output {
    text: Vec<u8>,
    first: Option<oneshot::Sender<()>>,
}

impl std::io::Write for Output {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        if let Some(first) = self.first.take() {
            first.send(()).unwrap();
        }
        self.text.write(bytes)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

#[tokio::test]
async fn a_supervisor_watches_waves() {
    let text = served(|url| async move {
        let (first, written) = oneshot::channel();
        let mut output = Output { text: Vec::new(), first: Some(first) };
        let work = async {
            written.await.unwrap();
            two_waves(&Client::new(&url).unwrap()).await;
        };
        tokio::join!(async { supervisor::run(&url, 2, &mut output).await.unwrap() }, work);
        String::from_utf8(output.text).unwrap()
    })
    .await;
    assert!(text.contains("watching"), "{text}");
    for line in [
        "wave 0 begins",
        "wave 0 completed: 2 of 2 subtasks done, 0 failed",
        "wave 1 begins",
        "wave 1 failed: 1 of 2 subtasks done, 1 failed",
    ] {
        assert!(text.lines().any(|written| written == line), "{line}: {text}");
    }
}

fn read<O: Operation>(fields: &Value) -> O {
    from_request(Vec::new(), Vec::new(), fields.to_string().as_bytes()).unwrap()
}

/// A wave of which all comes to a good end, and one of which half fails.
async fn two_waves(client: &Client) {
    let project = client.project_upsert(read(&json!({"path": "/srv/waves"}))).await.unwrap().project;
    let prompt = json!({"project_id": project.id, "session_id": "s-1", "prompt": "Two waves"});
    let request = client.request_create(read(&prompt)).await.unwrap().request;
    for statuses in [
        [SubtaskStatus::Completed, SubtaskStatus::Completed],
        [SubtaskStatus::Completed, SubtaskStatus::Failed],
    ] {
        let task = read(&json!({"request_id": request.id}));
        let task = client.task_create(task).await.unwrap().task;
        let mut subtasks = Vec::new();
        for _ in statuses {
            let fields = json!({"task_id": task.id, "agent_type": "front", "description": "A part"});
            subtasks.push(client.subtask_create(read(&fields)).await.unwrap().subtask);
        }
        for (subtask, status) in subtasks.into_iter().zip(statuses) {
            let status = json!({"status": status}).to_string();
            let path = vec![("id".to_owned(), subtask.subtask.id.to_string())];
            let update: SubtaskUpdate = from_request(path, Vec::new(), status.as_bytes()).unwrap();
            client.subtask_update(update).await.unwrap();
        }
    }
}

#[test]
fn an_example_is_read_in_a_minute() {
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("examples");
    let mut count = 0;
    for example in std::fs::read_dir(folder).unwrap() {
        let path = example.unwrap().path();
        let lines = std::fs::read_to_string(&path).unwrap().lines().count();
        assert!(lines < 80, "{} has {lines} lines", path.display());
        count += 1;
    }
    assert_eq!(count, 8);
}

#[tokio::test]
async fn quickstart_prints_the_tree_and_a_brief() {
    let folder = tempfile::tempdir().unwrap();
    let first = quickstart::run(folder.path()).await.unwrap();
    let tree = "/srv/shop\n  \
                \"Add a search box\" (active)\n    \
                wave 0 (running)\n      \
                Index the products (running): Edit 0\n    \
                wave 1 (running)\n      \
                Show the results (running): Edit 1\n\n";
    let brief = first.strip_prefix(tree).unwrap_or_else(|| panic!("another tree than\n{tree}but\n{first}"));
    for part in ["Index the products", "Add a search box", "Which fields can be searched?", "front"] {
        assert!(brief.contains(part), "{part:?} is not in the brief:\n{brief}");
    }

    // The store outlives the program: the second run finds the prompt of the first.
    let second = quickstart::run(folder.path()).await.unwrap();
    assert_eq!(second.matches("\"Add a search box\" (active)").count(), 2, "{second}");
}

#[tokio::test]
async fn a_brief_fits_its_budget() {
    let mut last = 0;
    for budget in [100, 300, 2000] {
        let brief = brief::run(budget).await.unwrap();
        assert!(brief.token_count <= i64::from(budget), "{} tokens of {budget}", brief.token_count);
        assert!(brief.token_count > 0 && brief.token_count >= last, "a larger budget says no less");
        last = brief.token_count;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_store_of_ones_own_is_held_to_the_suite() {
    let folder = tempfile::tempdir().unwrap();
    let text = custom_store::run(folder.path()).await.unwrap();
    let all = dcm::conformance::CASES.len();
    assert!(text.starts_with(&format!("{all} cases hold, 0 do not\n")), "{text}");
    let commits = text.lines().nth(1).and_then(|line| line.split(' ').next());
    assert!(commits.unwrap().parse::<usize>().unwrap() > all, "its own commit was used: {text}");
}
