//! Which migrations a database still needs.
//!
//! Migrations are append-only. The runner of each dialect takes a lock that keeps out other runners, reads
//! `dcm_migrations`, asks [`plan`] and applies the answer, all in one transaction.

use sha2::{Digest, Sha256};

use super::registry::Dialect;
use super::value::{Row, Statement};
use crate::error::{Error, ErrorKind, Result};

/// One step of a schema.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Migration {
    /// Its place in the order.
    pub(crate) version: i64,
    /// The name of its file, without `.sql`.
    pub(crate) name: &'static str,
    /// One or more SQL statements, without parameters.
    pub(crate) text: &'static str,
}

macro_rules! migrations {
    ($folder:literal: $($version:literal $name:literal,)+) => {
        &[$(Migration {
            version: $version,
            name: $name,
            text: include_str!(concat!("../../../sql/", $folder, "/migrations/", $name, ".sql")),
        },)+]
    };
}

const SQLITE: &[Migration] = migrations! { "sqlite":
    1 "0001_init",
    // Numbers are those of the other dialect; 2 is about databases that SQLite never had.
    3 "0003_delivery",
    4 "0004_hooks",
    5 "0005_routing",
    6 "0006_brief",
    7 "0007_fewer_indexes",
    8 "0008_delivery",
    9 "0009_cleanup",
    10 "0010_briefs",
    11 "0011_compactions",
    12 "0012_sessions",
    14 "0014_at_work",
};

const POSTGRES: &[Migration] = migrations! { "postgres":
    1 "0001_init",
    2 "0002_adopt",
    3 "0003_delivery",
    4 "0004_hooks",
    5 "0005_routing",
    6 "0006_brief",
    8 "0008_delivery",
    9 "0009_cleanup",
    10 "0010_briefs",
    11 "0011_compactions",
    12 "0012_sessions",
    13 "0013_given_up",
    14 "0014_at_work",
    15 "0015_at_once",
};

/// Every migration of `dialect`, oldest first.
pub(crate) fn migrations(dialect: Dialect) -> &'static [Migration] {
    match dialect {
        Dialect::Sqlite => SQLITE,
        Dialect::Postgres => POSTGRES,
    }
}

impl Migration {
    /// The SHA-256 of the text, in hexadecimal. A checkout that turned line ends into CRLF makes no difference.
    pub(crate) fn checksum(&self) -> String {
        let digest = Sha256::digest(self.text.replace("\r\n", "\n"));
        digest.iter().fold(String::new(), |text, byte| text + &format!("{byte:02x}"))
    }

    /// The statement that records that this migration was applied.
    pub(crate) fn record(&self) -> Statement {
        Statement::new("migrations_insert")
            .with("version", self.version)
            .with("name", self.name)
            .with("checksum", self.checksum())
    }
}

/// A migration that a database has seen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Applied {
    /// See [`Migration::version`].
    pub(crate) version: i64,
    /// See [`Migration::name`].
    pub(crate) name: String,
    /// See [`Migration::checksum`].
    pub(crate) checksum: String,
}

impl Applied {
    /// From a row of the query `migrations_applied`.
    pub(crate) fn from_row(mut row: Row) -> Result<Self> {
        Ok(Self { version: row.int(0)?, name: row.text(1)?, checksum: row.text(2)? })
    }
}

/// What must be applied to a database that has seen `applied`.
///
/// A database that is newer than this program needs nothing: a schema serves the program before it as well. One with
/// another history is an error, because nobody knows what it holds.
pub(crate) fn plan<'a>(known: &'a [Migration], applied: &[Applied]) -> Result<Vec<&'a Migration>> {
    let newest = known.iter().map(|migration| migration.version).max().unwrap_or(0);
    for seen in applied {
        match known.iter().find(|migration| migration.version == seen.version) {
            Some(migration) if migration.name == seen.name && migration.checksum() == seen.checksum => {}
            Some(migration) => {
                return Err(other_history(format!(
                    "migration {} was applied to this database as {} with another text than this program has \
                     (checksum {}, expected {})",
                    migration.name,
                    seen.name,
                    seen.checksum,
                    migration.checksum()
                )));
            }
            None if seen.version > newest => {
                tracing::warn!(migration = seen.name, "the database has a migration newer than this program");
            }
            None => {
                return Err(other_history(format!(
                    "migration {} was applied to this database, but this program does not have it",
                    seen.name
                )));
            }
        }
    }
    let last = applied.iter().map(|seen| seen.version).max().unwrap_or(0);
    let is_applied = |migration: &Migration| applied.iter().any(|seen| seen.version == migration.version);
    let pending: Vec<_> = known.iter().filter(|migration| !is_applied(migration)).collect();
    match pending.first() {
        Some(first) if first.version < last => Err(other_history(format!(
            "migration {} was never applied to this database, but later ones were",
            first.name
        ))),
        _ => Ok(pending),
    }
}

fn other_history(message: String) -> Error {
    Error::new(ErrorKind::Conflict, message)
}

#[cfg(test)]
mod tests {
    use super::*;

    const KNOWN: &[Migration] = &[
        Migration { version: 1, name: "0001_one", text: "create table one (a)" },
        Migration { version: 2, name: "0002_two", text: "create table two (a)" },
    ];

    fn applied(migration: &Migration) -> Applied {
        Applied {
            version: migration.version,
            name: migration.name.to_owned(),
            checksum: migration.checksum(),
        }
    }

    fn newer(version: i64) -> Applied {
        Applied { version, name: format!("{version:04}_later"), checksum: "?".to_owned() }
    }

    #[test]
    fn only_what_is_missing_is_applied() {
        assert_eq!(plan(KNOWN, &[]).unwrap(), [&KNOWN[0], &KNOWN[1]]);
        assert_eq!(plan(KNOWN, &[applied(&KNOWN[0])]).unwrap(), [&KNOWN[1]]);
        assert!(plan(KNOWN, &[applied(&KNOWN[0]), applied(&KNOWN[1])]).unwrap().is_empty());
    }

    #[test]
    fn a_newer_database_is_accepted() {
        let seen = [applied(&KNOWN[0]), applied(&KNOWN[1]), newer(3), newer(4)];
        assert!(plan(KNOWN, &seen).unwrap().is_empty());
    }

    #[test]
    fn another_history_is_refused() {
        let changed = Applied { checksum: "other".to_owned(), ..applied(&KNOWN[1]) };
        let error = plan(KNOWN, &[applied(&KNOWN[0]), changed]).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Conflict);
        assert!(error.message().contains("migration 0002_two was applied"), "{error}");

        let error = plan(KNOWN, &[applied(&KNOWN[0]), newer(3)]).unwrap_err();
        assert!(error.message().contains("migration 0002_two was never applied"), "{error}");

        let error = plan(&KNOWN[1..], &[applied(&KNOWN[0])]).unwrap_err();
        assert!(error.message().contains("migration 0001_one was applied"), "{error}");
    }

    #[test]
    fn the_checksum_is_that_of_the_text() {
        let migration = Migration { version: 1, name: "m", text: "abc" };
        assert_eq!(migration.checksum(), "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
        let (unix, dos) =
            (Migration { text: "a\nb", ..migration }, Migration { text: "a\r\nb", ..migration });
        assert_eq!(unix.checksum(), dos.checksum());
    }

    #[test]
    fn every_file_is_embedded_in_order() {
        let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("sql");
        for (folder, dialect) in [("sqlite", Dialect::Sqlite), ("postgres", Dialect::Postgres)] {
            let mut files: Vec<_> = std::fs::read_dir(root.join(folder).join("migrations"))
                .unwrap()
                .map(|entry| entry.unwrap().file_name().into_string().unwrap())
                .collect();
            files.sort_unstable();
            let embedded: Vec<_> =
                migrations(dialect).iter().map(|migration| format!("{}.sql", migration.name)).collect();
            assert_eq!(embedded, files);
            // A change to one dialect alone leaves its number out of the other.
            assert!(migrations(dialect).is_sorted_by(|one, next| one.version < next.version));
            for Migration { version, name, .. } in migrations(dialect) {
                assert!(name.starts_with(&format!("{version:04}_")), "{name}");
            }
        }
    }
}
