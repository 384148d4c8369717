//! Everything that is computed from the lake: the session fold, the metrics over folded sessions, and
//! the `sessions` table that keeps the fold up to date.
//!
//! It owns the query engine, the read side of lake tables, funnel conditions and functions, the
//! `sessions` table and the maintenance of all tables. It knows no HTTP, no command line, and no clock:
//! the present is an argument.
#![warn(missing_docs)]

pub mod engine;
pub mod error;
pub mod fold;
pub mod functions;
pub mod maintenance;
pub mod metrics;
pub mod predicate;
pub mod scan;
pub mod selection;
pub mod session_fold;
pub mod session_list;
pub mod sessions;
pub mod statistics;
pub mod timeline;
pub mod views;

mod reporting;
mod reports;
mod reproduce;

pub use engine::Engine;
pub use error::ComputeError;
pub use reporting::{
    Compared, Grounds, Moment, ReportRequest, answer, funnel_rates, grounds, kept_report,
};
pub use reports::document;
pub use reproduce::{Reproduced, reproduce};
pub use selection::Selection;
pub use session_list::session_list;
pub use timeline::timeline;
