//! The named queries of `sql/`, in the text of each dialect.

use std::collections::HashMap;
use std::sync::OnceLock;

pub(crate) use super::parse::Param;
use super::parse::{Template, parse};
use super::value::{Statement, Value};
use crate::error::{Error, Result};

/// A kind of SQL.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Dialect {
    /// The embedded store.
    Sqlite,
    /// PostgreSQL 14 or later.
    Postgres,
}

struct File {
    path: &'static str,
    text: &'static str,
}

macro_rules! files {
    ($($path:literal,)+) => {
        // Through the link in the crate's own folder, so that a packaged crate has them too.
        &[$(File { path: $path, text: include_str!(concat!("../../../sql/", $path)) },)+]
    };
}

/// Queries that both dialects understand.
const SHARED: &[File] = files! {
    "shared/brief.sql",
    "shared/feed.sql",
    "shared/health.sql",
    "shared/load.sql",
    "shared/migrate.sql",
    "shared/read.sql",
    "shared/routing.sql",
    "shared/write.sql",
};

const SQLITE: &[File] = files! {
    "sqlite/feed.sql",
    "sqlite/migrate.sql",
    "sqlite/read.sql",
    "sqlite/write.sql",
};

const POSTGRES: &[File] = files! {
    "postgres/feed.sql",
    "postgres/migrate.sql",
    "postgres/read.sql",
    "postgres/write.sql",
};

impl Dialect {
    fn files(self) -> impl Iterator<Item = &'static File> {
        let own = match self {
            Self::Sqlite => SQLITE,
            Self::Postgres => POSTGRES,
        };
        SHARED.iter().chain(own)
    }

    fn other(self) -> Self {
        match self {
            Self::Sqlite => Self::Postgres,
            Self::Postgres => Self::Sqlite,
        }
    }
}

/// Every query of one dialect.
pub(crate) struct Registry {
    dialect: Dialect,
    queries: HashMap<String, Query>,
}

struct Query {
    template: Template,
    param_names: Vec<String>,
    /// By the mask of the optional parameters that are present.
    variants: Box<[OnceLock<Variant>]>,
}

/// A text that a database can prepare.
#[derive(Debug, PartialEq)]
pub(crate) struct Variant {
    /// The text.
    pub(crate) sql: String,
    /// The parameters: the first is number 1.
    pub(crate) params: Vec<Param>,
}

impl Registry {
    /// The queries that are built in.
    pub(crate) fn of(dialect: Dialect) -> Result<&'static Self> {
        static SQLITE: OnceLock<Result<Registry, String>> = OnceLock::new();
        static POSTGRES: OnceLock<Result<Registry, String>> = OnceLock::new();
        let registry = match dialect {
            Dialect::Sqlite => &SQLITE,
            Dialect::Postgres => &POSTGRES,
        };
        registry
            .get_or_init(|| Self::parse(dialect, dialect.files().map(|file| (file.path, file.text))))
            .as_ref()
            .map_err(Error::internal)
    }

    /// The queries of `files`, each with its path for complaints.
    pub(crate) fn parse<'a>(
        dialect: Dialect,
        files: impl IntoIterator<Item = (&'a str, &'a str)>,
    ) -> Result<Self, String> {
        let mut queries = HashMap::new();
        for (path, text) in files {
            for template in parse(text).map_err(|complaint| format!("sql/{path}: {complaint}"))? {
                let name = template.name.clone();
                let variants = (0..1_u32 << template.optional.len()).map(|_| OnceLock::new()).collect();
                let query = Query { param_names: template.param_names(), template, variants };
                if queries.insert(name.clone(), query).is_some() {
                    return Err(format!("sql/{path}: there are two queries called {name}"));
                }
            }
        }
        Ok(Self { dialect, queries })
    }

    /// The text for `statement`, by what it says and which of its parameters are there.
    pub(crate) fn variant(&self, statement: &Statement) -> Result<&Variant> {
        let query = self.query(statement.query)?;
        let columns = || statement.bulk.iter().flat_map(|bulk| bulk.columns);
        let given = statement.params.iter().map(|(name, _)| name);
        if let Some(name) =
            given.chain(columns()).find(|name| !query.knows(name) && !self.other_knows(statement, name))
        {
            return Err(Error::internal(format!("query {} has no parameter {name}", statement.query)));
        }
        let is_present = |name: &str| {
            columns().any(|column| *column == name)
                || statement.params.iter().any(|(given, value)| *given == name && *value != Value::Null)
        };
        let optional = query.template.optional.iter().enumerate();
        let mask = optional.fold(0, |mask, (bit, name)| mask | u32::from(is_present(name)) << bit);
        Ok(self.variant_of(query, mask))
    }

    /// The names of all queries, in alphabetical order.
    #[cfg(test)]
    pub(crate) fn names(&self) -> Vec<&str> {
        let mut names: Vec<_> = self.queries.keys().map(String::as_str).collect();
        names.sort_unstable();
        names
    }

    /// Every text that the query called `name` can have.
    #[cfg(test)]
    pub(crate) fn variants(&self, name: &str) -> Result<Vec<&Variant>> {
        let query = self.query(name)?;
        Ok((0..1 << query.template.optional.len()).map(|mask| self.variant_of(query, mask)).collect())
    }

    fn query(&self, name: &str) -> Result<&Query> {
        self.queries.get(name).ok_or_else(|| Error::internal(format!("there is no query called {name}")))
    }

    fn variant_of<'a>(&self, query: &'a Query, mask: u32) -> &'a Variant {
        // One slot per mask, made in `parse`.
        query.variants[mask as usize].get_or_init(|| {
            let (sql, params) = query.template.render(self.dialect, mask);
            Variant { sql, params }
        })
    }

    /// Callers do not know the dialect, so a parameter that only the other dialect needs is no mistake.
    fn other_knows(&self, statement: &Statement, name: &str) -> bool {
        let other = Self::of(self.dialect.other()).ok();
        other.and_then(|other| other.queries.get(statement.query)).is_some_and(|query| query.knows(name))
    }
}

impl Query {
    fn knows(&self, name: &str) -> bool {
        self.param_names.iter().any(|known| known == name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn registry(text: &str) -> Registry {
        Registry::parse(Dialect::Sqlite, [("test.sql", text)]).unwrap()
    }

    #[test]
    fn every_file_is_embedded_and_every_query_has_a_text() {
        let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("sql");
        for (folder, dialect) in
            [("shared", Dialect::Sqlite), ("sqlite", Dialect::Sqlite), ("postgres", Dialect::Postgres)]
        {
            for entry in std::fs::read_dir(root.join(folder)).unwrap() {
                let file = entry.unwrap().path();
                if file.extension().is_some_and(|extension| extension == "sql") {
                    let path = format!("{folder}/{}", file.file_name().unwrap().to_str().unwrap());
                    assert!(dialect.files().any(|file| file.path == path), "sql/{path} is not embedded");
                }
            }
        }
        for dialect in [Dialect::Sqlite, Dialect::Postgres] {
            let registry = Registry::of(dialect).unwrap();
            assert!(registry.names().contains(&"ping"));
            for name in registry.names() {
                assert!(
                    registry.variants(name).unwrap().iter().all(|variant| !variant.sql.is_empty()),
                    "{name}"
                );
            }
        }
    }

    #[test]
    fn null_and_missing_parameters_drop_their_lines() {
        let registry = registry("-- name: q\nselect 1\nwhere a = :a --? a\nlimit :n");
        let without = registry.variant(&Statement::new("q").with("n", 1_i64)).unwrap();
        assert_eq!(without.sql, "select 1\nlimit ?1");
        let null = registry.variant(&Statement::new("q").with("a", Value::Null)).unwrap();
        assert!(std::ptr::eq(without, null), "the text is made once");
        let with = registry.variant(&Statement::new("q").with("a", false)).unwrap();
        assert_eq!(with.sql, "select 1\nwhere a = ?1\nlimit ?2");
        assert_eq!(registry.variants("q").unwrap(), [without, with]);
    }

    #[test]
    fn the_columns_of_a_bulk_write_are_present() {
        let registry = registry("-- name: q\ninsert into t (a)\nvalues (:a) --? a");
        let bulk = Statement::bulk("q", &["a"], vec![vec![Value::Null]]);
        assert_eq!(registry.variant(&bulk).unwrap().sql, "insert into t (a)\nvalues (?1)");
    }

    #[test]
    fn unknown_names_are_named() {
        let registry = registry("-- name: q\nselect :a");
        let detail = |statement| registry.variant(&statement).unwrap_err().log_detail().unwrap().to_owned();
        assert_eq!(detail(Statement::new("nope")), "there is no query called nope");
        assert_eq!(detail(Statement::new("q").with("b", 1_i64)), "query q has no parameter b");
        assert_eq!(detail(Statement::bulk("q", &["c"], vec![])), "query q has no parameter c");
    }

    #[test]
    fn a_parameter_of_the_other_dialect_is_accepted() {
        // `migrations_insert` exists in both; here the text of this dialect does without its parameters.
        let registry = registry("-- name: migrations_insert\nselect 1");
        assert!(registry.variant(&Statement::new("migrations_insert").with("version", 1_i64)).is_ok());
    }

    #[test]
    fn two_queries_of_one_name_are_refused() {
        let text = "-- name: q\nselect 1\n-- name: q\nselect 2";
        let complaint = Registry::parse(Dialect::Sqlite, [("test.sql", text)]).err().unwrap();
        assert_eq!(complaint, "sql/test.sql: there are two queries called q");
    }
}
