//! The one way to write: commands wait in a bounded queue and are committed in groups.

use std::sync::Arc;

use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinSet;

use super::dispatch::{Committer, Dispatcher, Job, Order};
use crate::error::{Error, ErrorKind, Result};
use crate::feed::Feed;
use crate::id::IdSource;
use crate::storage::{Command, Footprint, IdempotencyKey, Storage, Submitted};
use crate::time::Clock;

/// Commands that may wait; beyond it callers are told to come back.
const QUEUE: usize = 4096;

/// A handle to the queue; cheap to clone.
#[derive(Debug, Clone)]
pub(crate) struct Writer {
    queue: mpsc::Sender<Job>,
    /// How many batches are committed side by side; with more than one, something could be overtaken.
    lanes: usize,
}

impl Writer {
    /// Starts the task that commits. It ends when every [`Writer`] is dropped, after committing what waits.
    pub(crate) fn start(
        store: &Arc<dyn Storage>,
        clock: &Arc<dyn Clock>,
        ids: &IdSource,
        feed: &Feed,
    ) -> (Self, JoinSet<()>) {
        let (queue, waiting) = mpsc::channel(QUEUE);
        let committer = Committer {
            store: Arc::clone(store),
            clock: Arc::clone(clock),
            ids: ids.clone(),
            feed: feed.clone(),
        };
        let mut tasks = JoinSet::new();
        tasks.spawn(Dispatcher::new(waiting, committer).run());
        (Self { queue, lanes: store.write_lanes() }, tasks)
    }

    /// What a command keeps an order with: its sequence or its session, where it has one.
    fn order(&self, command: &impl Command) -> Option<Order> {
        if self.lanes < 2 {
            return None;
        }
        let mut footprint = Footprint::default();
        command.footprint(&mut footprint);
        let name = footprint.sessions.pop_first().or(footprint.sequence)?;
        Some(Order::of(name, self.lanes))
    }

    /// Commits a command and answers its outcome.
    pub(crate) async fn commit<C: Command>(
        &self,
        command: C,
        key: Option<IdempotencyKey>,
    ) -> Result<C::Outcome> {
        let (reply, outcome) = oneshot::channel();
        let order = self.order(&command);
        let job = Job { command: Submitted::new(command, key), order, reply };
        self.queue.try_send(job).map_err(|error| match error {
            mpsc::error::TrySendError::Full(_) => {
                Error::new(ErrorKind::Unavailable, "too many writes are waiting, try again shortly")
                    .with_retry_after(1)
            }
            mpsc::error::TrySendError::Closed(_) => Error::unavailable("the writer has ended"),
        })?;
        let outcome =
            outcome.await.map_err(|_| Error::unavailable("the writer ended before it answered"))??;
        outcome
            .downcast::<C::Outcome>()
            .map(|outcome| *outcome)
            .map_err(|_| Error::internal("an outcome has another type than its command's"))
    }
}

#[cfg(test)]
#[cfg(feature = "sqlite")]
mod tests {
    use std::sync::Mutex;
    use std::time::Duration;

    use futures_util::stream::FuturesUnordered;
    use futures_util::{FutureExt, StreamExt};
    use tokio::sync::Semaphore;

    use super::super::dispatch::BESIDE;
    use super::*;
    use crate::storage::{
        AgeLimits, AnyOutcome, Batch, BoxFuture, CommitStore, RetentionReport, State, StoreParts,
    };
    use crate::time::{SystemClock, Timestamp};
    use crate::{Dcm, EngineConfig};

    /// A store whose commits wait twice until they may go on: before they are decided and before they are written.
    struct Gated {
        inner: Arc<dyn CommitStore>,
        begun: Mutex<mpsc::UnboundedSender<usize>>,
        decide: Semaphore,
        write: Semaphore,
        lanes: usize,
    }

    impl CommitStore for Gated {
        fn commit(&self, batch: Batch) -> BoxFuture<'_, Result<Vec<Result<AnyOutcome>>>> {
            Box::pin(async move {
                self.begun.lock().unwrap().send(batch.len()).unwrap();
                self.decide.acquire().await.unwrap().forget();
                let decision = batch.decide(batch.state());
                self.write.acquire().await.unwrap().forget();
                Ok(decision.outcomes)
            })
        }

        fn write_lanes(&self) -> usize {
            self.lanes
        }

        fn retain(&self, limits: AgeLimits) -> BoxFuture<'_, Result<RetentionReport>> {
            self.inner.retain(limits)
        }

        fn lease<'a>(
            &'a self,
            name: &'a str,
            holder: &'a str,
            now: Timestamp,
            expires_at: Timestamp,
        ) -> BoxFuture<'a, Result<bool>> {
            self.inner.lease(name, holder, now, expires_at)
        }

        fn setting<'a>(&'a self, name: &'a str, value: &'a str) -> BoxFuture<'a, Result<String>> {
            self.inner.setting(name, value)
        }

        fn keep_setting<'a>(&'a self, name: &'a str, value: &'a str) -> BoxFuture<'a, Result<()>> {
            self.inner.keep_setting(name, value)
        }

        fn close(&self) -> BoxFuture<'_, ()> {
            self.inner.close()
        }
    }

    /// What was decided, in that order.
    type Decided = Arc<Mutex<Vec<usize>>>;

    /// Answers what it was given, in the order of those with the same name.
    struct Echo(usize, Option<&'static str>, Decided);

    impl Command for Echo {
        type Outcome = usize;

        fn footprint(&self, footprint: &mut Footprint) {
            footprint.sequence = self.1.map(str::to_owned);
        }

        fn decide(&self, _: &mut State) -> Result<usize> {
            self.2.lock().unwrap().push(self.0);
            Ok(self.0)
        }
    }

    /// Must be the only one of its batch; in place of an answer, its decision may panic.
    struct Alone {
        panics: bool,
    }

    impl Command for Alone {
        type Outcome = ();

        fn footprint(&self, footprint: &mut Footprint) {
            footprint.sequence = Some("alone".to_owned());
        }

        fn decide(&self, _: &mut State) -> Result<()> {
            assert!(!self.panics, "a test panics on purpose");
            Ok(())
        }

        fn alone(&self) -> bool {
            true
        }
    }

    /// A name whose commands go to the second of two lanes while there is much to write; `number` tells such names apart.
    fn name_of_second_lane(number: usize) -> &'static str {
        let names = ["a", "b", "c", "d", "e", "f", "g", "h", "i", "j", "k", "l", "m", "n", "o", "p"];
        names.into_iter().filter(|name| Order::of((*name).to_owned(), 2).is_of_lane(1)).nth(number).unwrap()
    }

    /// A writer on a store that waits at its gates.
    struct Scene {
        gated: Arc<Gated>,
        store: Arc<dyn Storage>,
        writer: Writer,
        tasks: JoinSet<()>,
        begun: mpsc::UnboundedReceiver<usize>,
        answers: FuturesUnordered<BoxFuture<'static, usize>>,
        decided: Decided,
        since: tokio::time::Instant,
    }

    impl Scene {
        async fn with_lanes(lanes: usize) -> Self {
            let parts = StoreParts::of(Dcm::memory_store(&EngineConfig::default()).await.unwrap());
            let (sender, begun) = mpsc::unbounded_channel();
            let gated = Arc::new(Gated {
                inner: Arc::clone(&parts.commits),
                begun: Mutex::new(sender),
                decide: Semaphore::new(0),
                write: Semaphore::new(0),
                lanes,
            });
            let store: Arc<dyn Storage> = Arc::new(StoreParts { commits: Arc::clone(&gated) as _, ..parts });
            let clock: Arc<dyn Clock> = Arc::new(SystemClock);
            let ids = IdSource::new(Arc::clone(&clock));
            let (feed, _handed) = Feed::open(Arc::clone(&store)).await.unwrap();
            let (writer, tasks) = Writer::start(&store, &clock, &ids, &feed);
            Self {
                gated,
                store,
                writer,
                tasks,
                begun,
                answers: FuturesUnordered::new(),
                decided: Decided::default(),
                since: tokio::time::Instant::now(),
            }
        }

        /// Gives the writer commands that answer these numbers; the answers come to `answers`.
        fn submit(&mut self, numbers: std::ops::Range<usize>, sequence: Option<&'static str>) {
            for number in numbers {
                let writer = self.writer.clone();
                let echo = Echo(number, sequence, Arc::clone(&self.decided));
                let mut one: BoxFuture<'_, _> =
                    Box::pin(async move { writer.commit(echo, None).await.unwrap() });
                assert!(one.as_mut().now_or_never().is_none(), "it is in the queue");
                self.answers.push(one);
            }
        }

        /// How many commands the next batch has that begins.
        async fn next_batch(&mut self) -> usize {
            tokio::time::timeout(Duration::from_secs(20), self.begun.recv()).await.unwrap().unwrap()
        }

        /// That no time has passed: no batch began only because patience was at its end.
        fn assert_that_time_stood_still(&self) {
            assert_eq!(self.since.elapsed(), Duration::ZERO);
        }

        /// That no batch begins, although the writer had every chance.
        async fn assert_that_none_begins(&mut self) {
            for _ in 0..20 {
                tokio::task::yield_now().await;
            }
            assert!(self.begun.try_recv().is_err(), "no batch begins now");
        }

        fn open_all(&self) {
            self.gated.decide.add_permits(QUEUE);
            self.gated.write.add_permits(QUEUE);
        }

        async fn end(mut self) {
            drop(self.writer);
            while self.tasks.join_next().await.is_some() {}
            self.store.close().await;
        }
    }

    // A clock that stands goes to the next timer when nothing else can happen, so these look whether it did.
    #[tokio::test(start_paused = true)]
    async fn the_next_batch_begins_when_the_one_before_is_decided_and_enough_waits() {
        let mut scene = Scene::with_lanes(2).await;
        scene.submit(0..1, None);
        assert_eq!(scene.next_batch().await, 1);
        scene.submit(1..2 * BESIDE, None);
        scene.assert_that_none_begins().await;
        scene.gated.decide.add_permits(1);
        assert_eq!(scene.next_batch().await, 2 * BESIDE - 1, "all that waits goes together");
        scene.assert_that_time_stood_still();
        scene.gated.decide.add_permits(1);
        scene.submit(100..200, None);
        scene.assert_that_none_begins().await;
        scene.gated.write.add_permits(1);
        assert_eq!(scene.next_batch().await, 100, "there are two lanes and no more");
        scene.open_all();
        assert_eq!(scene.answers.by_ref().count().await, 2 * BESIDE + 100);
        scene.end().await;
    }

    #[tokio::test(start_paused = true)]
    async fn a_small_batch_does_not_begin_beside_another() {
        let mut scene = Scene::with_lanes(2).await;
        scene.gated.decide.add_permits(1);
        scene.submit(0..1, None);
        assert_eq!(scene.next_batch().await, 1);
        scene.submit(1..BESIDE, None);
        scene.assert_that_none_begins().await;
        scene.submit(BESIDE..BESIDE + 1, None);
        assert_eq!(scene.next_batch().await, BESIDE);
        scene.assert_that_time_stood_still();
        scene.open_all();
        assert_eq!(scene.answers.by_ref().count().await, BESIDE + 1);
        scene.end().await;
    }

    #[tokio::test]
    async fn a_batch_that_waits_for_a_lock_does_not_hold_up_the_others() {
        let mut scene = Scene::with_lanes(2).await;
        let (stuck, other) = (name_of_second_lane(0), name_of_second_lane(1));
        scene.submit(0..1, Some(stuck));
        assert_eq!(scene.next_batch().await, 1);
        // More of the same than a batch can have, then another of the same lane.
        scene.submit(1..1000, Some(stuck));
        scene.submit(1000..1001, Some(other));
        assert_eq!(scene.next_batch().await, 1, "the other, although the first is not decided");
        scene.open_all();
        assert_eq!(scene.answers.by_ref().count().await, 1001);
        scene.end().await;
    }

    #[tokio::test(start_paused = true)]
    async fn what_keeps_an_order_is_never_in_two_batches_at_once() {
        let mut scene = Scene::with_lanes(2).await;
        scene.gated.decide.add_permits(QUEUE);
        let (first, second) = (name_of_second_lane(0), name_of_second_lane(1));
        // There is one batch only, so it goes to the first lane.
        scene.submit(0..1, Some(first));
        assert_eq!(scene.next_batch().await, 1);
        for number in 0..BESIDE {
            scene.submit(100 + number..101 + number, Some(first));
            scene.submit(200 + number..201 + number, Some(second));
        }
        assert_eq!(scene.next_batch().await, BESIDE, "the others go on");
        scene.assert_that_none_begins().await;
        scene.assert_that_time_stood_still();
        scene.gated.write.add_permits(QUEUE);
        assert_eq!(scene.next_batch().await, BESIDE, "then those that were left");
        assert_eq!(scene.answers.by_ref().count().await, 2 * BESIDE + 1);
        let mut decided = scene.decided.lock().unwrap().clone();
        decided.retain(|number| *number < 200);
        assert!(decided.is_sorted(), "in their order: {decided:?}");
        scene.end().await;
    }

    #[tokio::test]
    async fn what_waits_is_committed_when_the_writer_is_dropped() {
        let mut scene = Scene::with_lanes(2).await;
        scene.submit(0..1, Some("one"));
        assert_eq!(scene.next_batch().await, 1);
        scene.submit(1..300, Some("one"));
        scene.open_all();
        let Scene { writer, answers, mut tasks, store, gated, .. } = scene;
        drop(writer);
        let (count, ()) = tokio::join!(answers.count(), async { while tasks.join_next().await.is_some() {} });
        assert_eq!(count, 300);
        drop(gated);
        store.close().await;
    }

    #[tokio::test]
    async fn what_must_be_alone_shares_no_batch() {
        let mut scene = Scene::with_lanes(1).await;
        scene.submit(0..1, None);
        assert_eq!(scene.next_batch().await, 1);
        scene.submit(1..3, None);
        let writer = scene.writer.clone();
        let alone = tokio::spawn(async move { writer.commit(Alone { panics: false }, None).await });
        while scene.writer.queue.capacity() > QUEUE - 3 {
            tokio::task::yield_now().await;
        }
        scene.submit(3..7, None);
        scene.open_all();
        let batches = [scene.next_batch().await, scene.next_batch().await, scene.next_batch().await];
        assert_eq!(batches, [2, 1, 4], "those before it, it, those after it");
        alone.await.unwrap().unwrap();
        assert_eq!(scene.answers.by_ref().count().await, 7);
        scene.end().await;
    }

    #[tokio::test]
    async fn a_store_that_panics_leaves_lane_and_order_free() {
        let scene = Scene::with_lanes(2).await;
        scene.open_all();
        for _ in 0..3 {
            let refusal = scene.writer.commit(Alone { panics: true }, None).await.unwrap_err();
            assert_eq!(refusal.kind(), ErrorKind::Unavailable);
            scene.writer.commit(Alone { panics: false }, None).await.unwrap();
        }
        scene.end().await;
    }

    #[tokio::test]
    async fn what_does_not_fit_the_queue_is_refused_and_the_rest_is_committed() {
        let mut scene = Scene::with_lanes(1).await;
        // One is under way, so the queue behind it fills.
        scene.submit(0..1, None);
        assert_eq!(scene.next_batch().await, 1);
        scene.submit(1..QUEUE + 1, None);
        let refusal = scene.writer.commit(Echo(QUEUE + 1, None, Decided::default()), None).await.unwrap_err();
        assert_eq!((refusal.kind(), refusal.retry_after_seconds()), (ErrorKind::Unavailable, Some(1)));

        scene.open_all();
        let mut answers: Vec<usize> = scene.answers.by_ref().collect().await;
        answers.sort_unstable();
        assert_eq!(answers, (0..=QUEUE).collect::<Vec<_>>(), "who was let in is answered");
        assert_eq!(
            scene.writer.commit(Echo(7, None, Decided::default()), None).await.unwrap(),
            7,
            "there is room again"
        );
        scene.end().await;
    }
}
