//! Fills a budget with lines: every section its own share first, then whatever is worth most for its tokens.

use std::collections::HashSet;

use super::candidates::Candidate;
use super::template::{Part, Section, Template};
use super::tokens::TokenCounter;
use crate::api::context::{BriefChoice, ContextSource};

/// The newest words of the user, which stand in every brief.
#[derive(Debug, Default)]
pub(super) struct Request {
    /// The lines, as the user wrote them; the newest words first.
    pub(super) lines: Vec<String>,
    pub(super) source: Option<ContextSource>,
}

/// A brief with what became of each candidate.
#[derive(Debug, Default)]
pub(super) struct Packed {
    pub(super) content: String,
    pub(super) truncated: bool,
    pub(super) sources: Vec<ContextSource>,
    pub(super) choices: Vec<BriefChoice>,
}

/// Why a candidate is in or out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fate {
    Out,
    Duplicate,
    Share,
    Worth,
}

struct Item<'a> {
    candidate: &'a Candidate,
    section: usize,
    worth: f64,
    /// What each of its forms costs, in tenths of a token.
    costs: Vec<usize>,
    fate: Fate,
    form: usize,
}

impl Item<'_> {
    fn is_in(&self) -> bool {
        matches!(self.fate, Fate::Share | Fate::Worth)
    }

    #[expect(clippy::cast_precision_loss, reason = "costs are small")]
    fn density(&self) -> f64 {
        self.worth / self.costs[0].max(1) as f64
    }
}

struct Packer<'a> {
    template: &'static Template,
    counter: &'a dyn TokenCounter,
    /// In tenths of a token.
    budget: usize,
    used: usize,
    headed: Vec<bool>,
    headings: Vec<usize>,
    items: Vec<Item<'a>>,
}

/// What stands below a brief that does not hold everything.
const NOTICE: &str = "_Not everything fits: more is known than stands here._";

impl Packer<'_> {
    /// What an item would cost in its form `form`, with its section's heading if that is not there yet.
    fn price(&self, item: usize, form: usize) -> usize {
        let item = &self.items[item];
        let heading = if self.headed[item.section] { 0 } else { self.headings[item.section] };
        item.costs[form] + heading
    }

    fn take(&mut self, item: usize, fate: Fate) -> bool {
        let price = self.price(item, 0);
        if self.used + price > self.budget {
            return false;
        }
        self.used += price;
        self.headed[self.items[item].section] = true;
        self.items[item].fate = fate;
        true
    }

    /// Gives each section what is its own, the best of its lines first.
    fn shares(&mut self, by_density: &[usize], whole: usize) {
        for (place, section) in self.template.sections.iter().enumerate() {
            let share = whole * section.floor / 100;
            let mut spent = 0;
            for &item in by_density {
                if self.items[item].section != place {
                    continue;
                }
                let price = self.price(item, 0);
                if spent + price <= share && self.take(item, Fate::Share) {
                    spent += price;
                }
            }
        }
    }

    /// Replaces short forms by fuller ones as long as there is room.
    fn unfold(&mut self) {
        let mut order: Vec<usize> = (0..self.items.len()).filter(|item| self.items[*item].is_in()).collect();
        order.sort_by(|a, b| self.items[*b].worth.total_cmp(&self.items[*a].worth).then(a.cmp(b)));
        for form in 1..=self.items.iter().map(|item| item.costs.len()).max().unwrap_or(0) {
            for &at in &order {
                let item = &self.items[at];
                if form >= item.costs.len() || item.form + 1 != form {
                    continue;
                }
                let more = item.costs[form].saturating_sub(item.costs[form - 1]);
                if self.used + more <= self.budget {
                    self.used += more;
                    self.items[at].form = form;
                }
            }
        }
    }

    fn is_complete(&self) -> bool {
        self.items
            .iter()
            .all(|item| item.fate == Fate::Duplicate || (item.is_in() && item.form + 1 == item.costs.len()))
    }

    /// Takes the least worthy line out again; false when there is none.
    fn give_up(&mut self) -> bool {
        let least = (0..self.items.len()).filter(|at| self.items[*at].is_in());
        let least =
            least.min_by(|a, b| self.items[*a].density().total_cmp(&self.items[*b].density()).then(b.cmp(a)));
        let Some(at) = least else { return false };
        if self.items[at].form > 0 {
            self.items[at].form -= 1;
        } else {
            self.items[at].fate = Fate::Out;
        }
        true
    }
}

/// As much of the user's words as may be quoted: whole lines, and of a line that is too long its beginning.
fn quote(request: &Request, counter: &dyn TokenCounter, room: usize) -> (Vec<String>, bool) {
    let mut quoted = Vec::new();
    let mut used = 0;
    let lines: Vec<&String> = request.lines.iter().filter(|line| !line.trim().is_empty()).collect();
    for (place, line) in lines.iter().enumerate() {
        let line = format!("> {}", line.replace(char::is_control, " ").trim_end());
        let cost = counter.tenths(&line);
        let more = if place + 1 < lines.len() { 30 } else { 0 };
        if used + cost + more <= room {
            used += cost;
            quoted.push(line);
            continue;
        }
        // Halving finds how many words fit; the cut falls behind a word.
        let words: Vec<&str> = line.split(' ').collect();
        let shortened = |count: usize| format!("{} …", words[..count].join(" "));
        let fits = |count: usize| used + counter.tenths(&shortened(count)) <= room;
        let (mut low, mut high) = (1, words.len());
        while low < high {
            let middle = (low + high).div_ceil(2);
            if fits(middle) { low = middle } else { high = middle - 1 }
        }
        if low > 1 && fits(low) {
            quoted.push(shortened(low));
        } else if let Some(word) = words.get(1).filter(|_| quoted.is_empty()) {
            // One word without end.
            let mut kept = (*word).to_owned();
            while !kept.is_empty() && used + counter.tenths(&format!("> {kept}…")) > room {
                let half = kept.chars().count() / 2;
                kept = kept.chars().take(half).collect();
            }
            if !kept.is_empty() {
                quoted.push(format!("> {kept}…"));
            }
        } else if let Some(last) = quoted.last_mut() {
            last.push_str(" …");
        }
        return (quoted, false);
    }
    (quoted, true)
}

/// The lines of the brief with the source of each.
fn lines<'a>(
    packer: &Packer<'a>,
    quoted: &[String],
    request: &'a Request,
    notice: bool,
) -> Vec<(String, Option<&'a ContextSource>)> {
    let mut lines: Vec<(String, Option<&ContextSource>)> =
        vec![(format!("# {}", packer.template.title), None)];
    for (place, section) in packer.template.sections.iter().enumerate() {
        let mut own: Vec<(String, Option<&ContextSource>)> = packer
            .items
            .iter()
            .filter(|item| item.section == place && item.is_in())
            .map(|item| (item.candidate.forms[item.form].clone(), Some(&item.candidate.source)))
            .collect();
        if section.part == Part::Request {
            own = quoted.iter().map(|line| (line.clone(), request.source.as_ref())).collect();
        }
        if own.is_empty() {
            continue;
        }
        if !section.heading.is_empty() {
            lines.push((format!("## {}", section.heading), None));
        }
        lines.append(&mut own);
    }
    if notice {
        lines.push((NOTICE.to_owned(), None));
    }
    lines
}

fn joined(lines: &[(String, Option<&ContextSource>)]) -> String {
    let mut content = String::new();
    for (line, _) in lines {
        if !content.is_empty() {
            content.push('\n');
        }
        content.push_str(line);
    }
    content
}

/// How much of the budget the user's words may take, in percent: nearly half of a small one, less of a large one.
fn request_share(budget: usize) -> usize {
    match budget {
        0..200 => 85,
        200..400 => 55,
        400..800 => 45,
        800..3000 => 35,
        _ => 25,
    }
}

fn items<'a>(
    template: &'static Template,
    counter: &dyn TokenCounter,
    candidates: &'a [Candidate],
    quoted: &[String],
) -> Vec<Item<'a>> {
    let mut seen: HashSet<&str> = quoted.iter().map(|line| line.trim_start_matches("> ")).collect();
    let mut items = Vec::with_capacity(candidates.len());
    for candidate in candidates {
        let place = template.sections.iter().position(|section| section.part == candidate.part);
        let Some((place, section)) = place.and_then(|place| Some((place, template.sections.get(place)?)))
        else {
            continue;
        };
        let Section { worth, .. } = section;
        let is_new = candidate.forms.last().is_none_or(|form| seen.insert(form.trim_start_matches("- ")));
        items.push(Item {
            candidate,
            section: place,
            worth: worth * candidate.score,
            costs: candidate.forms.iter().map(|form| counter.tenths(form)).collect(),
            fate: if is_new { Fate::Out } else { Fate::Duplicate },
            form: 0,
        });
    }
    items
}

/// Compiles candidates into at most `budget` tokens.
pub(super) fn pack(
    template: &'static Template,
    request: &Request,
    candidates: &[Candidate],
    budget: usize,
    counter: &dyn TokenCounter,
    explain: bool,
) -> Packed {
    let title = counter.tenths(&format!("# {}", template.title));
    // One token is held back for what counting by lines may miss.
    let Some(whole) = (budget * 10).checked_sub(title + 10) else {
        return Packed { truncated: true, ..Packed::default() };
    };
    let request_heading = template.sections.iter().find(|section| section.part == Part::Request);
    let request_heading =
        request_heading.map_or(0, |section| counter.tenths(&format!("## {}", section.heading)));
    let room = (whole * request_share(budget) / 100).saturating_sub(request_heading);
    let (quoted, whole_request) = quote(request, counter, room);
    let quote_cost: usize = quoted.iter().map(|line| counter.tenths(line)).sum::<usize>()
        + if quoted.is_empty() { 0 } else { request_heading };
    let items = items(template, counter, candidates, &quoted);
    let headings = template.sections.iter().map(|section| match section.heading {
        "" => 0,
        heading => counter.tenths(&format!("## {heading}")),
    });
    let mut packer = Packer {
        template,
        counter,
        budget: whole.saturating_sub(quote_cost),
        used: 0,
        headed: vec![false; template.sections.len()],
        headings: headings.collect(),
        items,
    };
    let complete = packer.everything();
    let notice = !(complete && whole_request);
    if !complete {
        let notice_cost = counter.tenths(NOTICE);
        packer.budget = packer.budget.saturating_sub(notice_cost);
        let mut by_density: Vec<usize> =
            (0..packer.items.len()).filter(|at| packer.items[*at].fate == Fate::Out).collect();
        by_density
            .sort_by(|a, b| packer.items[*b].density().total_cmp(&packer.items[*a].density()).then(a.cmp(b)));
        packer.shares(&by_density, whole);
        for &item in &by_density {
            if packer.items[item].fate == Fate::Out {
                packer.take(item, Fate::Worth);
            }
        }
        packer.unfold();
    }
    finish(packer, request, &quoted, budget, notice, explain)
}

impl Packer<'_> {
    /// Takes everything in its fullest form, if it fits.
    fn everything(&mut self) -> bool {
        let wanted = |item: &&Item<'_>| item.fate != Fate::Duplicate;
        let mut headed = vec![false; self.headed.len()];
        let mut sum = 0;
        for item in self.items.iter().filter(wanted) {
            sum += item.costs.last().copied().unwrap_or(0);
            headed[item.section] = true;
        }
        sum += headed
            .iter()
            .zip(&self.headings)
            .map(|(headed, cost)| if *headed { *cost } else { 0 })
            .sum::<usize>();
        if sum > self.budget {
            return false;
        }
        for item in &mut self.items {
            if item.fate != Fate::Duplicate {
                item.fate = Fate::Worth;
                item.form = item.costs.len().saturating_sub(1);
            }
        }
        (self.used, self.headed) = (sum, headed);
        true
    }
}

fn finish(
    mut packer: Packer<'_>,
    request: &Request,
    quoted: &[String],
    budget: usize,
    notice: bool,
    explain: bool,
) -> Packed {
    let mut notice = notice && packer.budget > packer.used.saturating_sub(1);
    let mut quoted = quoted.to_vec();
    let (content, sources) = loop {
        let lines = lines(&packer, &quoted, request, notice);
        let content = joined(&lines);
        // Sums of lines may lie below the cost of the whole with other counters; the bound is hard.
        if packer.counter.count(&content) <= budget {
            let sources = lines.iter().zip(1_u32..).filter_map(|((_, source), number)| {
                Some(ContextSource { line: Some(number), ..(*source)?.clone() })
            });
            break (content, sources.collect::<Vec<_>>());
        }
        if notice {
            notice = false;
        } else if !packer.give_up() && quoted.pop().is_none() {
            break (String::new(), Vec::new());
        }
    };
    let relevance = |source: &ContextSource| {
        let item = packer
            .items
            .iter()
            .find(|item| item.candidate.source.id == source.id && item.candidate.source.kind == source.kind);
        item.map_or(1.0, |item| (item.candidate.score * 100.0).round() / 100.0)
    };
    let sources = sources.into_iter().map(|source| ContextSource { relevance: relevance(&source), ..source });
    let choices = if explain {
        packer.items.iter().map(|item| choice(item, packer.template)).collect()
    } else {
        Vec::new()
    };
    Packed {
        truncated: !packer.is_complete()
            || quoted.len() < request.lines.iter().filter(|line| !line.trim().is_empty()).count()
            || quoted.last().is_some_and(|line| line.ends_with('…')),
        content,
        sources: sources.collect(),
        choices,
    }
}

fn choice(item: &Item<'_>, template: &Template) -> BriefChoice {
    let reason = match item.fate {
        Fate::Out => "what fits is worth more for its tokens",
        Fate::Duplicate => "it is said already",
        Fate::Share => "within the share of its section",
        Fate::Worth => "by its worth for its tokens",
    };
    BriefChoice {
        section: template.sections[item.section].part.name().to_owned(),
        kind: item.candidate.source.kind.clone(),
        id: item.candidate.source.id.clone(),
        text: item.candidate.forms[item.form].clone(),
        worth: (item.worth * 100.0).round() / 100.0,
        tokens: i64::try_from(item.costs[item.form].div_ceil(10)).unwrap_or(i64::MAX),
        included: item.is_in(),
        reason: reason.to_owned(),
    }
}
