//! What can go wrong in the lake: what, where, and the next step.

use std::error::Error as StdError;
use std::io::ErrorKind;

use object_store::client::{HttpError, HttpErrorKind};

/// Every way in which the lake can refuse. `Display` says what happened, where, and the next step; the cause is the `source`.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum LakeError {
    /// The lake's address cannot be used.
    #[error(
        "{url} is no place for a lake: {reason}; give a folder, a file:// URL or s3://bucket/prefix"
    )]
    Location {
        /// The address as it was given.
        url: String,
        /// What is wrong with it.
        reason: String,
    },
    /// The file system forbids it.
    #[error(
        "cannot {action} {location}: permission denied; give this user access to the folder or choose another lake"
    )]
    Unwritable {
        /// What was attempted.
        action: &'static str,
        /// The object that it was attempted on.
        location: String,
        /// The store's own words.
        #[source]
        source: object_store::Error,
    },
    /// No space is left.
    #[error(
        "cannot {action} {location}: the disk is full; free some space and try again, everything committed is safe"
    )]
    DiskFull {
        /// What was attempted.
        action: &'static str,
        /// The object that it was attempted on.
        location: String,
        /// The store's own words.
        #[source]
        source: object_store::Error,
    },
    /// The store does not know us, or forbids it.
    #[error(
        "cannot {action} {location}: the store refused the credentials; check AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY and the bucket's policy"
    )]
    Credentials {
        /// What was attempted.
        action: &'static str,
        /// The object that it was attempted on.
        location: String,
        /// The store's own words.
        #[source]
        source: object_store::Error,
    },
    /// There is no such bucket.
    #[error("cannot {action} {location}: the bucket does not exist; create it first")]
    NoBucket {
        /// What was attempted.
        action: &'static str,
        /// The object that it was attempted on.
        location: String,
        /// The store's own words.
        #[source]
        source: object_store::Error,
    },
    /// Nobody answers at the endpoint.
    #[error(
        "cannot {action} {location}: the store does not answer; check AWS_ENDPOINT_URL and the network, then try again"
    )]
    Unreachable {
        /// What was attempted.
        action: &'static str,
        /// The object that it was attempted on.
        location: String,
        /// The store's own words.
        #[source]
        source: object_store::Error,
    },
    /// Any other fault of the store.
    #[error("cannot {action} {location}; try again, and check the store if it stays")]
    Store {
        /// What was attempted.
        action: &'static str,
        /// The object that it was attempted on.
        location: String,
        /// The store's own words.
        #[source]
        source: object_store::Error,
    },
    /// A put took longer than it may, so its outcome is unknown.
    #[error(
        "no answer within {seconds} s to a put of {location}; its outcome is unknown, committing the same range again is safe"
    )]
    TimedOut {
        /// The object that was put.
        location: String,
        /// The time that it was given.
        seconds: u64,
    },
    /// The store overwrites where it should refuse, so two writers would lose each other's commits.
    #[error(
        "{url} ignores conditional puts (If-None-Match), so commits would not be safe; use a store that supports them"
    )]
    NoConditionalPut {
        /// The lake.
        url: String,
    },
    /// The table needs more of the Delta protocol than reader 1 and writer 2.
    #[error(
        "{table} at {url} was written by a newer version ({found}; this one handles reader 1, writer 2); upgrade onramp or use another lake"
    )]
    NewerProtocol {
        /// The table's name.
        table: &'static str,
        /// Where it lies.
        url: String,
        /// What it asks for.
        found: String,
    },
    /// A property that breaks exactly-once is set.
    #[error(
        "{table} at {url} has the property {property}, which would forget offsets; remove it with ALTER TABLE … UNSET TBLPROPERTIES"
    )]
    ForbiddenProperty {
        /// The table's name.
        table: &'static str,
        /// Where it lies.
        url: String,
        /// The property.
        property: String,
    },
    /// The table at this place is not the one that we know.
    #[error(
        "{table} at {url} is not the table that onramp writes ({difference}); was it made by another program or version? use another lake or upgrade"
    )]
    SchemaMismatch {
        /// The table's name.
        table: &'static str,
        /// Where it lies.
        url: String,
        /// The first difference.
        difference: String,
    },
    /// Someone changed the table's protocol or metadata while it was open.
    #[error(
        "{table} changed its protocol or metadata at version {version}; restart onramp so that it is opened anew"
    )]
    TableChanged {
        /// The table's name.
        table: &'static str,
        /// The version that changed it.
        version: i64,
    },
    /// The version asked for cannot be read any more, or not yet.
    #[error(
        "version {version} of {table} is not in the log; it was cleaned up, or was never written"
    )]
    VersionGone {
        /// The table's name.
        table: &'static str,
        /// The version asked for.
        version: i64,
    },
    /// The log holds something that is no Delta log.
    #[error(
        "the log of {table} cannot be read at {location}: {reason}; restore that file from a backup"
    )]
    CorruptLog {
        /// The table's name.
        table: &'static str,
        /// The log file.
        location: String,
        /// What is wrong.
        reason: String,
    },
    /// A batch does not have the table's columns.
    #[error("this batch does not fit {table}: {reason}")]
    Batch {
        /// The table's name.
        table: &'static str,
        /// The first difference.
        reason: String,
    },
    /// A commit that could never be told from none.
    #[error("cannot commit to {table}: {reason}")]
    Advance {
        /// The table's name.
        table: &'static str,
        /// What is wrong.
        reason: String,
    },
    /// Others were faster too many times in a row.
    #[error(
        "gave up committing to {table} after losing {attempts} races in a row; run fewer writers"
    )]
    Contended {
        /// The table's name.
        table: &'static str,
        /// How many commits were tried.
        attempts: u32,
    },
    /// Arrow could not do it.
    #[error("cannot arrange the rows of {table}")]
    Arrow {
        /// The table's name.
        table: &'static str,
        /// Arrow's own words.
        #[source]
        source: arrow::error::ArrowError,
    },
    /// Parquet could not do it.
    #[error("cannot {action} Parquet for {table}")]
    Parquet {
        /// What was attempted.
        action: &'static str,
        /// The table's name.
        table: &'static str,
        /// Parquet's own words.
        #[source]
        source: parquet::errors::ParquetError,
    },
    /// The Delta library could not do it.
    #[error("cannot {action} {table}")]
    Delta {
        /// What was attempted.
        action: &'static str,
        /// The table's name.
        table: &'static str,
        /// The library's own words.
        #[source]
        source: Box<deltalake::DeltaTableError>,
    },
}

impl LakeError {
    /// Sorts a store's error by what a person would do about it.
    pub fn store(
        action: &'static str,
        location: impl std::fmt::Display,
        source: object_store::Error,
    ) -> Self {
        let location = location.to_string();
        match cause(&source) {
            Cause::Permission => Self::Unwritable { action, location, source },
            Cause::Full => Self::DiskFull { action, location, source },
            Cause::Credentials => Self::Credentials { action, location, source },
            Cause::Bucket => Self::NoBucket { action, location, source },
            Cause::Network => Self::Unreachable { action, location, source },
            Cause::Other => Self::Store { action, location, source },
        }
    }

    /// Whether trying again without changing anything can help.
    pub fn is_transient(&self) -> bool {
        matches!(
            self,
            Self::Unreachable { .. }
                | Self::Store { .. }
                | Self::TimedOut { .. }
                | Self::Contended { .. }
        )
    }
}

/// Whether the connection failed with the answer under way, so that asking again may help. Whoever refuses to answer was
/// asked again by the client itself.
pub(crate) fn was_cut_off(error: &object_store::Error) -> bool {
    let mut next: Option<&(dyn StdError + 'static)> = Some(error);
    while let Some(current) = next {
        if let Some(http) = current.downcast_ref::<HttpError>() {
            return !matches!(http.kind(), HttpErrorKind::Connect);
        }
        next = current.source();
    }
    false
}

enum Cause {
    Permission,
    Full,
    Credentials,
    Bucket,
    Network,
    Other,
}

/// Looks through the chain of causes: the local store wraps `io::Error`, the S3 client wraps `HttpError`.
fn cause(error: &object_store::Error) -> Cause {
    use object_store::Error;
    if matches!(error, Error::PermissionDenied { .. } | Error::Unauthenticated { .. }) {
        return Cause::Credentials;
    }
    let mut next: Option<&(dyn StdError + 'static)> = Some(error);
    while let Some(current) = next {
        if let Some(io) = current.downcast_ref::<std::io::Error>() {
            match io.kind() {
                ErrorKind::PermissionDenied | ErrorKind::ReadOnlyFilesystem => {
                    return Cause::Permission;
                }
                ErrorKind::StorageFull | ErrorKind::QuotaExceeded => return Cause::Full,
                _ => {}
            }
        }
        if let Some(http) = current.downcast_ref::<HttpError>()
            && matches!(http.kind(), HttpErrorKind::Connect | HttpErrorKind::Timeout)
        {
            return Cause::Network;
        }
        // The S3 client tells why it was refused in its text alone.
        let text = current.to_string();
        if text.contains(": 403 Forbidden") || text.contains(": 401 Unauthorized") {
            return Cause::Credentials;
        }
        if text.contains("<Code>NoSuchBucket</Code>") {
            return Cause::Bucket;
        }
        next = current.source();
    }
    Cause::Other
}
