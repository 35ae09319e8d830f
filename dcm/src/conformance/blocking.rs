//! `/api/blocking` and `/api/unblock`

use super::expect::{invalid, invalid_with, must, not_found, same_order};
use super::fixture::Fixture;
use super::inputs::blocking;
use crate::api::Api;
use crate::api::blocking::{Block, BlockingCheck, BlockingDelete, BlockingGet, BlockingState, Unblock};
use crate::model::Blocking;

async fn block(api: &impl Api, input: Block) -> Blocking {
    let answer = must(api.execute(input).await, "blocking an agent");
    assert!(answer.success, "blocking says success");
    answer.blocking
}

async fn state(api: &impl Api, agent_id: &str) -> BlockingState {
    let state =
        must(api.execute(BlockingGet { agent_id: agent_id.to_owned() }).await, "how an agent is blocked");
    assert_eq!(state.agent_id, agent_id, "whose state");
    assert_eq!(state.is_blocked, !state.blocked_by.is_empty(), "is_blocked says whether anybody blocks it");
    assert_eq!(state.is_blocking, !state.blocking.is_empty(), "is_blocking says whether it blocks anybody");
    assert_eq!(
        (state.summary.blocked_by_count, state.summary.blocking_count),
        (state.blocked_by.len(), state.blocking.len()),
        "the summary counts"
    );
    state
}

async fn is_blocked(api: &impl Api, by: &str, agent: &str) -> bool {
    let input = BlockingCheck { blocker: by.to_owned(), blocked: agent.to_owned() };
    let checked = must(api.execute(input).await, "checking a blocking");
    assert_eq!((&*checked.blocker, &*checked.blocked), (by, agent), "the pair that was asked for");
    checked.is_blocked
}

/// Blocking again keeps the blocking and replaces its reason, by nothing when none is given.
pub async fn block_is_an_upsert(api: &impl Api) {
    let fixture = Fixture::new();
    let (a, b) = (fixture.name("a/a"), fixture.name("b"));
    let reason = Some("waits for the migration ☃".to_owned());
    let first = block(api, Block { reason: reason.clone(), ..blocking(&a, &b) }).await;
    assert_eq!((&first.blocked_by, &first.blocked_agent, &first.reason), (&a, &b, &reason), "as given");
    let found = state(api, &b).await;
    assert_eq!(found.blocked_by[0].reason, reason, "the reason is kept");
    let second = block(api, blocking(&a, &b)).await;
    assert_eq!((second.id, second.reason), (first.id, None), "the blocking is kept, its reason dropped");
    let found = state(api, &b).await;
    assert_eq!(found.summary.blocked_by_count, 1, "there is one blocking");
    assert_eq!(
        (found.blocked_by[0].id, &found.blocked_by[0].reason),
        (first.id, &None),
        "and no reason any more"
    );
}

/// Both sides of a blocking are told, the latest first; cycles are allowed.
pub async fn both_sides_are_told(api: &impl Api) {
    let fixture = Fixture::new();
    let [a, b, c] = [fixture.name("a"), fixture.name("b"), fixture.name("c")];
    assert!(!state(api, &a).await.is_blocked, "nobody blocks an agent that nothing was heard of");
    let ab = block(api, blocking(&a, &b)).await.id;
    let cb = block(api, blocking(&c, &b)).await.id;
    let ac = block(api, blocking(&a, &c)).await.id;
    let ba = block(api, blocking(&b, &a)).await.id;
    let of_b = state(api, &b).await;
    let blockers: Vec<_> = of_b.blocked_by.iter().map(|one| (one.id, &one.by_agent)).collect();
    same_order(&blockers, &[(cb, &c), (ab, &a)], "who blocks b, the latest first");
    let blocked: Vec<_> = of_b.blocking.iter().map(|one| (one.id, &one.agent)).collect();
    same_order(&blocked, &[(ba, &a)], "whom b blocks");
    let of_a = state(api, &a).await;
    let blocked: Vec<_> = of_a.blocking.iter().map(|one| (one.id, &one.agent)).collect();
    same_order(&blocked, &[(ac, &c), (ab, &b)], "whom a blocks, the latest first");
}

/// A check answers for the pair in its direction.
pub async fn check_has_a_direction(api: &impl Api) {
    let fixture = Fixture::new();
    let (a, b) = (fixture.name("a"), fixture.name("b"));
    assert!(!is_blocked(api, &a, &b).await, "nothing is blocked yet");
    block(api, blocking(&a, &b)).await;
    assert!(is_blocked(api, &a, &b).await, "a blocks b");
    assert!(!is_blocked(api, &b, &a).await, "b does not block a");
    let input = BlockingCheck { blocker: String::new(), blocked: b };
    invalid_with(api.execute(input).await, "Missing required query params: blocker and blocked");
}

/// A blocking is removed once, by its id or by the pair.
pub async fn unblocking_removes_once(api: &impl Api) {
    let fixture = Fixture::new();
    let [a, b, c] = [fixture.name("a"), fixture.name("b"), fixture.name("c")];
    let reason = Some("because".to_owned());
    let by_id = block(api, Block { reason: reason.clone(), ..blocking(&a, &b) }).await.id;
    let by_pair = block(api, blocking(&a, &c)).await.id;
    let removed = must(api.execute(BlockingDelete { id: by_id }).await, "deleting a blocking");
    assert!(removed.success, "a removal says success");
    let removed = removed.unblocked;
    assert_eq!(
        (removed.id, &removed.blocked_by, &removed.blocked_agent, &removed.reason),
        (by_id, &a, &b, &reason),
        "what was removed"
    );
    not_found(api.execute(BlockingDelete { id: by_id }).await, "Blocking record not found");
    not_found(api.execute(BlockingDelete { id: fixture.unknown() }).await, "Blocking record not found");
    let unblock =
        |by: &str, agent: &str| Unblock { blocked_by: by.to_owned(), blocked_agent: agent.to_owned() };
    not_found(api.execute(unblock(&c, &a)).await, "Blocking record not found");
    let removed = must(api.execute(unblock(&a, &c)).await, "unblocking an agent").unblocked;
    assert_eq!(removed.id, by_pair, "what was removed");
    not_found(api.execute(unblock(&a, &c)).await, "Blocking record not found");
    assert!(!is_blocked(api, &a, &b).await && !is_blocked(api, &a, &c).await, "nothing is blocked any more");
    assert!(!state(api, &a).await.is_blocking, "a blocks nobody any more");
}

/// An agent cannot block itself; bad names and long reasons are a 400 that names the field.
pub async fn bad_input_names_the_field(api: &impl Api) {
    let fixture = Fixture::new();
    let (a, b) = (fixture.name("a"), fixture.name("b"));
    invalid_with(api.execute(blocking(&a, &a)).await, "An agent cannot block itself");
    invalid(api.execute(blocking("", &b)).await, "blocked_by");
    invalid(api.execute(blocking(&a, "")).await, "blocked_agent");
    invalid(api.execute(blocking(&a, &"b".repeat(256))).await, "blocked_agent");
    invalid(api.execute(Block { reason: Some("r".repeat(501)), ..blocking(&a, &b) }).await, "reason");
    assert!(!state(api, &a).await.is_blocking, "nothing of it was stored");
    let longest = Some("ü".repeat(500));
    assert_eq!(
        block(api, Block { reason: longest.clone(), ..blocking(&a, &b) }).await.reason,
        longest,
        "500 fit"
    );
}
