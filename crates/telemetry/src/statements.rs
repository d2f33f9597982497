//! What is seen of every statement of a store: a span by the conventions for database clients
//! (`db.*`), and its time. Parameters are never part of it, nor is the statement's text.

use std::time::Instant;

use metrics::{Unit, describe_histogram, histogram};
use tracing::{Span, field::Empty};

const DURATION: &str = "sso_store_statement_duration_seconds";

/// The operations that a statement can be of; the first word that is one of them tells.
const OPERATIONS: [&str; 4] = ["INSERT", "UPDATE", "DELETE", "SELECT"];
/// What is none of them: pragmas, notifications.
const OTHER: &str = "OTHER";

/// Describes the metric. But for COMMIT its series exist when a statement of the family was executed.
pub fn register_metrics() {
    describe_histogram!(
        DURATION,
        Unit::Seconds,
        "Time of a store's statements by family: their operation and the first table they name. \
         With PostgreSQL the round trip; of several statements in one round trip the family of \
         the first."
    );
    let Family { operation, table } = Family::COMMIT;
    let _ = histogram!(DURATION, "operation" => operation, "table" => table);
}

/// Statements of one kind on one table. There are as many as the stores' statements make, which
/// are written in their source.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Family {
    /// `SELECT`, `INSERT`, `UPDATE`, `DELETE`, `COMMIT` or `OTHER`.
    pub operation: &'static str,
    /// The table; empty where none is named.
    pub table: &'static str,
}

impl Family {
    /// The end of a transaction.
    pub const COMMIT: Self = Self {
        operation: "COMMIT",
        table: "",
    };

    /// The family of a statement.
    pub fn of(sql: &'static str) -> Self {
        let mut words = words(sql);
        // What changes something tells more than the reads it begins with (`WITH .. UPDATE`).
        let before = std::iter::once("").chain(words.clone());
        let mut changes = before
            .zip(words.clone())
            .filter(|(before, _)| !is_lock(before))
            .filter_map(|(_, word)| {
                OPERATIONS[..3]
                    .iter()
                    .copied()
                    .find(|known| word.eq_ignore_ascii_case(known))
            });
        let operation = match changes.next() {
            Some(operation) => operation,
            None if words.any(|word| word.eq_ignore_ascii_case("SELECT")) => "SELECT",
            None => OTHER,
        };
        Self {
            operation,
            table: table(operation, sql),
        }
    }

    /// Begins to measure a statement of this family in a database of this kind
    /// (`db.system.name`: `postgresql`, `sqlite`).
    pub fn start(self, system: &'static str) -> Statement {
        if Span::current().is_none() {
            // What nobody asked for, such as a beat, would be a trace by itself.
            return self.untraced();
        }
        let span = tracing::debug_span!(
            "sql",
            otel.kind = "client",
            otel.name = Empty,
            otel.status_code = Empty,
            db.system.name = system,
            db.operation.name = self.operation,
            db.collection.name = Empty,
            "error.type" = Empty,
        );
        if !span.is_disabled() {
            if self.table.is_empty() {
                span.record("otel.name", self.operation);
            } else {
                let name = format!("{} {}", self.operation, self.table);
                span.record("otel.name", name);
                span.record("db.collection.name", self.table);
            }
        }
        Statement {
            family: self,
            span,
            started: Instant::now(),
        }
    }

    /// The same without a span.
    pub fn untraced(self) -> Statement {
        Statement {
            family: self,
            span: Span::none(),
            started: Instant::now(),
        }
    }
}

/// Why a statement failed, as its span says it.
pub trait ErrorType {
    /// `error.type` of OpenTelemetry's conventions: the database's own code, or [`OTHER_ERROR`]. One of
    /// few, and never a message, which may show values.
    fn error_type(&self) -> &str;
}

/// The conventions' word for an error that has no code.
pub const OTHER_ERROR: &str = "_OTHER";

/// A statement under way. Its time counts when this is dropped.
#[derive(Debug)]
pub struct Statement {
    family: Family,
    span: Span,
    started: Instant,
}

impl Statement {
    /// Its span.
    pub const fn span(&self) -> &Span {
        &self.span
    }

    /// Ends it; `Err` is noted.
    pub fn end<T, E: ErrorType>(self, result: Result<T, E>) -> Result<T, E> {
        if let Err(error) = &result {
            self.span.record("otel.status_code", "ERROR");
            self.span.record("error.type", error.error_type());
        }
        result
    }
}

impl Drop for Statement {
    fn drop(&mut self) {
        let Family { operation, table } = self.family;
        histogram!(DURATION, "operation" => operation, "table" => table)
            .record(self.started.elapsed());
    }
}

/// What is not punctuation.
fn words(sql: &'static str) -> impl Iterator<Item = &'static str> + Clone {
    sql.split(|c: char| !(c.is_ascii_alphanumeric() || c == '_'))
        .filter(|word| !word.is_empty())
}

/// Whether an UPDATE after this word only locks: `FOR UPDATE`, `FOR NO KEY UPDATE`.
fn is_lock(before: &str) -> bool {
    before.eq_ignore_ascii_case("FOR") || before.eq_ignore_ascii_case("KEY")
}

/// The word after the one that a table follows.
fn table(operation: &str, sql: &'static str) -> &'static str {
    let before = match operation {
        "INSERT" => "INTO",
        "UPDATE" => "UPDATE",
        "DELETE" | "SELECT" => "FROM",
        _ => return "",
    };
    let mut words = sql
        .split_ascii_whitespace()
        .skip_while(|word| !word.trim_start_matches('(').eq_ignore_ascii_case(before));
    let word = words.nth(1).unwrap_or_default();
    let end = word
        .find(|c: char| !(c.is_ascii_alphanumeric() || c == '_'))
        .unwrap_or(word.len());
    &word[..end]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_family_is_an_operation_and_a_table() {
        for (sql, operation, table) in [
            ("SELECT * FROM users WHERE id = $1", "SELECT", "users"),
            ("\n  INSERT INTO outbox (id) VALUES (1)", "INSERT", "outbox"),
            (
                "INSERT OR IGNORE INTO keys(id) VALUES (1)",
                "INSERT",
                "keys",
            ),
            ("UPDATE sessions SET x = 1", "UPDATE", "sessions"),
            (
                "DELETE FROM audit WHERE id IN (SELECT 1)",
                "DELETE",
                "audit",
            ),
            (
                "WITH s AS (SELECT 1 FROM x) UPDATE users SET a = 1",
                "UPDATE",
                "users",
            ),
            (
                "SELECT 1 FROM users WHERE id = $1 FOR NO KEY UPDATE",
                "SELECT",
                "users",
            ),
            ("SELECT 1", "SELECT", ""),
            ("SELECT updated_at FROM users", "SELECT", "users"),
            ("PRAGMA data_version", "OTHER", ""),
            ("SELECT a FROM (SELECT b FROM c)", "SELECT", ""),
        ] {
            assert_eq!(Family::of(sql), Family { operation, table }, "{sql}");
        }
    }
}
