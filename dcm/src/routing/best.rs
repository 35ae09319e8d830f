//! The best of many tools, without looking at all of them to the end.

use super::evidence::Weighed;
use super::tools::Tools;

/// A tool that may be suggested.
#[derive(Debug, Clone, Copy)]
pub(super) struct Candidate {
    pub(super) tool: u32,
    pub(super) sum: f32,
}

/// Keeps the best so many, in order, with their offsets; equal ones in the order of their names, which is the same on every
/// node.
///
/// No offset is above nothing. So the offsets of as many as are wanted, of those that most speaks for, are found first; the
/// last of them is a bar, and after that only those are looked at whose sum alone reaches it.
pub(super) fn keep_best(candidates: &mut Vec<Candidate>, tools: &Tools, weighed: &Weighed<'_>, count: usize) {
    let name = |candidate: &Candidate| &tools.get(candidate.tool).name;
    let order = |a: &Candidate, b: &Candidate| b.sum.total_cmp(&a.sum).then_with(|| name(a).cmp(name(b)));
    let settle = |some: &mut [Candidate]| {
        for candidate in some {
            candidate.sum += weighed.offset(candidate.tool);
        }
    };
    if (1..candidates.len()).contains(&count) {
        candidates.select_nth_unstable_by(count - 1, |a, b| b.sum.total_cmp(&a.sum));
        settle(&mut candidates[..count]);
        let bar = candidates[..count].iter().map(|candidate| candidate.sum).fold(f32::INFINITY, f32::min);
        let settled = move_ahead(candidates, count, |sum| sum >= bar);
        settle(&mut candidates[count..settled]);
        candidates.truncate(settled);
        candidates.select_nth_unstable_by(count - 1, order);
        candidates.truncate(count);
    } else {
        settle(candidates);
    }
    candidates.sort_unstable_by(order);
}

/// Moves those of the candidates from `from` on whose sum passes to the front of them; answers where they end.
fn move_ahead(candidates: &mut [Candidate], from: usize, passes: impl Fn(f32) -> bool) -> usize {
    let mut end = from;
    for at in from..candidates.len() {
        if passes(candidates[at].sum) {
            candidates.swap(at, end);
            end += 1;
        }
    }
    end
}
