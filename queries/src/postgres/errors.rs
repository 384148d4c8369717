//! What went wrong, as PostgreSQL's clients know it: a SQLSTATE, a message, what to do.

use datafusion::arrow::error::ArrowError;
use datafusion::common::SchemaError;
use datafusion::error::DataFusionError;
use datafusion_postgres::pgwire::error::{ErrorInfo, PgWireError};

use crate::sql::SqlError;

/// A statement that is not run here.
pub const REFUSED: &str = "42501";
/// Cancelled, by its client or by the deadline.
pub const CANCELLED: &str = "57014";
/// More than a limit allows.
pub const LIMIT: &str = "54000";
/// Text that is no statement.
pub const SYNTAX: &str = "42601";
/// A message out of place.
pub const PROTOCOL: &str = "08P01";
/// Nothing but the end of its transaction is taken.
pub const FAILED_TRANSACTION: &str = "25P02";
/// A setting that there is not.
pub const UNKNOWN_SETTING: &str = "42704";
/// A value that a setting does not take.
pub const WRONG_VALUE: &str = "22023";

/// An error after which the connection goes on.
pub fn error(code: &str, message: impl Into<String>) -> PgWireError {
    PgWireError::UserError(Box::new(ErrorInfo::new(
        "ERROR".to_owned(),
        code.to_owned(),
        message.into(),
    )))
}

/// An error that ends the connection.
pub fn fatal(code: &str, message: impl Into<String>) -> PgWireError {
    PgWireError::UserError(Box::new(ErrorInfo::new(
        "FATAL".to_owned(),
        code.to_owned(),
        message.into(),
    )))
}

/// A statement that failed.
pub fn failed(reason: SqlError) -> PgWireError {
    match &reason {
        SqlError::Statement(cause) => of_engine(cause),
        SqlError::Deadline { .. } => error(CANCELLED, reason.to_string()),
        SqlError::TooLong { .. } | SqlError::TooManyRows { .. } | SqlError::TooLarge { .. } => {
            error(LIMIT, reason.to_string())
        }
        SqlError::Refused(_) => error(REFUSED, reason.to_string()),
        SqlError::NoTable { .. } => error("42P01", reason.to_string()),
        SqlError::Busy { .. } => error("53300", reason.to_string()),
        SqlError::Lake(cause) => {
            tracing::error!(error = cause as &dyn std::error::Error, "the lake could not be read");
            error("58030", reason.to_string())
        }
        SqlError::Engine(_) | SqlError::Worker(_) => {
            tracing::error!(error = &reason as &dyn std::error::Error, "a statement failed");
            error("XX000", reason.to_string())
        }
    }
}

/// What the engine has against a statement.
pub fn of_engine(cause: &DataFusionError) -> PgWireError {
    let root = cause.find_root();
    let code = match root {
        DataFusionError::SQL(..) => SYNTAX,
        DataFusionError::SchemaError(reason, _) => match **reason {
            SchemaError::FieldNotFound { .. } => "42703",
            SchemaError::AmbiguousReference { .. } => "42702",
            _ => "42701",
        },
        DataFusionError::Plan(words) => of_plan(words),
        DataFusionError::NotImplemented(_) => "0A000",
        DataFusionError::ResourcesExhausted(_) => "53200",
        DataFusionError::ArrowError(reason, _) => match **reason {
            ArrowError::DivideByZero => "22012",
            ArrowError::ArithmeticOverflow(_) => "22003",
            _ => "22P02",
        },
        DataFusionError::IoError(_) | DataFusionError::ObjectStore(_) => "58030",
        DataFusionError::Execution(_) => "22000",
        _ => "XX000",
    };
    error(code, root.strip_backtrace())
}

/// The planner tells its reasons in words only.
fn of_plan(words: &str) -> &'static str {
    if words.contains("not supported:") {
        REFUSED
    } else if words.contains("table '") && words.contains("not found") {
        "42P01"
    } else if words.contains("nvalid function") || words.contains("unction '") {
        "42883"
    } else {
        "42000"
    }
}
