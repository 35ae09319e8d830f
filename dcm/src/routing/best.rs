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
/// No offset is above nothing. So the offsets of the tools that most speaks for are found first, and after that only those
/// of tools that could still be among the best.
pub(super) fn keep_best(candidates: &mut Vec<Candidate>, tools: &Tools, weighed: &Weighed<'_>, count: usize) {
    let name = |candidate: &Candidate| &tools.get(candidate.tool).name;
    let order = |a: &Candidate, b: &Candidate| b.sum.total_cmp(&a.sum).then_with(|| name(a).cmp(name(b)));
    let settle = |some: &mut [Candidate]| {
        for candidate in some {
            candidate.sum += weighed.offset(candidate.tool);
        }
    };
    // Half of the strongest sum and more: usually a few dozen tools.
    let half = candidates.iter().map(|candidate| candidate.sum).fold(0.0, f32::max) / 2.0;
    let strong = move_ahead(candidates, 0, |sum| sum >= half);
    settle(&mut candidates[..strong]);
    let mut settled = candidates.len();
    if strong >= count && count > 0 {
        let (_, last, _) = candidates[..strong].select_nth_unstable_by(count - 1, order);
        let bar = last.sum;
        settled = move_ahead(candidates, strong, |sum| sum >= bar);
    }
    settle(&mut candidates[strong..settled]);
    candidates.truncate(settled);
    if candidates.len() > count && count > 0 {
        candidates.select_nth_unstable_by(count - 1, order);
        candidates.truncate(count);
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
