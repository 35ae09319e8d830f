//! How much of the user's own words a brief quotes.

use super::text::misleads;
use super::tokens::TokenCounter;
use crate::api::context::ContextSource;

/// The newest words of the user, which stand in every brief.
#[derive(Debug, Default)]
pub(super) struct Request {
    /// The lines, as the user wrote them; the newest words first.
    pub(super) lines: Vec<String>,
    /// Whether that is all the user wrote.
    pub(super) whole: bool,
    pub(super) source: Option<ContextSource>,
}

/// How much of the budget the user's words may take, in percent: nearly half of a small one, less of a large one.
pub(super) fn request_share(budget: usize) -> usize {
    match budget {
        0..200 => 85,
        200..400 => 55,
        400..800 => 45,
        800..3000 => 35,
        _ => 25,
    }
}

/// The user's words, as far as they are quoted.
#[derive(Debug, Clone, Default)]
pub(super) struct Quote {
    pub(super) lines: Vec<String>,
    pub(super) whole: bool,
}

impl Quote {
    /// As much of the user's words as `room` holds: whole lines, and of a line that is too long its beginning.
    pub(super) fn of(request: &Request, counter: &dyn TokenCounter, room: usize) -> Self {
        let mut quoted = Vec::new();
        let mut used = 0;
        let lines: Vec<&String> = request.lines.iter().filter(|line| !line.trim().is_empty()).collect();
        for (place, line) in lines.iter().enumerate() {
            let line = format!("> {}", line.replace(misleads, " ").trim_end());
            let cost = counter.tenths(&line);
            let more = if place + 1 < lines.len() || !request.whole { 30 } else { 0 };
            if used + cost + more <= room {
                used += cost;
                quoted.push(line);
                continue;
            }
            if let Some(beginning) = beginning(&line, |text| used + counter.tenths(text) <= room) {
                quoted.push(beginning);
            } else if let Some(last) = quoted.last_mut() {
                last.push_str(" …");
            }
            return Self { lines: quoted, whole: false };
        }
        if !request.whole
            && let Some(last) = quoted.last_mut()
        {
            last.push_str(" …");
        }
        Self { lines: quoted, whole: request.whole }
    }

    /// What it costs without its heading, in tenths of a token.
    pub(super) fn cost(&self, counter: &dyn TokenCounter) -> usize {
        self.lines.iter().map(|line| counter.tenths(line)).sum()
    }

    /// Gives up a little of its end; false when there is nothing left of it.
    pub(super) fn shorten(&mut self) -> bool {
        self.whole = false;
        let Some(last) = self.lines.pop() else { return false };
        let letters = last.chars().count();
        if letters > 48 {
            let most = letters - letters / 8;
            self.lines.extend(beginning(&last, |text| text.chars().count() <= most));
        }
        true
    }
}

/// So many bytes of one word are no word any more.
const LONG_WORD: usize = 80;

/// The longest beginning of a quoted line that `fits`, cut behind a word unless words are very long.
fn beginning(line: &str, fits: impl Fn(&str) -> bool) -> Option<String> {
    let places: Vec<usize> = line.char_indices().map(|(at, _)| at).collect();
    // The first two characters are the mark of a quote.
    let (mut low, mut high) = (2, places.len());
    let cut_at = |count: usize| {
        let end = places.get(count).copied().unwrap_or(line.len());
        let kept = &line[..end];
        let in_word = line[end..].chars().next().is_some_and(|next| !next.is_whitespace());
        let word = kept.rfind(char::is_whitespace).filter(|_| in_word).unwrap_or(end);
        // A word without end is cut in itself; many languages write without spaces.
        let is_first = kept[..word].chars().skip(1).all(char::is_whitespace);
        if in_word && (is_first || end - word > LONG_WORD) {
            format!("{}…", kept.trim_end())
        } else {
            format!("{} …", kept[..word].trim_end())
        }
    };
    while low < high {
        let middle = (low + high).div_ceil(2);
        if fits(&cut_at(middle)) { low = middle } else { high = middle - 1 }
    }
    let kept = cut_at(low);
    let says_something = kept.chars().skip(1).any(|c| !c.is_whitespace() && c != '…');
    Some(kept).filter(|kept| says_something && fits(kept))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::context::Estimate;

    fn quoted(text: &str, room: usize) -> Quote {
        let lines = text.lines().map(str::to_owned).collect();
        Quote::of(&Request { lines, whole: true, source: None }, &Estimate, room)
    }

    #[test]
    fn what_fits_is_whole_even_where_it_ends_in_dots() {
        for text in ["and so on…", "one\n\ntwo …", "…"] {
            let quote = quoted(text, 1000);
            assert!(quote.whole, "{text}");
            assert!(quote.lines.last().is_some_and(|line| line.ends_with('…')), "{text}");
        }
    }

    #[test]
    fn what_was_cut_before_is_not_whole() {
        let request = Request { lines: vec!["the beginning".to_owned()], whole: false, source: None };
        let quote = Quote::of(&request, &Estimate, 1000);
        assert_eq!((quote.whole, quote.lines), (false, vec!["> the beginning …".to_owned()]));
    }

    #[test]
    fn a_first_word_that_is_too_long_is_cut_in_itself() {
        for text in ["wordwithoutend".repeat(5), format!("  {}", "wordwithoutend".repeat(5))] {
            let quote = quoted(&text, 120);
            assert!(quote.lines.first().is_some_and(|line| line.contains("wordw")), "{:?}", quote.lines);
        }
    }

    #[test]
    fn the_room_is_used_in_every_script() {
        for text in ["where is it ".repeat(200), "漢字".repeat(900), "x".repeat(4000), "слово ".repeat(400)]
        {
            let quote = quoted(&text, 3000);
            let cost = quote.cost(&Estimate);
            assert!(!quote.whole && cost <= 3000 && cost > 2700, "{cost} of 3000: {:?}", quote.lines);
        }
    }

    #[test]
    fn shortening_comes_to_an_end() {
        let mut quote = quoted(&"where is it ".repeat(50), 100_000);
        let mut lengths = Vec::new();
        while quote.shorten() {
            lengths.push(quote.lines.iter().map(String::len).sum::<usize>());
        }
        assert!(lengths.is_sorted_by(|a, b| a > b), "{lengths:?}");
        assert_eq!(lengths.last(), Some(&0));
    }
}
