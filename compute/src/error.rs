//! What can go wrong in compute: what, and the next step.

use datafusion::error::DataFusionError;
use onramp_lake::LakeError;

use crate::predicate::PredicateError;

/// Every way in which compute can refuse. The cause is the `source`, which `Display` leaves out.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ComputeError {
    /// The lake failed.
    #[error("{0}")]
    Lake(#[from] LakeError),
    /// The query engine failed.
    #[error("cannot {action}")]
    Query {
        /// What was attempted.
        action: String,
        /// The engine's own words.
        #[source]
        source: DataFusionError,
    },
    /// A condition of the funnel is no valid SQL condition.
    #[error("{0}")]
    Predicate(#[from] PredicateError),
    /// There are no events to report on.
    #[error(
        "the lake at {url} holds no events yet; import some with `onramp import` or start `onramp up`"
    )]
    EmptyLake {
        /// The lake.
        url: String,
    },
    /// A question that has no answer: the caller's fault.
    #[error("{0}")]
    Request(String),
    /// A client that is not there.
    #[error(
        "the lake holds no event of client {client_id:?}; `onramp sql \"SELECT DISTINCT client_id \
         FROM events\"` lists those that it knows"
    )]
    NoClient {
        /// Its id.
        client_id: String,
    },
    /// A session that is not there.
    #[error(
        "there is no session {session_id:?} up to the as-of instant; `onramp session list` shows those that are"
    )]
    NoSession {
        /// Its id.
        session_id: String,
    },
    /// Several clients have a session of one id.
    #[error("several clients have a session {session_id:?}: {clients}; say which one is meant")]
    AmbiguousSession {
        /// The id.
        session_id: String,
        /// Some of the clients.
        clients: String,
    },
    /// Another writer kept rewriting the table.
    #[error(
        "the table sessions kept changing under the fold of {funnel} ({attempts} attempts); try again when fewer processes fold it"
    )]
    Contended {
        /// The funnel.
        funnel: String,
        /// How often it was tried.
        attempts: usize,
    },
    /// Another writer kept rewriting a table under compaction.
    #[error(
        "the table {table} kept changing under compaction ({attempts} attempts); run `onramp compact` again, what was merged stays"
    )]
    Compaction {
        /// The table.
        table: &'static str,
        /// How often it was tried.
        attempts: usize,
    },
    /// Another writer kept rewriting a table while a person was forgotten.
    #[error(
        "the table {table} kept changing while a person was forgotten ({attempts} attempts); run `onramp forget` again, it goes on where it stands"
    )]
    Forgetting {
        /// The table.
        table: &'static str,
        /// How often it was tried.
        attempts: usize,
    },
    /// A report could not be kept.
    #[error("report {report_id} could not be kept: the table reports did not take it; ask again")]
    NotKept {
        /// Its id.
        report_id: String,
    },
    /// A row of `reports` that this program cannot read.
    #[error(
        "a row of the table reports cannot be read ({reason}); a newer onramp may have written it"
    )]
    KeptReport {
        /// What is wrong with it.
        reason: String,
    },
    /// A report that comes out otherwise now.
    #[error(
        "report {report_id} is gone: events that it was computed from are not in the lake any more; \
         ask anew"
    )]
    Gone {
        /// Its id.
        report_id: String,
    },
    /// Rows of `sessions` that this program did not write.
    #[error(
        "the table sessions holds a row that onramp did not write ({reason}); run `onramp rebuild`"
    )]
    Damaged {
        /// What is wrong with it.
        reason: String,
    },
}

impl ComputeError {
    /// The engine failed while doing `action` (an infinitive without "to").
    pub fn query(action: impl Into<String>, source: DataFusionError) -> Self {
        Self::Query { action: action.into(), source }
    }
}
