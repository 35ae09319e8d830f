//! The documented samples for JavaScript and for the shell, as they stand in the README.

use std::fmt::Write as _;
use std::fs;
use std::path::Path;
use std::process::Command;

use dcm_suite::server::{Server, Store};
use serde_json::{Value, json};

const README: &str = include_str!("../../README.md");

/// The first block of the README in this language that has `part` in it.
fn sample(language: &str, part: &str) -> &'static str {
    let mut blocks = README.split("```").skip(1).step_by(2);
    let found = blocks.find(|block| block.starts_with(&format!("{language}\n")) && block.contains(part));
    let block = found.unwrap_or_else(|| panic!("the README has no {language} sample with {part:?}"));
    block.split_once('\n').map_or(block, |(_, text)| text)
}

/// With the addresses of `server` in place of the defaults.
fn at(server: &Server, text: &str) -> String {
    text.replace("http://127.0.0.1:3847", &server.api()).replace("ws://127.0.0.1:3849", &server.socket())
}

/// Runs a script under Node with the `WebSocket` that browsers have; its lines, each read as JSON.
async fn node(script: String, folder: &Path) -> Vec<Value> {
    let library = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/ws/wrapper.mjs");
    let path = folder.join("sample.mjs");
    let global = format!(
        "import WebSocket from {};\nglobalThis.WebSocket ??= WebSocket;\n",
        json!(format!("file://{}", library.display()))
    );
    fs::write(&path, format!("{global}{script}")).unwrap();
    let run = tokio::task::spawn_blocking(move || Command::new("node").arg(&path).output());
    let output = run.await.unwrap().expect("node runs: `tests/run` installs it on Debian");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let text = String::from_utf8(output.stdout).unwrap();
    text.lines().map(|line| serde_json::from_str(line).unwrap_or_else(|_| json!(line))).collect()
}

/// Ends a script as soon as `condition` of the frames so far is true; every frame is printed as JSON.
fn watching(script: &str, condition: &str) -> String {
    format!(
        "const frames = [];\nconsole.log = (type, data) => {{\n  frames.push(data);\n  \
         process.stdout.write(JSON.stringify(data) + '\\n');\n  if ({condition}) {{ ws.close(); }}\n}};\n{script}"
    )
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_connection_sample() {
    let server = Server::start(Store::Embedded).await;
    let folder = tempfile::tempdir().unwrap();
    let sample = at(&server, sample("javascript", "new WebSocket("));
    let script = watching(&sample, "data.type === 'event' && data.event === 'agent.connected'");
    let frames = node(script, folder.path()).await;
    assert_eq!(frames[0]["type"], "connected");
    let ack = frames.iter().find(|frame| frame["type"] == "ack").unwrap();
    assert_eq!((&ack["id"], &ack["success"]), (&json!("auth-1"), &json!(true)));
    let event = frames.last().unwrap();
    assert_eq!((&event["type"], &event["channel"]), (&json!("event"), &json!("global")));
    assert_eq!(event["data"]["agent_id"], "backend-laravel");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_token_sample() {
    let server = Server::start(Store::Embedded).await;
    let folder = tempfile::tempdir().unwrap();
    // The first part is for the shell, the second for JavaScript.
    let text = at(&server, sample("bash", "/api/auth/token"));
    let (shell, script) = text.split_once("\n\n").unwrap();
    let shell = format!("{shell}\nprintf %s \"$TOKEN\"\n");
    let run = tokio::task::spawn_blocking(move || Command::new("bash").arg("-c").arg(shell).output());
    let output = run.await.unwrap().unwrap();
    let token = String::from_utf8(output.stdout).unwrap();
    assert_eq!(token.split('.').count(), 2, "{token} {}", String::from_utf8_lossy(&output.stderr));

    let script: String = script.lines().filter(|line| !line.starts_with('#')).collect();
    let script = format!(
        "const TOKEN = {};\nconst ws = new WebSocket('{}');\nws.onmessage = (event) => {{\n  const data = \
         JSON.parse(event.data);\n  console.log(data.type, data);\n}};\nws.onopen = () => {{ {} }};\n",
        json!(token),
        server.socket(),
        script
    );
    let frames = node(watching(&script, "data.event === 'agent.connected'"), folder.path()).await;
    assert_eq!(frames.last().unwrap()["data"]["agent_id"], "my-agent");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_table_of_channels() {
    let server = Server::start(Store::Embedded).await;
    let folder = tempfile::tempdir().unwrap();
    let table = README.split("| Channel |").nth(1).expect("the README has a table of channels");
    let rows = table.lines().skip(2).take_while(|line| line.starts_with('|'));
    let channels: Vec<(String, bool)> = rows
        .map(|row| {
            let cells: Vec<&str> = row.trim_matches('|').split('|').map(str::trim).collect();
            (cells[0].trim_matches('`').to_owned(), cells[2].starts_with("Yes"))
        })
        .collect();
    assert_eq!(channels.len(), 5, "{channels:?}");
    let filled = |channel: &str| {
        channel
            .replace("{agent_id}", "my-agent")
            .replace("{session_id}", "session-1")
            .replace("{topic}", "builds")
    };
    // Once as nobody, once as the agent whose channels these are.
    for identified in [false, true] {
        let mut script =
            format!("const ws = new WebSocket('{}');\nlet left = {};\n", server.socket(), channels.len());
        script += "const say = (frame) => ws.send(JSON.stringify(frame));\nws.onopen = () => {\n";
        if identified {
            script += "  say({type: 'auth', agent_id: 'my-agent', session_id: 'session-1'});\n";
        }
        for (channel, _) in &channels {
            let channel = json!(filled(channel));
            writeln!(script, "  say({{type: 'subscribe', id: {channel}, channel: {channel}}});").unwrap();
        }
        script += "};\nws.onmessage = (event) => {\n  const data = JSON.parse(event.data);\n  \
                   if (data.type === 'ack' && data.id) { left -= 1; console.log(data.type, data); }\n};\n";
        let frames = node(watching(&script, "left === 0"), folder.path()).await;
        for (channel, protected) in &channels {
            let ack = frames.iter().find(|frame| frame["id"] == filled(channel)).unwrap();
            assert_eq!(ack["success"], json!(identified || !protected), "{channel}: {ack}");
        }
    }
}
