//! Reads the files of named queries.
//!
//! ```sql
//! -- name: task_list
//! -- Other comments say why.
//! select id, name from task_lists
//! where true
//!     and request_id = :request_id --? request_id
//!     and status in (:statuses*) --? statuses
//! order by created_at
//! limit :limit
//! ```
//!
//! - `-- name: x` begins a query; it ends at the next one.
//! - `:x` is a parameter, `in (:x*)` tests whether a value is in the list parameter `x`.
//! - A line that ends in `--? a b` is kept only when the parameters `a` and `b` are present and not null.
//! - Casts (`::text`), literals, quoted names and other comments are left alone.

use super::registry::Dialect;

/// More optional parameters than this are a mistake: every combination is a query text of its own.
const MAX_OPTIONAL: usize = 10;

/// A query as it stands in its file.
#[derive(Debug, PartialEq)]
pub(super) struct Template {
    pub(super) name: String,
    /// The parameters that decide about lines; their positions are the bits of a mask.
    pub(super) optional: Vec<String>,
    lines: Vec<Line>,
}

#[derive(Debug, Default, PartialEq)]
struct Line {
    pieces: Vec<Piece>,
    /// The optional parameters that must be present.
    needs: u32,
}

#[derive(Debug, PartialEq)]
enum Piece {
    Text(String),
    Param(String),
    List(String),
}

/// A parameter of a query text; its position is its number, less one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Param {
    /// The name, without colon.
    pub(crate) name: String,
    /// Whether it was written as `in (:name*)`.
    pub(crate) list: bool,
}

/// The queries of `text`, or a complaint for the programmer.
pub(super) fn parse(text: &str) -> Result<Vec<Template>, String> {
    let mut templates = Vec::new();
    let mut current: Option<(String, String)> = None;
    for line in text.lines() {
        if let Some(name) = line.strip_prefix("-- name:") {
            if let Some((name, body)) = current.take() {
                templates.push(template(name, &body)?);
            }
            let name = name.trim();
            if name.is_empty() || !name.chars().all(is_name) {
                return Err(format!("{name:?} cannot be the name of a query"));
            }
            current = Some((name.to_owned(), String::new()));
        } else if let Some((_, body)) = &mut current {
            body.push_str(line);
            body.push('\n');
        } else if !line.trim().is_empty() && !line.starts_with("--") {
            return Err(format!("{line:?} belongs to no query"));
        }
    }
    if let Some((name, body)) = current {
        templates.push(template(name, &body)?);
    }
    Ok(templates)
}

fn template(name: String, body: &str) -> Result<Template, String> {
    let mut scanner = Scanner { rest: body, optional: Vec::new(), lines: Vec::new(), line: Line::default() };
    scanner.scan().map_err(|complaint| format!("query {name}: {complaint}"))?;
    let Scanner { optional, mut lines, .. } = scanner;
    if let Some(Piece::Text(text)) = lines.last_mut().and_then(|line| line.pieces.last_mut()) {
        text.truncate(text.trim_end_matches(';').len());
    }
    if lines.is_empty() {
        return Err(format!("query {name} is empty"));
    }
    Ok(Template { name, optional, lines })
}

struct Scanner<'a> {
    rest: &'a str,
    optional: Vec<String>,
    lines: Vec<Line>,
    line: Line,
}

impl<'a> Scanner<'a> {
    fn scan(&mut self) -> Result<(), String> {
        while let Some(first) = self.rest.chars().next() {
            match first {
                '\n' => {
                    self.rest = &self.rest[1..];
                    self.end_line();
                }
                '\'' | '"' => self.quoted(first)?,
                '-' if self.rest.starts_with("--") => self.comment()?,
                ':' if self.rest.starts_with("::") => self.text(2),
                ':' if self.rest[1..].starts_with(|first: char| first.is_ascii_lowercase()) => {
                    self.param()?;
                }
                '$' if self.rest.starts_with("$$") => {
                    let length = self.rest[2..].find("$$").ok_or("a $$ is never closed")?;
                    self.text(length + 4);
                }
                other => self.text(other.len_utf8()),
            }
        }
        self.end_line();
        Ok(())
    }

    /// Takes the next `length` bytes as they are.
    fn text(&mut self, length: usize) {
        let (taken, rest) = self.rest.split_at(length);
        self.rest = rest;
        match self.line.pieces.last_mut() {
            Some(Piece::Text(text)) => text.push_str(taken),
            _ => self.line.pieces.push(Piece::Text(taken.to_owned())),
        }
    }

    /// A literal or a quoted name; a doubled quote inside reads as the end of one and the start of the next.
    fn quoted(&mut self, quote: char) -> Result<(), String> {
        let length = self.rest[1..].find(quote).ok_or_else(|| format!("a {quote} is never closed"))?;
        self.text(length + 2);
        Ok(())
    }

    fn comment(&mut self) -> Result<(), String> {
        let (comment, rest) = self.rest.split_at(self.rest.find('\n').unwrap_or(self.rest.len()));
        self.rest = rest;
        let Some(names) = comment.strip_prefix("--?") else { return Ok(()) };
        if names.trim().is_empty() {
            return Err("--? without the name of a parameter".to_owned());
        }
        for name in names.split_whitespace() {
            if !name.chars().all(is_name) {
                return Err(format!("{name:?} cannot be the name of a parameter"));
            }
            let bit = if let Some(bit) = self.optional.iter().position(|known| known == name) {
                bit
            } else {
                self.optional.push(name.to_owned());
                self.optional.len() - 1
            };
            if bit >= MAX_OPTIONAL {
                return Err(format!("more than {MAX_OPTIONAL} optional parameters"));
            }
            self.line.needs |= 1 << bit;
        }
        Ok(())
    }

    fn param(&mut self) -> Result<(), String> {
        let named = &self.rest[1..];
        let (name, rest) = named.split_at(named.find(|letter| !is_name(letter)).unwrap_or(named.len()));
        self.rest = rest;
        let piece = match rest.strip_prefix('*') {
            Some(rest) => self.list(name, rest)?,
            None => Piece::Param(name.to_owned()),
        };
        self.line.pieces.push(piece);
        Ok(())
    }

    /// Takes the `in (` before a list parameter and the `)` behind it; `rest` is what follows its star.
    fn list(&mut self, name: &str, rest: &'a str) -> Result<Piece, String> {
        let complaint = || format!("list parameter {name} must stand alone in `in (:{name}*)`");
        self.rest = rest.trim_start_matches(' ').strip_prefix(')').ok_or_else(complaint)?;
        let Some(Piece::Text(before)) = self.line.pieces.last_mut() else { return Err(complaint()) };
        let kept = before.trim_end().strip_suffix('(').ok_or_else(complaint)?.trim_end();
        let kept = kept.strip_suffix("in").filter(|kept| kept.ends_with(' ')).ok_or_else(complaint)?;
        if kept.trim_end().ends_with("not") {
            return Err(format!("`not in` with list parameter {name}; write `not (… in …)`"));
        }
        before.truncate(kept.len());
        Ok(Piece::List(name.to_owned()))
    }

    fn end_line(&mut self) {
        let mut line = std::mem::take(&mut self.line);
        if let Some(Piece::Text(text)) = line.pieces.last_mut() {
            text.truncate(text.trim_end().len());
        }
        line.pieces.retain(|piece| !matches!(piece, Piece::Text(text) if text.is_empty()));
        if !line.pieces.is_empty() {
            self.lines.push(line);
        }
    }
}

fn is_name(letter: char) -> bool {
    letter.is_ascii_lowercase() || letter.is_ascii_digit() || letter == '_'
}

impl Template {
    /// The names of all parameters, in any variant.
    pub(super) fn param_names(&self) -> Vec<String> {
        let mut names = self.optional.clone();
        for piece in self.lines.iter().flat_map(|line| &line.pieces) {
            if let Piece::Param(name) | Piece::List(name) = piece
                && !names.contains(name)
            {
                names.push(name.clone());
            }
        }
        names
    }

    /// The text in `dialect` with the optional parameters of `present`, and its parameters in order.
    pub(super) fn render(&self, dialect: Dialect, present: u32) -> (String, Vec<Param>) {
        let mut sql = String::new();
        let mut params: Vec<Param> = Vec::new();
        for line in self.lines.iter().filter(|line| line.needs & !present == 0) {
            if !sql.is_empty() {
                sql.push('\n');
            }
            for piece in &line.pieces {
                let (name, list) = match piece {
                    Piece::Text(text) => {
                        sql.push_str(text);
                        continue;
                    }
                    Piece::Param(name) => (name, false),
                    Piece::List(name) => (name, true),
                };
                let known = params.iter().position(|param| param.name == *name && param.list == list);
                let number = known.unwrap_or_else(|| {
                    params.push(Param { name: name.clone(), list });
                    params.len() - 1
                }) + 1;
                let (before, after) = match (dialect, list) {
                    (Dialect::Sqlite, false) => ("?", ""),
                    (Dialect::Sqlite, true) => ("in rarray(?", ")"),
                    (Dialect::Postgres, false) => ("$", ""),
                    (Dialect::Postgres, true) => ("= any($", ")"),
                };
                sql.push_str(before);
                sql.push_str(&number.to_string());
                sql.push_str(after);
            }
        }
        (sql, params)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn one(body: &str) -> Template {
        let mut templates = parse(&format!("-- name: q\n{body}")).unwrap();
        assert_eq!(templates.len(), 1);
        templates.remove(0)
    }

    fn sqlite(body: &str, present: u32) -> (String, Vec<String>) {
        let (sql, params) = one(body).render(Dialect::Sqlite, present);
        (sql, params.into_iter().map(|param| param.name).collect())
    }

    #[test]
    fn a_file_holds_several_queries_and_comments() {
        let text =
            "-- About.\n\n-- name: first\n-- why\nselect 1;\n\n-- name: second\nselect 2, -- two\n    3\n";
        let templates = parse(text).unwrap();
        assert_eq!(
            templates.iter().map(|query| query.name.as_str()).collect::<Vec<_>>(),
            ["first", "second"]
        );
        assert_eq!(templates[0].render(Dialect::Sqlite, 0).0, "select 1");
        assert_eq!(templates[1].render(Dialect::Sqlite, 0).0, "select 2,\n    3");
    }

    #[test]
    fn a_parameter_has_one_number() {
        let body = "select :a, :b, :a";
        let (sql, params) = one(body).render(Dialect::Postgres, 0);
        assert_eq!(sql, "select $1, $2, $1");
        assert_eq!(params.len(), 2);
        assert_eq!(sqlite(body, 0), ("select ?1, ?2, ?1".into(), vec!["a".into(), "b".into()]));
    }

    #[test]
    fn casts_and_literals_are_not_parameters() {
        let (sql, params) = one("select :a::text, x::jsonb, ':no', 'it''s :no', \":no\", $$ :no $$, t[1:2]")
            .render(Dialect::Postgres, 0);
        assert_eq!(sql, "select $1::text, x::jsonb, ':no', 'it''s :no', \":no\", $$ :no $$, t[1:2]");
        assert_eq!(params.len(), 1);
    }

    #[test]
    fn a_literal_may_hold_dashes_and_line_ends() {
        assert_eq!(sqlite("select '--? a\nb', :c", 0).0, "select '--? a\nb', ?1");
    }

    #[test]
    fn optional_lines_come_and_go() {
        let body = "select 1 where true\n  and a = :a --? a\n  and b in (:b*) and c = :c --? b c\nlimit :n";
        let template = one(body);
        assert_eq!(template.optional, ["a", "b", "c"]);
        assert_eq!(template.param_names(), ["a", "b", "c", "n"]);
        assert_eq!(sqlite(body, 0), ("select 1 where true\nlimit ?1".into(), vec!["n".into()]));
        assert_eq!(sqlite(body, 0b001).0, "select 1 where true\n  and a = ?1\nlimit ?2");
        assert_eq!(sqlite(body, 0b010).0, "select 1 where true\nlimit ?1");
        assert_eq!(
            sqlite(body, 0b111).0,
            "select 1 where true\n  and a = ?1\n  and b in rarray(?2) and c = ?3\nlimit ?4"
        );
    }

    #[test]
    fn lists_have_a_form_in_each_dialect() {
        let template = one("select 1 from t where id in (:ids*) or (x in ( :ids* ))");
        let (sql, params) = template.render(Dialect::Postgres, 0);
        assert_eq!(sql, "select 1 from t where id = any($1) or (x = any($1))");
        assert_eq!(params, [Param { name: "ids".into(), list: true }]);
        assert_eq!(
            template.render(Dialect::Sqlite, 0).0,
            "select 1 from t where id in rarray(?1) or (x in rarray(?1))"
        );
    }

    #[test]
    fn a_list_that_is_also_bound_whole_is_two_parameters() {
        let (sql, params) = one("select :x where a in (:x*)").render(Dialect::Sqlite, 0);
        assert_eq!(sql, "select ?1 where a in rarray(?2)");
        assert_eq!(params.iter().map(|param| param.list).collect::<Vec<_>>(), [false, true]);
    }

    #[test]
    fn mistakes_are_named() {
        for (text, complaint) in [
            ("select 1", "belongs to no query"),
            ("-- name: a b\nselect 1", "cannot be the name"),
            ("-- name: q\n-- nothing", "query q is empty"),
            ("-- name: q\nselect 'x", "query q: a ' is never closed"),
            ("-- name: q\nselect 1 --?", "query q: --? without"),
            ("-- name: q\nselect 1 where a not in (:x*)", "query q: `not in`"),
            ("-- name: q\nselect 1 where a in (:x*, 1)", "query q: list parameter x must stand alone"),
            ("-- name: q\nselect f(:x*)", "query q: list parameter x must stand alone"),
        ] {
            let said = parse(text).unwrap_err();
            assert!(said.contains(complaint), "{text:?}: {said}");
        }
    }

    proptest! {
        #[test]
        fn nothing_panics(text in "(-- name: q\n)?[a-z:*'\"$()\\-? \n;ä]{0,60}") {
            let _ = parse(&text);
        }

        #[test]
        fn without_parameters_the_text_stays(words in proptest::collection::vec("[a-zä0-9(),=]{1,8}|'[a-z: -]{0,6}'|::text", 1..12)) {
            let body = words.join(" ");
            let (sql, params) = one(&body).render(Dialect::Postgres, 0);
            prop_assert_eq!(sql, body);
            prop_assert!(params.is_empty());
        }

        #[test]
        fn numbers_follow_first_use(names in proptest::collection::vec("[a-e]", 1..12)) {
            let body = names.iter().map(|name| format!(":{name}")).collect::<Vec<_>>().join(", ");
            let (sql, params) = one(&body).render(Dialect::Postgres, 0);
            let back = sql
                .split(", ")
                .map(|number| params[number[1..].parse::<usize>().unwrap() - 1].name.clone())
                .collect::<Vec<_>>();
            prop_assert_eq!(back, names);
        }
    }
}
