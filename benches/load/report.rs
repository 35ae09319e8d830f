//! What is asked for, and the table that says what was reached.

use std::fmt::Write as _;

use dcm_suite::server::Store;

use crate::tools::Load;

/// How the figures of a row are read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Unit {
    /// As a multiple of `pgbench`'s single-row INSERT in the same run.
    Inserts,
    /// In answers a second, on a machine where `pgbench` reaches [`SELECTS`].
    Answers,
}

/// `SELECT 1` in a second on the machine that the asked figures are meant for.
pub(crate) const SELECTS: f64 = 40_000.0;

/// One row of the table.
#[derive(Debug)]
pub(crate) struct Row {
    /// Its name on the command line.
    pub(crate) name: &'static str,
    /// What it is, in the table.
    pub(crate) title: &'static str,
    pub(crate) unit: Unit,
    /// At least, on PostgreSQL and on the embedded store.
    pub(crate) asked: [f64; 2],
    /// What the original service does.
    pub(crate) original: f64,
}

/// Every row there is.
pub(crate) const ROWS: [Row; 7] = [
    Row {
        name: "actions",
        title: "`POST /api/actions`",
        unit: Unit::Inserts,
        asked: [1.0, 2.0],
        original: 0.07,
    },
    Row {
        name: "messages",
        title: "`POST /api/messages`",
        unit: Unit::Inserts,
        asked: [1.0, 2.0],
        original: 0.35,
    },
    Row {
        name: "health",
        title: "`GET /health`",
        unit: Unit::Answers,
        asked: [15_000.0, 25_000.0],
        original: 6658.0,
    },
    Row {
        name: "hierarchy",
        title: "`GET /api/hierarchy/:id`, 10 x 5 x 10",
        unit: Unit::Answers,
        asked: [500.0, 800.0],
        original: 62.0,
    },
    Row {
        name: "inbox",
        title: "`GET /api/messages/:agent`, 100 messages already read",
        unit: Unit::Answers,
        asked: [1500.0, 4000.0],
        original: 403.0,
    },
    Row {
        name: "context",
        title: "`GET /api/context/:agent`",
        unit: Unit::Answers,
        asked: [1500.0, 4000.0],
        original: 447.0,
    },
    Row {
        name: "suggest",
        title: "`GET /api/routing/suggest`, each time with other words",
        unit: Unit::Answers,
        asked: [15_000.0, 15_000.0],
        original: 2873.0,
    },
];

/// What the machine does without us, measured in the same run.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Reference {
    pub(crate) inserts: f64,
    pub(crate) selects: f64,
}

/// One measurement of one row.
#[derive(Debug)]
pub(crate) struct Sample {
    pub(crate) row: &'static str,
    pub(crate) store: Store,
    pub(crate) load: Load,
    pub(crate) reference: Reference,
    /// How large the answer is, for reads.
    pub(crate) bytes: Option<usize>,
}

impl Row {
    /// A rate of this row in its unit.
    fn figure(&self, per_second: f64, reference: Reference) -> f64 {
        match self.unit {
            Unit::Inserts => per_second / reference.inserts,
            Unit::Answers => per_second * SELECTS / reference.selects,
        }
    }

    fn text(&self, figure: f64) -> String {
        match self.unit {
            Unit::Inserts => format!("{figure:.2} x"),
            Unit::Answers => format!("{figure:.0}/s"),
        }
    }

    fn reached(&self, store: Store, samples: &[Sample]) -> String {
        let mine: Vec<&Sample> =
            samples.iter().filter(|sample| sample.row == self.name && sample.store == store).collect();
        if mine.is_empty() {
            return "not measured".to_owned();
        }
        let of = |part: fn(&Sample) -> f64| median(mine.iter().map(|sample| part(sample)).collect());
        let figure = median(mine.iter().map(|it| self.figure(it.load.per_second, it.reference)).collect());
        let asked = self.asked[usize::from(store == Store::Embedded)];
        format!(
            "{} **{}** ({:.0}/s, p50 {:.1} ms, p99 {:.1} ms)",
            if figure >= asked { "yes" } else { "NO" },
            self.text(figure),
            of(|sample| sample.load.per_second),
            of(|sample| sample.load.latency.0),
            of(|sample| sample.load.latency.1),
        )
    }
}

/// The table, in Markdown.
pub(crate) fn table(rows: &[&Row], samples: &[Sample]) -> String {
    let mut text = String::from(
        "| request | PostgreSQL: at least | reached | embedded: at least | reached | the original |\n|---|---|---|---|---|---|\n",
    );
    for row in rows {
        let bytes = samples.iter().find(|sample| sample.row == row.name).and_then(|sample| sample.bytes);
        let size = bytes.map(|bytes| format!(", {} KB", bytes.div_ceil(1000))).unwrap_or_default();
        let [postgres, embedded] = row.asked.map(|asked| row.text(asked));
        let reached = |store| row.reached(store, samples);
        let cells = [
            format!("{}{size}", row.title),
            postgres,
            reached(Store::Postgres),
            embedded,
            reached(Store::Embedded),
            row.text(row.original),
        ];
        writeln!(text, "| {} |", cells.join(" | ")).expect("text can be written to");
    }
    text
}

/// The middle one; with an even number of them the lower of the two.
pub(crate) fn median(mut numbers: Vec<f64>) -> f64 {
    numbers.sort_by(f64::total_cmp);
    numbers.get(numbers.len().saturating_sub(1) / 2).copied().unwrap_or(f64::NAN)
}
