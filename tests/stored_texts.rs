//! What is stored of a tool's input and output: without secrets, bounded, and otherwise as it was.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::path::Path;

use dcm_suite::command::Dcm;
use dcm_suite::on_both_stores;
use dcm_suite::server::{Server, Store};
use serde_json::json;

/// The most bytes that are stored of a text.
const LIMIT: usize = 65_536;
/// A secret, whatever stands around it.
const SECRET: &str = "ghp_abcdefghijklmnopqrstuvwxyz012345";

/// Input, output and duration of the only action with this condition.
fn stored(server: &Server, store: Store, which: &str) -> [Option<String>; 3] {
    let text = |column: &str| match store {
        Store::Embedded => format!("cast({column} as text)"),
        Store::Postgres => format!("convert_from({column}, 'UTF8')"),
    };
    let (input, output) = (text("input"), text("output"));
    let rows = server.rows(&format!("select {input}, {output}, duration_ms from actions where {which}"));
    assert_eq!(rows.len(), 1, "one action where {which}");
    rows.into_iter().next().unwrap().try_into().unwrap()
}

/// The beginning of `long`, and how much is missing.
fn check_cut(stored: &str, long: &str) {
    assert!(stored.len() <= LIMIT, "{} bytes are stored", stored.len());
    let kept = stored.bytes().zip(long.bytes()).take_while(|(one, other)| one == other).count();
    assert!(kept > LIMIT - 100, "{kept} bytes are as they were");
    let missing = stored.rsplit(|letter: char| !letter.is_ascii_digit()).find(|number| !number.is_empty());
    let missing: usize = missing.unwrap().parse().unwrap();
    assert!(missing >= long.len() - LIMIT && missing < long.len(), "{missing} bytes are said to be missing");
}

on_both_stores!(secrets_and_surplus_are_not_stored, what_is_imported_is_what_the_transcript_says);

async fn secrets_and_surplus_are_not_stored(store: Store) {
    let server = Server::start(store).await;
    let api = server.calls();
    let long = "Größe ☃ 🦀 ".repeat(200_000 / "Größe ☃ 🦀 ".len());
    let observe = |session: &str, tool: &str, input: &str, output: &str| {
        json!({"session_id": session, "observations": [{"type": "tool_used", "tool_use_id": tool, "tool_name": "Bash",
            "at": "2026-01-01T00:00:00.000Z", "input": input, "output": output}]})
    };
    let act = |session: &str, input: &str, output: &str| json!({"session_id": session, "tool_name": "Bash", "tool_type": "builtin", "input": input, "output": output});
    let (told, printed) = (format!("export TOKEN={SECRET} ; ☃"), format!("now {SECRET} is set"));
    api.post("/api/actions", &act("secret-posted", &told, &printed)).await;
    api.post("/api/ingest", &observe("secret-observed", "t-1", &told, &printed)).await;
    api.post("/api/actions", &act("long-posted", &long, &long)).await;
    api.post("/api/ingest", &observe("long-observed", "t-2", &long, &long)).await;
    // An outcome that is told later than the call.
    let mut pending = observe("late-observed", "t-3", &told, "");
    pending["observations"][0].as_object_mut().unwrap().remove("output");
    api.post("/api/ingest", &pending).await;
    let late = format!("{printed} {long}");
    api.post("/api/ingest", &observe("late-observed", "t-3", &told, &late)).await;

    for session in ["secret-posted", "secret-observed"] {
        let [input, output, _] = stored(&server, store, &format!("session_id = '{session}'"));
        assert_eq!(input.as_deref(), Some("export TOKEN=[redacted] ; ☃"), "{session}");
        assert_eq!(output.as_deref(), Some("now [redacted] is set"), "{session}");
    }
    for session in ["long-posted", "long-observed"] {
        let [input, output, _] = stored(&server, store, &format!("session_id = '{session}'"));
        check_cut(&input.unwrap(), &long);
        check_cut(&output.unwrap(), &long);
    }
    let [_, output, _] = stored(&server, store, "session_id = 'late-observed'");
    check_cut(&output.unwrap(), &late.replace(SECRET, "[redacted]"));
    let texts = if store == Store::Embedded { "cast(data as text)" } else { "data::text" };
    let told = server.number(&format!("select count(*) from events where {texts} like '%{SECRET}%'"));
    assert_eq!(told, 0, "nor does any event hold it");
}

async fn what_is_imported_is_what_the_transcript_says(store: Store) {
    let server = Server::start(store).await;
    let data = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/transcripts/tool_heavy.jsonl");
    let import = Dcm::new(["import".as_ref(), data.as_os_str()]).variable("DCM_URL", server.api());
    let _ = import.run().await.success();
    let call = "tool_use_id = 'toolu_01JJds55jYrYwd9TktNGndRY'";
    let [input, output, duration] = stored(&server, store, call);
    assert_eq!(input.as_deref(), Some(r#"{"pattern":"assets/js/**/*.js"}"#));
    assert_eq!(output.as_deref(), Some("/home/dev/projects/spotter/assets/js/app.js"));
    assert_eq!(duration.as_deref(), Some("230"));
}
