//! The scorer of this node: made from the store at start, kept fresh by the event log, written back aside.
//!
//! Nothing about scores is decided or written in the commit of an action: what the action teaches is in its event. Each
//! node learns from the log in the order of positions, so all nodes come to the same; one of them after the other writes
//! what it learned, with the place in the log up to which that goes. After a crash the rest is read from the log again.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use foldhash::fast::RandomState;
use serde::Deserialize;
use tokio::sync::{mpsc, oneshot, watch};

use crate::error::{Error, Result};
use crate::feed::{Entry, Feed, Follower, Step};
use crate::model::{KeywordScore, ToolType};
use crate::position::Position;
use crate::routing::{DEFAULT_CAPACITY, Lesson, Outcome, Scorer};
use crate::storage::{KeptLesson, NewLessons, Storage};
use crate::time::Timestamp;

/// How long what was learned may wait to be written: as much of the log is read again after a crash.
const WRITE_AFTER: Duration = Duration::from_secs(5);
/// So many lessons are written at once, and not kept waiting.
const WRITE_AT: usize = 5_000;
/// How many events are learned before others may ask again.
const CHUNK: usize = 256;
/// How long to wait before a store that does not answer is asked again.
const PAUSE: Duration = Duration::from_millis(500);
/// How long writing for the last time may hold up the end.
const LAST_WRITE: Duration = Duration::from_secs(2);

/// The scorer and how far it has come.
#[derive(Debug)]
pub(super) struct Learning {
    store: Arc<dyn Storage>,
    feed: Feed,
    // Held for microseconds, never across an await.
    scorer: RwLock<Scorer>,
    learned: watch::Sender<Learned>,
    requests: mpsc::Sender<oneshot::Sender<()>>,
}

/// What the event of a recorded action says of its words.
#[derive(Deserialize)]
struct Used {
    tool_name: String,
    tool_type: ToolType,
    exit_code: i32,
    #[serde(default)]
    said: Option<String>,
    #[serde(default)]
    keywords: Vec<String>,
    #[serde(default)]
    called_at: Option<Timestamp>,
}

/// What the event of a feedback says.
#[derive(Deserialize)]
struct Judged {
    tool_name: String,
    keywords: Vec<String>,
    chosen: bool,
}

/// What the events are called that [teach](lesson) anything.
const TEACHING: &[&str] = &["action.created", "action.updated", "routing.feedback"];

/// What `entry` teaches; nothing for most events, and for actions without words.
fn lesson(entry: &Entry) -> Option<Lesson> {
    // What is not there is not read where nobody listens, so it must teach nothing anywhere.
    if !TEACHING.contains(&&*entry.name) {
        return None;
    }
    match &*entry.name {
        // A call that was recorded before its answer teaches when that comes.
        "action.created" | "action.updated" => {
            let used: Used = serde_json::from_str(entry.data.as_str()).ok()?;
            Some(Lesson {
                text: used.said?,
                keywords: used.keywords,
                tool_name: used.tool_name,
                tool_type: Some(used.tool_type),
                outcome: Outcome::of_use(used.exit_code == 0),
                // A transcript of last year teaches what was right then.
                at: used.called_at.map_or(entry.at, |called| called.min(entry.at)),
            })
        }
        "routing.feedback" => {
            let judged: Judged = serde_json::from_str(entry.data.as_str()).ok()?;
            Some(Lesson::suggested(&judged.keywords, &judged.tool_name, judged.chosen, entry.at))
        }
        _ => None,
    }
}

/// How far the scorer has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Learned {
    /// It is being made.
    Nothing,
    /// The store does not say what was learned before; it is asked again.
    Unreadable,
    /// It has learned up to there in the log.
    UpTo(Position),
}

/// What was learned and is not written yet.
#[derive(Default)]
struct Unwritten {
    upto: Position,
    written: Position,
    lessons: Vec<(Position, KeptLesson)>,
    /// By tool, the words whose scores have moved.
    moved: HashMap<String, HashSet<String, RandomState>, RandomState>,
}

impl Unwritten {
    fn note(&mut self, position: Position, lesson: Lesson) {
        match self.moved.get_mut(&lesson.tool_name) {
            Some(words) => words.extend(lesson.keywords),
            None => drop(self.moved.insert(lesson.tool_name.clone(), lesson.keywords.into_iter().collect())),
        }
        let kept = KeptLesson {
            said: lesson.text,
            tool_name: lesson.tool_name,
            tool_type: lesson.tool_type,
            outcome: lesson.outcome,
            at: lesson.at,
        };
        self.lessons.push((position, kept));
    }
}

impl Learning {
    /// A scorer that knows nothing yet, and what its task needs.
    pub(super) fn new(
        store: Arc<dyn Storage>,
        feed: Feed,
    ) -> (Arc<Self>, mpsc::Receiver<oneshot::Sender<()>>) {
        let (requests, waiting) = mpsc::channel(4);
        let scorer = RwLock::new(Scorer::default());
        (
            Arc::new(Self { store, feed, scorer, learned: watch::Sender::new(Learned::Nothing), requests }),
            waiting,
        )
    }

    /// Asks the scorer, once it has learned everything that this node has committed; not while the store does not say what
    /// it learned before.
    pub(super) async fn ask<T>(&self, question: impl FnOnce(&Scorer) -> T) -> Result<T> {
        let committed = self.feed.committed();
        let mut learned = self.learned.subscribe();
        let is_known = |learned: &Learned| match learned {
            Learned::Nothing => false,
            Learned::Unreadable => true,
            Learned::UpTo(at) => at.epoch > committed.epoch || *at >= committed,
        };
        let ended = |_| Error::unavailable("the engine is closed");
        if *learned.wait_for(is_known).await.map_err(ended)? == Learned::Unreadable {
            return Err(Error::unavailable("what the scorer learned cannot be read"));
        }
        Ok(question(&self.scorer.read().unwrap_or_else(PoisonError::into_inner)))
    }

    /// Has everything written that was learned up to now; the log need not be kept for it any more.
    pub(super) async fn write_out(&self) {
        let (done, written) = oneshot::channel();
        if self.requests.send(done).await.is_ok() {
            let _ = written.await;
        }
    }

    /// Learns until `stopped`.
    pub(super) async fn run(
        self: Arc<Self>,
        mut requests: mpsc::Receiver<oneshot::Sender<()>>,
        mut stopped: watch::Receiver<bool>,
    ) {
        let mut unwritten = Unwritten::default();
        tokio::select! {
            () = self.warm_up(&mut unwritten) => {}
            _ = stopped.changed() => return,
        }
        let mut follower = self.feed.follow_named(unwritten.upto, TEACHING);
        let mut interval = tokio::time::interval(WRITE_AFTER);
        interval.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                moved = follower.advance() => match moved {
                    Some(step) => self.learn(step, &mut follower, &mut unwritten),
                    None => break,
                },
                _ = interval.tick() => self.write(&mut unwritten).await,
                Some(done) = requests.recv() => {
                    while let Some(step) = follower.try_next() {
                        self.learn(Some(step), &mut follower, &mut unwritten);
                    }
                    self.write(&mut unwritten).await;
                    let _ = done.send(());
                }
                _ = stopped.changed() => break,
            }
            if unwritten.lessons.len() >= WRITE_AT {
                self.write(&mut unwritten).await;
            }
        }
        if tokio::time::timeout(LAST_WRITE, self.write(&mut unwritten)).await.is_err() {
            tracing::debug!("what was learned last is read from the log again at the next start");
        }
    }

    /// Makes the scorer from what the store holds.
    async fn warm_up(&self, unwritten: &mut Unwritten) {
        let capacity = u32::try_from(DEFAULT_CAPACITY).unwrap_or(u32::MAX);
        let learned = loop {
            match self.store.learned(capacity).await {
                Ok(learned) => break learned,
                Err(error) => {
                    tracing::warn!(?error, "what the scorer learned cannot be read, it is tried again");
                    self.learned.send_replace(Learned::Unreadable);
                    tokio::time::sleep(PAUSE).await;
                }
            }
        };
        let watermark = learned.watermark;
        // Many lessons take a while, so they leave the threads that serve requests.
        let made = tokio::task::spawn_blocking(move || {
            let mut scorer = Scorer::default();
            learned.scores.iter().for_each(|score| scorer.restore(score));
            learned.seeds.iter().for_each(|score| scorer.seed(score));
            for lesson in &learned.lessons {
                let KeptLesson { said, tool_name, tool_type, outcome, at } = lesson;
                scorer.recall(said, tool_name, *tool_type, *outcome, *at);
            }
            scorer
        });
        match made.await {
            Ok(scorer) => *self.scorer.write().unwrap_or_else(PoisonError::into_inner) = scorer,
            Err(error) => tracing::error!(?error, "the scorer was not made and begins anew"),
        }
        unwritten.upto = watermark;
        unwritten.written = watermark;
        let head = self.feed.head();
        let learned = if head <= watermark { Learned::UpTo(watermark) } else { Learned::Nothing };
        self.learned.send_replace(learned);
    }

    /// Learns from `step` and what is behind it already; no step is one past events that teach nothing.
    fn learn(&self, step: Option<Step>, follower: &mut Follower, unwritten: &mut Unwritten) {
        let mut scorer = self.scorer.write().unwrap_or_else(PoisonError::into_inner);
        let mut next = step;
        for place in 1..=CHUNK {
            match next {
                Some(Step::Event(entry)) => {
                    // What taught nothing is not kept: it must not teach when the scorer is made again.
                    let lesson = lesson(&entry);
                    let lesson = lesson.filter(|one| one.tool_type.is_some() || scorer.knows(&one.tool_name));
                    if let Some(lesson) = lesson {
                        scorer.learn(&lesson);
                        unwritten.note(entry.position, lesson);
                    }
                }
                Some(Step::Gap(gap)) => {
                    tracing::warn!(missed = %gap.missed, continues = %gap.continues, "the scorer has missed lessons");
                }
                None => break,
            }
            // The last of a chunk takes nothing out that it would not learn.
            next = if place < CHUNK { follower.try_next() } else { None };
        }
        drop(scorer);
        unwritten.upto = follower.position();
        self.learned.send_replace(Learned::UpTo(unwritten.upto));
    }

    /// Writes what was learned. A store that does not answer keeps nobody waiting: it is tried again later.
    async fn write(&self, unwritten: &mut Unwritten) {
        if unwritten.upto == unwritten.written {
            return;
        }
        let scores: Vec<KeywordScore> = {
            let scorer = self.scorer.read().unwrap_or_else(PoisonError::into_inner);
            let pairs =
                unwritten.moved.iter().flat_map(|(tool, words)| words.iter().map(move |word| (word, tool)));
            let mut pairs: Vec<_> = pairs.collect();
            // Every node writes its rows in the same order, so none waits for another that waits for it.
            pairs.sort_unstable();
            pairs.into_iter().filter_map(|(word, tool)| scorer.recorded(word, tool)).collect()
        };
        let news = NewLessons { upto: unwritten.upto, scores, lessons: unwritten.lessons.clone() };
        match self.store.keep_lessons(news).await {
            Ok(written) => {
                unwritten.written = unwritten.upto;
                // Another node may have written later ones already.
                unwritten.lessons.retain(|(at, _)| *at > written);
                unwritten.moved.clear();
            }
            Err(error) => {
                tracing::warn!(?error, "what the scorer learned is not written yet, it is tried again");
                // The log has all of it; memory must not grow while the store is away.
                if unwritten.lessons.len() > 10 * WRITE_AT {
                    tracing::error!("lessons are dropped: the store has not taken any for long");
                    unwritten.lessons.clear();
                }
            }
        }
    }
}
