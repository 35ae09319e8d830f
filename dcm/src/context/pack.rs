//! Fills a budget with lines: every section its own share first, then whatever is worth most for its tokens.

use std::collections::HashSet;

use super::candidates::{Candidate, Candidates};
use super::quote::{Quote, Request, request_share};
use super::template::{Part, Section, Template};
use super::tokens::TokenCounter;
use crate::api::context::{BriefChoice, ContextSource};

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
    /// The lines above the sections, and what they cost.
    headings: Vec<(String, usize)>,
    items: Vec<Item<'a>>,
}

/// A line without the mark of its list or quote.
fn bare(line: &str) -> &str {
    line.trim_start_matches("> ").trim_start_matches("- ").trim_end()
}

/// What stands below a brief that does not hold everything.
const NOTICE: &str = "_Not everything fits: more is known than stands here._";

impl Packer<'_> {
    /// What an item would cost in its form `form`, with its section's heading if that is not there yet.
    fn price(&self, item: usize, form: usize) -> usize {
        let item = &self.items[item];
        let heading = if self.headed[item.section] { 0 } else { self.headings[item.section].1 };
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

    /// No line may stand twice: of equal short forms the later unfolds where that tells them apart and there is room,
    /// else it goes. What is quoted has been said already.
    fn tell_apart(&mut self, quote: &Quote, may_unfold: bool) {
        let mut said: HashSet<&str> = quote.lines.iter().map(|line| bare(line)).collect();
        let mut order: Vec<usize> = (0..self.items.len()).filter(|at| self.items[*at].is_in()).collect();
        order.sort_by(|a, b| self.items[*b].worth.total_cmp(&self.items[*a].worth).then(a.cmp(b)));
        for at in order {
            let item = &mut self.items[at];
            let (forms, now) = (&item.candidate.forms, item.costs[item.form]);
            let free = self.budget.saturating_sub(self.used) + now;
            self.used = self.used.saturating_sub(now);
            let is_new = |form: &usize| !said.contains(bare(&forms[*form]));
            let end = if may_unfold { forms.len() } else { item.form + 1 };
            let fits = |form: usize| form == item.form || item.costs[form] <= free;
            if let Some(form) = (item.form..end).find(|form| fits(*form) && is_new(form)) {
                self.used += item.costs[form];
                item.form = form;
                said.insert(bare(&forms[form]));
            } else {
                let fullest = forms.len().saturating_sub(1);
                item.fate = if is_new(&fullest) { Fate::Out } else { Fate::Duplicate };
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

/// The lines of the brief with the source of each.
fn lines<'a>(
    packer: &Packer<'a>,
    quote: &Quote,
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
            own = quote.lines.iter().map(|line| (line.clone(), request.source.as_ref())).collect();
        }
        if own.is_empty() {
            continue;
        }
        if !section.heading.is_empty() {
            lines.push((packer.headings[place].0.clone(), None));
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

fn items<'a>(
    template: &'static Template,
    counter: &dyn TokenCounter,
    candidates: &'a [Candidate],
    quote: &Quote,
) -> Vec<Item<'a>> {
    let mut seen: HashSet<&str> = quote.lines.iter().map(|line| bare(line)).collect();
    let mut items = Vec::with_capacity(candidates.len());
    for candidate in candidates {
        let place = template.sections.iter().position(|section| section.part == candidate.part);
        let Some((place, section)) = place.and_then(|place| Some((place, template.sections.get(place)?)))
        else {
            continue;
        };
        let Section { worth, .. } = section;
        let is_new = candidate.forms.last().is_none_or(|form| seen.insert(bare(form)));
        items.push(Item {
            candidate,
            section: place,
            worth: worth * candidate.score,
            costs: candidate.forms.iter().map(|form| counter.tenths(form)).collect(),
            fate: if is_new && !candidate.repeats { Fate::Out } else { Fate::Duplicate },
            form: 0,
        });
    }
    items
}

/// The line above a section, with what is noted of it.
fn heading(section: &Section, notes: &[(Part, String)]) -> String {
    let note = notes.iter().find(|(part, _)| *part == section.part);
    match (section.heading, note) {
        ("", _) => String::new(),
        (heading, Some((_, note))) => format!("## {heading} ({note})"),
        (heading, None) => format!("## {heading}"),
    }
}

/// Compiles candidates into at most `budget` tokens.
pub(super) fn pack(
    template: &'static Template,
    request: &Request,
    candidates: &Candidates,
    budget: usize,
    counter: &dyn TokenCounter,
    explain: bool,
) -> Packed {
    let title = counter.tenths(&format!("# {}", template.title));
    // One token is held back for what counting by lines may miss.
    let Some(whole) = (budget * 10).checked_sub(title + 10) else {
        return Packed { truncated: true, ..Packed::default() };
    };
    let headings: Vec<(String, usize)> = template
        .sections
        .iter()
        .map(|section| {
            let line = heading(section, &candidates.notes);
            let cost = if line.is_empty() { 0 } else { counter.tenths(&line) };
            (line, cost)
        })
        .collect();
    let place = template.sections.iter().position(|section| section.part == Part::Request);
    let request_heading = place.map_or(0, |place| headings[place].1);
    let room = (whole * request_share(budget) / 100).saturating_sub(request_heading);
    let mut quote = Quote::of(request, counter, room);
    let quote_cost = |quote: &Quote| match quote.cost(counter) {
        0 => 0,
        cost => cost + request_heading,
    };
    let items = items(template, counter, &candidates.lines, &quote);
    let notice_cost = counter.tenths(NOTICE);
    let mut packer = Packer {
        template,
        counter,
        budget: whole.saturating_sub(quote_cost(&quote) + if candidates.all { 0 } else { notice_cost }),
        used: 0,
        headed: vec![false; template.sections.len()],
        headings,
        items,
    };
    let complete = packer.everything() && candidates.all;
    let bound = |quote: &Quote| {
        let notice = if complete && quote.whole { 0 } else { notice_cost };
        whole.saturating_sub(quote_cost(quote) + notice)
    };
    packer.budget = bound(&quote);
    if !complete {
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
    packer.tell_apart(&quote, true);
    // What is left over belongs to the user's words again; with all of them there may be nothing to be noticed.
    if !quote.whole && packer.used < packer.budget {
        let room = (packer.budget - packer.used + quote_cost(&quote)).saturating_sub(request_heading);
        let all = Quote::of(request, counter, if complete { room + notice_cost } else { room });
        quote = if all.whole { all } else { Quote::of(request, counter, room) };
        packer.budget = bound(&quote);
        packer.tell_apart(&quote, true);
    }
    let notice = !(packer.is_complete() && quote.whole && candidates.all);
    let mut compiled = finish(packer, request, quote, budget, notice, explain);
    compiled.truncated |= !candidates.all;
    compiled
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
            .map(|(headed, (_, cost))| if *headed { *cost } else { 0 })
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
    mut quote: Quote,
    budget: usize,
    mut notice: bool,
    explain: bool,
) -> Packed {
    let (content, sources) = loop {
        let lines = lines(&packer, &quote, request, notice);
        let content = joined(&lines);
        // Sums of lines may lie below the cost of the whole with other counters; the bound is hard.
        if packer.counter.count(&content) <= budget {
            let sources = lines.iter().zip(1_u32..).filter_map(|((_, source), number)| {
                Some(ContextSource { line: Some(number), ..(*source)?.clone() })
            });
            break (content, sources.collect());
        }
        if notice {
            notice = false;
        } else if packer.give_up() {
            packer.tell_apart(&quote, false);
        } else if !quote.shorten() {
            break (String::new(), Vec::new());
        }
    };
    let choices = if explain {
        let of_request = request.source.as_ref().map(|source| request_choice(source, &quote, packer.counter));
        of_request.into_iter().chain(packer.items.iter().map(|item| choice(item, packer.template))).collect()
    } else {
        Vec::new()
    };
    Packed { truncated: !(packer.is_complete() && quote.whole), content, sources, choices }
}

/// What became of the user's words.
fn request_choice(source: &ContextSource, quote: &Quote, counter: &dyn TokenCounter) -> BriefChoice {
    let reason = match (quote.whole, quote.lines.is_empty()) {
        (true, _) => "the newest words of the user come first",
        (false, false) => "the newest words of the user come first, as many as fit",
        (false, true) => "not one of its words fits",
    };
    BriefChoice {
        section: Part::Request.name().to_owned(),
        kind: source.kind.clone(),
        id: source.id.clone(),
        text: quote.lines.first().cloned().unwrap_or_default(),
        worth: 100.0,
        tokens: i64::try_from(quote.cost(counter).div_ceil(10)).unwrap_or(i64::MAX),
        included: !quote.lines.is_empty(),
        reason: reason.to_owned(),
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
