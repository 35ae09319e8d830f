//! Several requests on one connection without waiting for each answer.

use std::future::{Future, poll_fn};
use std::pin::Pin;
use std::task::{Context, Poll};

/// One request: it is sent when it is polled for the first time.
pub(super) type Request<'a, T, E> = Pin<Box<dyn Future<Output = Result<T, E>> + Send + 'a>>;

struct InFlight<'a, T, E> {
    request: Request<'a, T, E>,
    answer: Option<Result<T, E>>,
}

impl<'a, T, E> InFlight<'a, T, E> {
    fn new(request: Request<'a, T, E>) -> Self {
        Self { request, answer: None }
    }

    fn poll(&mut self, cx: &mut Context<'_>) {
        if self.answer.is_none()
            && let Poll::Ready(answer) = self.request.as_mut().poll(cx)
        {
            self.answer = Some(answer);
        }
    }
}

/// Sends `requests` in their order, then collects every answer.
pub(super) async fn send_all<T, E>(requests: Vec<Request<'_, T, E>>) -> Vec<Result<T, E>> {
    let mut flight: Vec<_> = requests.into_iter().map(InFlight::new).collect();
    poll_fn(|cx| {
        for item in &mut flight {
            item.poll(cx);
        }
        if flight.iter().all(|item| item.answer.is_some()) { Poll::Ready(()) } else { Poll::Pending }
    })
    .await;
    flight.into_iter().filter_map(|item| item.answer).collect()
}

/// Sends `requests` in their order and `last` behind them, then collects every answer.
///
/// When one of `requests` fails before it is sent, `last` is not sent, and has no answer.
pub(super) async fn send_all_then<T, E>(
    requests: Vec<Request<'_, T, E>>,
    last: Request<'_, T, E>,
) -> (Vec<Result<T, E>>, Option<Result<T, E>>) {
    let mut flight: Vec<_> = requests.into_iter().map(InFlight::new).collect();
    let mut last = InFlight::new(last);
    let mut is_last_wanted = None;
    poll_fn(|cx| {
        for item in &mut flight {
            item.poll(cx);
        }
        // Only the first round sends; what fails in it was never sent.
        let is_wanted = *is_last_wanted
            .get_or_insert_with(|| !flight.iter().any(|item| matches!(item.answer, Some(Err(_)))));
        if is_wanted {
            last.poll(cx);
        }
        let is_done =
            (!is_wanted || last.answer.is_some()) && flight.iter().all(|item| item.answer.is_some());
        if is_done { Poll::Ready(()) } else { Poll::Pending }
    })
    .await;
    (flight.into_iter().filter_map(|item| item.answer).collect(), last.answer)
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use super::*;

    /// Notes when it is sent, and is answered in the second round.
    fn request<'a>(
        log: &'a Mutex<Vec<&'static str>>,
        name: &'static str,
        at_once: Option<Result<(), ()>>,
    ) -> Request<'a, (), ()> {
        let mut is_sent = false;
        Box::pin(poll_fn(move |cx| {
            if !is_sent {
                is_sent = true;
                log.lock().unwrap().push(name);
                if at_once.is_none() {
                    cx.waker().wake_by_ref();
                    return Poll::Pending;
                }
            }
            Poll::Ready(at_once.unwrap_or(Ok(())))
        }))
    }

    #[tokio::test]
    async fn requests_are_sent_in_order() {
        let log = Mutex::new(Vec::new());
        let requests = vec![request(&log, "a", None), request(&log, "b", None)];
        let (answers, last) = send_all_then(requests, request(&log, "commit", None)).await;
        assert_eq!((answers, last), (vec![Ok(()), Ok(())], Some(Ok(()))));
        assert_eq!(*log.lock().unwrap(), ["a", "b", "commit"]);
    }

    #[tokio::test]
    async fn nothing_is_committed_when_a_request_could_not_be_sent() {
        let log = Mutex::new(Vec::new());
        let requests = vec![request(&log, "a", None), request(&log, "b", Some(Err(())))];
        let (answers, last) = send_all_then(requests, request(&log, "commit", None)).await;
        assert_eq!((answers, last), (vec![Ok(()), Err(())], None));
        assert_eq!(*log.lock().unwrap(), ["a", "b"]);
    }
}
