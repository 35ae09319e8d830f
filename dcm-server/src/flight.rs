//! Reads that ask the same at the same time are carried out once.
//!
//! A read that is under way is never joined: it may have seen the store before the newcomer's own last write was
//! committed. Newcomers wait for it to end; then one of them reads, for all who wait. So an answer is never older than
//! its request, and however many ask for one thing, the store is asked for it once at a time.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use dcm::Error;
use tokio::sync::oneshot;

use crate::reply::Reply;

/// The reads that are under way, each with those who wait for the next of its kind.
#[derive(Debug, Clone, Default)]
pub(crate) struct Flights {
    waiting: Arc<Mutex<HashMap<String, Vec<oneshot::Sender<Ticket>>>>>,
}

/// What somebody who waited gets.
#[derive(Debug)]
enum Ticket {
    /// The answer that another one made for all.
    Answer(Box<Reply>),
    /// The task to make it.
    Lead(Flight),
}

/// One read that is under way. However it ends, also when its caller goes away, one of those who wait begins the next.
#[derive(Debug)]
struct Flight {
    flights: Flights,
    key: String,
    companions: Vec<oneshot::Sender<Ticket>>,
}

impl Flights {
    /// What `read` answers, or what it answered somebody else who asked for `key` and waited at the same time.
    ///
    /// A failure is not shared: everybody who waited for it tries alone.
    pub(crate) async fn share(
        &self,
        key: &str,
        read: impl Future<Output = Result<Reply, Error>>,
    ) -> Result<Reply, Error> {
        let mut flight = match self.board(key) {
            Ok(flight) => flight,
            Err(ticket) => match ticket.await {
                Ok(Ticket::Answer(reply)) => return Ok(*reply),
                Ok(Ticket::Lead(flight)) => flight,
                Err(_) => return read.await,
            },
        };
        let outcome = read.await;
        let companions = std::mem::take(&mut flight.companions);
        if let Ok(reply) = &outcome {
            for companion in companions {
                // Who went away does not need it.
                let _ = companion.send(Ticket::Answer(Box::new(reply.clone())));
            }
        }
        outcome
    }

    /// A flight of one's own, or a ticket for the next.
    fn board(&self, key: &str) -> Result<Flight, oneshot::Receiver<Ticket>> {
        let mut under_way = self.waiting.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(waiting) = under_way.get_mut(key) {
            let (sender, ticket) = oneshot::channel();
            waiting.push(sender);
            return Err(ticket);
        }
        under_way.insert(key.to_owned(), Vec::new());
        Ok(Flight { flights: self.clone(), key: key.to_owned(), companions: Vec::new() })
    }
}

impl Drop for Flight {
    fn drop(&mut self) {
        let next = {
            let mut under_way = self.flights.waiting.lock().unwrap_or_else(PoisonError::into_inner);
            let mut waiting = std::mem::take(&mut self.companions);
            waiting.append(&mut under_way.get_mut(&self.key).map(std::mem::take).unwrap_or_default());
            waiting.retain(|one| !one.is_closed());
            let next = waiting.pop();
            if next.is_none() {
                under_way.remove(&self.key);
            }
            next.map(|next| (next, waiting))
        };
        if let Some((next, companions)) = next {
            let key = std::mem::take(&mut self.key);
            // A ticket that nobody takes any more comes back, and its flight hands over in turn.
            let _ = next.send(Ticket::Lead(Self { flights: self.flights.clone(), key, companions }));
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use http_body_util::BodyExt;
    use hyper::StatusCode;
    use tokio::sync::Semaphore;
    use tokio::task::{JoinHandle, yield_now};

    use super::*;
    use crate::reply::json;

    /// Reads that are numbered, and end when the gate lets them.
    struct Desk {
        flights: Flights,
        begun: AtomicUsize,
        gate: Semaphore,
    }

    impl Desk {
        fn new() -> Arc<Self> {
            Arc::new(Self {
                flights: Flights::default(),
                begun: AtomicUsize::new(0),
                gate: Semaphore::new(0),
            })
        }

        fn ask(self: &Arc<Self>) -> JoinHandle<Result<Reply, Error>> {
            let desk = Arc::clone(self);
            tokio::spawn(async move {
                let read = async {
                    let number = desk.begun.fetch_add(1, Ordering::SeqCst);
                    desk.gate.acquire().await.unwrap().forget();
                    if number == 1 {
                        return Err(Error::not_found("Number 1"));
                    }
                    Ok(json(StatusCode::OK, number.to_string()))
                };
                desk.flights.share("GET /a", read).await
            })
        }

        /// Waits until so many reads have begun and so many callers wait for the next.
        async fn until(&self, begun: usize, waiting: usize) {
            let seen = || {
                let under_way = self.flights.waiting.lock().unwrap();
                (self.begun.load(Ordering::SeqCst), under_way.get("GET /a").map_or(0, Vec::len))
            };
            while seen() != (begun, waiting) {
                yield_now().await;
            }
        }

        fn is_idle(&self) -> bool {
            self.flights.waiting.lock().unwrap().is_empty()
        }
    }

    async fn text(caller: JoinHandle<Result<Reply, Error>>) -> String {
        let body = caller.await.unwrap().unwrap().into_body().collect().await.unwrap().to_bytes();
        String::from_utf8(body.to_vec()).unwrap()
    }

    #[tokio::test]
    async fn who_comes_while_a_read_is_under_way_shares_the_next() {
        let desk = Desk::new();
        desk.begun.store(5, Ordering::SeqCst);
        let first = desk.ask();
        desk.until(6, 0).await;
        let (second, third) = (desk.ask(), desk.ask());
        desk.until(6, 2).await;
        desk.gate.add_permits(1);
        assert_eq!(text(first).await, "5");
        desk.until(7, 0).await;
        desk.gate.add_permits(1);
        assert_eq!((text(second).await, text(third).await), ("6".to_owned(), "6".to_owned()));
        assert_eq!(desk.begun.load(Ordering::SeqCst), 7);
        assert!(desk.is_idle());
    }

    #[tokio::test]
    async fn another_reads_when_the_reader_goes_away() {
        let desk = Desk::new();
        desk.begun.store(5, Ordering::SeqCst);
        let first = desk.ask();
        desk.until(6, 0).await;
        let (second, third, fourth) = (desk.ask(), desk.ask(), desk.ask());
        desk.until(6, 3).await;
        // One that waits goes, then the reader, then the one that took over.
        third.abort();
        assert!(third.await.unwrap_err().is_cancelled());
        first.abort();
        assert!(first.await.unwrap_err().is_cancelled());
        desk.until(7, 0).await;
        fourth.abort();
        assert!(fourth.await.unwrap_err().is_cancelled());
        desk.until(8, 0).await;
        desk.gate.add_permits(1);
        assert_eq!(text(second).await, "7");
        assert!(desk.is_idle());
    }

    #[tokio::test]
    async fn a_failure_is_not_shared() {
        let desk = Desk::new();
        let first = desk.ask();
        desk.until(1, 0).await;
        let (second, third) = (desk.ask(), desk.ask());
        desk.until(1, 2).await;
        desk.gate.add_permits(3);
        assert_eq!(text(first).await, "0");
        let outcomes = [second.await.unwrap(), third.await.unwrap()];
        assert_eq!(outcomes.iter().filter(|outcome| outcome.is_err()).count(), 1, "one read was number 1");
        assert_eq!(desk.begun.load(Ordering::SeqCst), 3);
        assert!(desk.is_idle());
    }
}
