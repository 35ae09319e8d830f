//! A storm: agents that come and go, publishers that do not give up, and servers that are killed under them. At the end
//! every agent must have heard exactly what the log has for it.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::env;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use dcm::{ErrorKind, Position};
use dcm_client::Client;
use dcm_client::listen::{Event, Item, Listener};
use dcm_suite::calls::Calls;
use dcm_suite::server::Server;
use serde_json::{Value, json};
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

pub(crate) const AGENTS: usize = 50;
/// Topics of messages; every agent listens to one of them beside its own channel.
const TOPICS: [&str; 5] =
    ["workflow.progress", "context.request", "context.response", "task.completed", "task.failed"];
const REST_PUBLISHERS: usize = 6;
const SOCKET_PUBLISHERS: usize = 2;
/// How long the agents may take to hear the rest, once nobody disturbs them any more.
const PATIENCE: Duration = Duration::from_secs(180);

/// How many events are published: a fraction of the full storm, which is for `DCM_STORM_EVENTS=20000`.
pub(crate) fn events() -> usize {
    env::var_os("DCM_STORM_EVENTS").map_or(3000, |text| text.to_str().unwrap().parse().unwrap())
}

/// Numbers that look random and are the same in every run.
pub(crate) struct Random(u64);

impl Random {
    pub(crate) fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    pub(crate) fn below(&mut self, bound: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        usize::try_from(self.0 % bound as u64).unwrap()
    }
}

/// What the log has for each agent, in its order, by event id.
type Goal = BTreeMap<usize, Vec<String>>;

/// A storm under way.
pub(crate) struct Storm {
    agents: JoinSet<(usize, Vec<Event>)>,
    publishers: JoinSet<()>,
    progress: watch::Receiver<usize>,
    goal: watch::Sender<Option<Arc<Goal>>>,
    total: usize,
}

impl Storm {
    /// Starts the agents, and when all of them listen, the publishers. `urls` are the nodes.
    pub(crate) async fn start(nodes: &[Calls], urls: &[String], total: usize) -> Self {
        let (goal, goals) = watch::channel(None);
        let (ready, mut readies) = mpsc::channel(AGENTS);
        let mut agents = JoinSet::new();
        for number in 0..AGENTS {
            let agent = Agent {
                number,
                urls: urls.to_vec(),
                random: Random::new(number as u64 + 1),
                heard: Vec::new(),
                missing: None,
            };
            agents.spawn(agent.run(goals.clone(), ready.clone()));
        }
        for _ in 0..AGENTS {
            readies.recv().await.unwrap();
        }
        let (done, progress) = watch::channel(0);
        let (next, done) = (Arc::new(AtomicUsize::new(0)), Arc::new(done));
        let mut publishers = JoinSet::new();
        for number in 0..REST_PUBLISHERS + SOCKET_PUBLISHERS {
            let (next, done) = (Arc::clone(&next), Arc::clone(&done));
            let random = Random::new(1000 + number as u64);
            if number < REST_PUBLISHERS {
                publishers.spawn(publish_over_rest(nodes.to_vec(), random, next, total, done));
            } else {
                publishers.spawn(publish_over_socket(urls.to_vec(), random, next, total, done));
            }
        }
        Self { agents, publishers, progress, goal, total }
    }

    /// Waits until this part of the events is published.
    pub(crate) async fn published(&mut self, part: usize, of: usize) {
        let count = self.total * part / of;
        self.progress.wait_for(|done| *done >= count).await.unwrap();
    }

    /// Waits until everything is published and heard, and compares what was heard with the log of `server`.
    pub(crate) async fn end(mut self, rows: Vec<Vec<Option<String>>>) {
        let log = Log::read(rows);
        log.check(self.total);
        self.goal.send_replace(Some(Arc::new(log.goal())));
        let mut duplicates = 0;
        while let Some(ended) = self.agents.join_next().await {
            let (number, heard) = ended.unwrap();
            duplicates += log.compare(number, &heard);
        }
        eprintln!("{} events, {duplicates} repetitions", self.total);
    }

    /// Waits until all publishers have been told that everything is in the log.
    pub(crate) async fn all_published(&mut self) {
        while let Some(ended) = self.publishers.join_next().await {
            ended.unwrap();
        }
    }
}

/// The statement that reads the log for [`Storm::end`].
pub(crate) fn log_of(server: &Server) -> Vec<Vec<Option<String>>> {
    let channels = if server.database().is_some() { "to_json(channels)" } else { "channels" };
    server.rows(&log_sql(channels))
}

pub(crate) fn log_sql(channels: &str) -> String {
    format!(
        "select id, {channels}, data from events where name in ('message.new', 'system.info') order by seq"
    )
}

/// One line of the log.
struct Line {
    id: String,
    channels: Vec<String>,
    /// The number of what was published over a socket.
    number: Option<u64>,
}

struct Log(Vec<Line>);

impl Log {
    fn read(rows: Vec<Vec<Option<String>>>) -> Self {
        let lines = rows.into_iter().filter_map(|row| {
            let mut row = row.into_iter().map(Option::unwrap);
            let id = row.next().unwrap();
            let channels = serde_json::from_str(&row.next().unwrap()).unwrap();
            let data: Value = serde_json::from_str(&row.next().unwrap()).unwrap();
            // Servers say that they start.
            data["node_id"].is_null().then(|| Line { id, channels, number: data["number"].as_u64() })
        });
        Self(lines.collect())
    }

    /// Everything that publishers were told is in the log is in it: what came over REST with a key, once.
    fn check(&self, total: usize) {
        let numbers: BTreeSet<u64> = self.0.iter().filter_map(|line| line.number).collect();
        let messages = self.0.iter().filter(|line| line.number.is_none()).count();
        assert_eq!(numbers.len() + messages, total, "published and in the log");
    }

    fn of(&self, agent: usize) -> impl Iterator<Item = &Line> {
        let channels = channels_of(agent);
        self.0.iter().filter(move |line| line.channels.iter().any(|channel| channels.contains(channel)))
    }

    fn goal(&self) -> Goal {
        (0..AGENTS).map(|agent| (agent, self.of(agent).map(|line| line.id.clone()).collect())).collect()
    }

    /// Everything, in order, nothing missing; what came more than once was marked. How many repetitions there were.
    fn compare(&self, agent: usize, heard: &[Event]) -> usize {
        let mut seen = HashSet::new();
        let mut firsts = Vec::new();
        let mut last: Option<Position> = None;
        for event in heard {
            if !seen.insert(event.id.as_str()) {
                assert!(event.redelivered, "agent {agent}: an unmarked repetition: {event:?}");
                continue;
            }
            assert!(last < event.position, "agent {agent}: {event:?} came after {last:?}");
            last = event.position;
            firsts.push(event.id.as_str());
        }
        let expected: Vec<&str> = self.of(agent).map(|line| line.id.as_str()).collect();
        assert_eq!(firsts, expected, "agent {agent}");
        heard.len() - firsts.len()
    }
}

fn channels_of(agent: usize) -> [String; 2] {
    [format!("agents/agent-{agent}"), format!("topics/{}", TOPICS[agent % TOPICS.len()])]
}

pub(crate) fn client(url: &str) -> Client {
    let (first, longest) = (Duration::from_millis(20), Duration::from_millis(500));
    let builder = Client::builder().url(url).backoff(first, longest).timeout(Duration::from_secs(20));
    builder.build().unwrap()
}

struct Agent {
    number: usize,
    urls: Vec<String>,
    random: Random,
    heard: Vec<Event>,
    /// Once the end is known.
    missing: Option<HashSet<String>>,
}

impl Agent {
    async fn run(
        mut self,
        mut goal: watch::Receiver<Option<Arc<Goal>>>,
        ready: mpsc::Sender<()>,
    ) -> (usize, Vec<Event>) {
        let mut ready = Some(ready);
        loop {
            let Some(listener) = self.open().await else { continue };
            if self.listen(listener, &mut goal, &mut ready).await {
                return (self.number, self.heard);
            }
        }
    }

    async fn open(&mut self) -> Option<Listener> {
        let url = &self.urls[self.random.below(self.urls.len())];
        let [_, topic] = channels_of(self.number);
        let listening = client(url).listen().agent(format!("agent-{}", self.number)).channel(topic);
        match listening.reconnects(5).open().await {
            Ok(listener) => Some(listener),
            Err(error) => {
                assert!(is_passing(&error), "agent {}: {error:?}", self.number);
                None
            }
        }
    }

    /// Listens for a while; true when everything was heard.
    async fn listen(
        &mut self,
        mut listener: Listener,
        goal: &mut watch::Receiver<Option<Arc<Goal>>>,
        ready: &mut Option<mpsc::Sender<()>>,
    ) -> bool {
        let mut left = 20 + self.random.below(150);
        loop {
            let wanted = goal.borrow_and_update().clone();
            if let Some(wanted) = &wanted {
                // What is not heard yet, found out once: looking at everything for each event would take long.
                let missing = self.missing.get_or_insert_with(|| {
                    let heard: HashSet<&str> = self.heard.iter().map(|event| event.id.as_str()).collect();
                    let wanted = wanted[&self.number].iter();
                    wanted.filter(|id| !heard.contains(id.as_str())).cloned().collect()
                });
                if missing.is_empty() {
                    listener.close().await;
                    return true;
                }
            }
            let item = tokio::select! {
                item = listener.next() => item,
                _ = goal.changed() => continue,
                () = sleep(PATIENCE), if wanted.is_some() => self.complain(wanted.as_ref()),
            };
            match item {
                Some(Ok(Item::Event(event))) => {
                    if matches!(event.name.as_str(), "message.new" | "system.info") {
                        if let Some(missing) = &mut self.missing {
                            missing.remove(event.id.as_str());
                        }
                        self.heard.push(event);
                        left = left.saturating_sub(1);
                    }
                }
                Some(Ok(Item::Connected)) => drop(ready.take().map(|ready| ready.try_send(()).unwrap())),
                Some(Ok(Item::Gap(gap))) => panic!("agent {}: {gap:?}", self.number),
                Some(Ok(_)) => {}
                Some(Err(error)) => {
                    assert!(is_passing(&error), "agent {}: {error:?}", self.number);
                    return false;
                }
                None => return false,
            }
            if left == 0 && wanted.is_none() {
                // Half of them say goodbye, the others are gone in the middle of something.
                if self.random.below(2) == 0 {
                    listener.close().await;
                }
                return false;
            }
        }
    }

    fn complain(&self, wanted: Option<&Arc<Goal>>) -> Option<dcm::Result<Item>> {
        let heard: HashSet<&str> = self.heard.iter().map(|event| event.id.as_str()).collect();
        let wanted = wanted.map(|goal| &goal[&self.number]).unwrap();
        let missing: Vec<_> = wanted.iter().filter(|id| !heard.contains(id.as_str())).collect();
        panic!("agent {} heard {} and lacks {}: {missing:?}", self.number, heard.len(), missing.len());
    }
}

/// Whether another attempt, perhaps at another node, may do better.
fn is_passing(error: &dcm::Error) -> bool {
    matches!(error.kind(), ErrorKind::Unavailable | ErrorKind::RateLimited | ErrorKind::Internal)
}

async fn publish_over_rest(
    nodes: Vec<Calls>,
    mut random: Random,
    next: Arc<AtomicUsize>,
    total: usize,
    done: Arc<watch::Sender<usize>>,
) {
    loop {
        let number = next.fetch_add(1, Ordering::Relaxed);
        if number >= total {
            return;
        }
        let to = random.below(AGENTS + 1);
        let mut message = json!({"from_agent": "publisher", "topic": TOPICS[number % TOPICS.len()],
            "content": {"text": format!("message {number}")}, "ttl_seconds": 3600});
        if to < AGENTS {
            message["to_agent"] = format!("agent-{to}").into();
        }
        let key = format!("storm {number}");
        loop {
            let node = &nodes[random.below(nodes.len())];
            let sent = node.attempt(reqwest::Method::POST, "/api/messages", Some(&key), Some(&message)).await;
            match sent {
                Ok(answer) if answer.status == 201 => break,
                Ok(answer) => assert!(matches!(answer.status, 429 | 503), "{answer:?}"),
                Err(_) => {}
            }
            sleep(Duration::from_millis(50)).await;
        }
        done.send_modify(|done| *done += 1);
    }
}

async fn publish_over_socket(
    urls: Vec<String>,
    mut random: Random,
    next: Arc<AtomicUsize>,
    total: usize,
    done: Arc<watch::Sender<usize>>,
) {
    let mut listener: Option<Listener> = None;
    loop {
        let number = next.fetch_add(1, Ordering::Relaxed);
        if number >= total {
            return;
        }
        let channel = match random.below(4) {
            0 => format!("agents/agent-{}", random.below(AGENTS)),
            _ => format!("topics/{}", TOPICS[random.below(TOPICS.len())]),
        };
        loop {
            if listener.is_none() {
                let url = &urls[random.below(urls.len())];
                listener = client(url).listen().agent("socket-publisher").open().await.ok();
            }
            if let Some(open) = &mut listener {
                let published =
                    open.handle().publish(&channel, "system.info", json!({"number": number})).await;
                match published {
                    Ok(()) => break,
                    Err(error) => assert!(is_passing(&error), "{error:?}"),
                }
                listener = None;
            }
            sleep(Duration::from_millis(50)).await;
        }
        // Nobody reads what the publisher hears itself; it must not stand in the way.
        if let Some(open) = &mut listener {
            while timeout(Duration::ZERO, open.next()).await.is_ok_and(|item| item.is_some()) {}
        }
        done.send_modify(|done| *done += 1);
    }
}
