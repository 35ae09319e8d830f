//! What was acknowledged is there after the server was killed, and was on the disk before it was acknowledged.

use std::collections::HashMap;
use std::fs;
use std::time::{Duration, Instant};

use dcm_suite::on_both_stores;
use dcm_suite::server::{Options, Server, Store};
use dcm_suite::writers::{Persistence, SESSIONS, Writers, session_of, stored};
use serde_json::json;

const WRITES: usize = 10_000;
const CLIENTS: usize = 64;

on_both_stores!(a_killed_server_has_every_acknowledged_action);

async fn a_killed_server_has_every_acknowledged_action(store: Store) {
    let mut server = Server::start(store).await;
    let api = server.calls();
    let mut writers = Writers::start(&api, CLIENTS, WRITES, Persistence::None);
    writers.acknowledged(WRITES / 3).await;
    server.kill();
    let told = writers.finish().await;
    assert!(told.refusals.is_empty(), "every answer was a 201: {:?}", told.refusals);
    let acknowledged = told.acknowledged.len();
    assert!((WRITES / 3..WRITES).contains(&acknowledged), "{acknowledged} were acknowledged before the end");

    server.restart().await;
    let found = stored(&api).await;
    let lost: Vec<_> =
        told.acknowledged.iter().filter(|(id, number)| found.get(*id) != Some(*number)).collect();
    assert!(lost.is_empty(), "{} of {acknowledged} acknowledged actions are lost: {lost:?}", lost.len());
    // Of those that nobody was told about there are at most as many as were under way.
    assert!(found.len() <= acknowledged + CLIENTS, "{} are stored, {acknowledged} acknowledged", found.len());

    // What was committed with them is there as well: counters, events, lessons.
    let mut counted = 0;
    for session in 0..SESSIONS {
        let row = api.get(&format!("/api/sessions/{}", session_of(session))).await;
        let of_session: Vec<usize> =
            found.values().copied().filter(|number| number % SESSIONS == session).collect();
        let failed = of_session.iter().filter(|number| *number % 7 == 0).count();
        assert_eq!(row["total_tools_used"], of_session.len(), "{row}");
        assert_eq!(row["total_errors"], failed, "{row}");
        counted += of_session.len();
    }
    assert_eq!(counted, found.len());
    assert_eq!(
        server.number("select count(*) from events where name = 'action.created'"),
        i64::try_from(found.len()).expect("a small number")
    );
    assert_eq!(server.number("select count(*) from events"), server.number("select seq from event_log_head"));
    let learned = api.get("/api/routing/suggest?keywords=migration&min_score=0").await;
    assert_eq!(learned["suggestions"][0]["usage_count"], found.len(), "{learned}");

    // And it goes on as if nothing had happened.
    api.post(
        "/api/actions",
        &json!({"tool_name": "Read", "tool_type": "builtin", "file_paths": ["/numbers/10000"]}),
    )
    .await;
    assert_eq!(stored(&api).await.len(), found.len() + 1);
}

/// A call of the system in a trace; the lines of its beginning and its end.
#[derive(Debug)]
struct Call {
    text: String,
    began: usize,
    ended: usize,
}

impl Call {
    fn is(&self, names: &[&str]) -> bool {
        names.iter().any(|name| self.text.strip_prefix(name).is_some_and(|rest| rest.starts_with('(')))
    }
}

/// Reads what `strace -f` wrote: calls of several threads, cut in two where another thread came between.
fn calls(trace: &str) -> Vec<Call> {
    let mut calls: Vec<Call> = Vec::new();
    let mut open: HashMap<&str, usize> = HashMap::new();
    for (line, text) in trace.lines().enumerate() {
        let Some((thread, text)) = text.split_once(char::is_whitespace) else { continue };
        let text = text.trim_start();
        if let Some(rest) = text.strip_prefix("<... ") {
            if let (Some(index), Some((_, rest))) = (open.remove(thread), rest.split_once("resumed>")) {
                calls[index].text.push_str(rest);
                calls[index].ended = line;
            }
        } else if let Some(text) = text.strip_suffix(" <unfinished ...>") {
            open.insert(thread, calls.len());
            calls.push(Call { text: text.to_owned(), began: line, ended: usize::MAX });
        } else {
            calls.push(Call { text: text.to_owned(), began: line, ended: line });
        }
    }
    calls
}

#[test]
fn a_trace_is_read_in_the_order_in_which_calls_began() {
    let trace = "7  read(3<a>, \"x\", 1) = 1\n8  fdatasync(4<b> <unfinished ...>\n7  write(5<c>, \"y\", 1) = 1\n\
                 8  <... fdatasync resumed>) = 0\n7  +++ exited with 0 +++\n";
    let calls = calls(trace);
    assert_eq!(calls.len(), 4);
    assert_eq!((calls[1].text.as_str(), calls[1].began, calls[1].ended), ("fdatasync(4<b>) = 0", 1, 3));
    assert!(calls[1].is(&["fsync", "fdatasync"]) && !calls[1].is(&["sync"]) && calls[2].is(&["write"]));
}

/// How many actions are posted under the tracer.
const POSTS: usize = 3;

/// What an action says, so that its writes are told from those of the store's own work, which goes on beside it.
fn words_of(number: usize) -> String {
    format!("cargo test number-{number}-of-{POSTS}")
}

/// How much of what is written the tracer shows: a page of the store.
const PAGE: &str = "4096";

/// `kill -9` does not show what the disk has: the kernel's caches survive it. What the server asks of the kernel does.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_log_is_on_the_disk_before_the_answer() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("trace");
    let file = path.to_str().unwrap();
    let watched =
        "trace=read,readv,recvfrom,recvmsg,write,writev,sendto,sendmsg,pwrite64,pwritev,fsync,fdatasync";
    let strace = ["strace", "-D", "-f", "-yy", "-s", PAGE, "-o", file, "-e", watched];
    let mut server = Options::on(Store::Embedded).under(strace).start().await;
    let api = server.calls();
    for number in 0..POSTS {
        let body = json!({"tool_name": "Bash", "tool_type": "builtin", "input": words_of(number)});
        api.post("/api/actions", &body).await;
    }
    assert!(server.stop().await.success());

    // The tracer outlives the server for a moment.
    let deadline = Instant::now() + Duration::from_secs(30);
    let trace = loop {
        let trace = fs::read_to_string(&path).unwrap_or_else(|error| panic!("strace wrote nothing: {error}"));
        if trace.lines().last().is_some_and(|line| line.contains("+++ exited with 0 +++")) {
            break trace;
        }
        assert!(Instant::now() < deadline, "strace does not end:\n{trace}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    };
    let calls = calls(&trace);
    let find = |names: &[&str], says: &str| -> Vec<&Call> {
        calls.iter().filter(|call| call.is(names) && call.text.contains(says)).collect()
    };
    let requests = find(&["read", "readv", "recvfrom", "recvmsg"], "\"POST /api/actions ");
    let answers = find(&["write", "writev", "sendto", "sendmsg"], "\"HTTP/1.1 201 Created");
    assert_eq!((requests.len(), answers.len()), (POSTS, POSTS), "{trace}");
    for (number, (request, answer)) in requests.iter().zip(&answers).enumerate() {
        let between = |call: &&Call| call.began > request.ended && call.ended < answer.began;
        let log = |call: &&Call| call.text.contains("dcm.db-wal>");
        let of_log: Vec<&Call> = calls.iter().filter(between).filter(log).collect();
        let written = of_log
            .iter()
            .find(|call| call.is(&["pwrite64", "pwritev", "write"]) && call.text.contains(&words_of(number)));
        let written =
            written.unwrap_or_else(|| panic!("the action was not written before {answer:?}:\n{trace}"));
        let synced = of_log.iter().any(|call| {
            let done = call.is(&["fsync", "fdatasync"]) && call.text.ends_with("= 0");
            done && call.began > written.ended
        });
        assert!(synced, "the log was not synced between {request:?} and {answer:?}:\n{trace}");
    }
}
