//! What can end a pipeline, each with what to do about it.

use std::path::PathBuf;

use rdkafka::error::{KafkaError, RDKafkaErrorCode as Code};
use thiserror::Error;

/// Why ingest stopped or refused.
#[derive(Debug, Error)]
pub enum IngestError {
    /// The lake could not be read or written.
    #[error("the lake could not be used")]
    Lake(#[from] onramp_lake::LakeError),
    /// A file could not be read.
    #[error("cannot read {path}; check that it exists and that you may read it", path = path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// What the operating system said.
        #[source]
        source: std::io::Error,
    },
    /// A key that somebody could guess.
    #[error(
        "{path} holds no key for pseudonyms; make one of at least 32 bytes, as `openssl rand -hex 32` does",
        path = path.display()
    )]
    PseudonymKey {
        /// The file.
        path: PathBuf,
    },
    /// A scratch file could not be written.
    #[error(
        "cannot spool standard input to a temporary file; free space or point TMPDIR elsewhere"
    )]
    Spool(#[source] std::io::Error),
    /// A mapping is missing or does not fit.
    #[error("{0}")]
    Mapping(String),
    /// Another process imports the same file at the same time.
    #[error(
        "{path} is being imported by another process (line {line} was committed by it); wait for \
         it to end and run the import again, which then does nothing or the rest",
        path = path.display()
    )]
    Concurrent {
        /// The file.
        path: PathBuf,
        /// Where the other one stood.
        line: i64,
    },
    /// The rows of a batch could not be built or sorted.
    #[error("a batch of rows could not be built")]
    Arrow(#[from] arrow::error::ArrowError),
    /// The duplicate window does not fit the memory that it may use.
    #[error(
        "the duplicate windows of {partitions} partitions need {needed} bytes, and \
         ingest.memory_limit_mb leaves {limit} for them; raise it, assign fewer partitions to a process, or create the lake \
         with a window of at most {fits} (onramp.dedupWindow)"
    )]
    WindowTooLarge {
        /// How many partitions are read.
        partitions: usize,
        /// What their windows need, in bytes.
        needed: usize,
        /// What they may use, in bytes.
        limit: usize,
        /// The widest window that fits.
        fits: usize,
    },
    /// The lake's duplicate window is no width.
    #[error(
        "the lake's property onramp.dedupWindow is {found:?}; it must be a number of sequences up \
         to 1073741824"
    )]
    WindowProperty {
        /// What it is.
        found: String,
    },
    /// A data file of the lake could not be read.
    #[error("{path} of the lake could not be read; check the store, or restore the file")]
    DataFile {
        /// The file, relative to its table.
        path: String,
        /// The reader's words.
        #[source]
        source: parquet::errors::ParquetError,
    },
    /// Almost everything is rejected: the stream is not what it should be.
    #[error(
        "{rejected} of the last {seen} records of {app_id} were rejected (limit {limit:.0} %), \
         mostly {code}: {message}. Nothing after sequence {sequence} was taken. Check that the \
         topic carries CloudEvents and that ingest.namespaces names your own types; raise \
         ingest.max_rejected_ratio to go on regardless"
    )]
    TooManyRejections {
        /// The source partition.
        app_id: String,
        /// Rejections among the last records.
        rejected: usize,
        /// How many records were looked at.
        seen: usize,
        /// The limit in per cent.
        limit: f64,
        /// The latest rejection's code.
        code: &'static str,
        /// The latest rejection's message.
        message: String,
        /// The last sequence before the stop.
        sequence: i64,
    },
    /// The Kafka client failed.
    #[error("{what}; {remedy}")]
    Kafka {
        /// What was being done.
        what: String,
        /// What to do about it.
        remedy: String,
        /// The client's own words.
        #[source]
        source: KafkaError,
    },
    /// A topic is not the one that the lake has read from.
    #[error(
        "{app_id} is halted: the lake stands at offset {position}, the topic holds {low} to {high}. \
         {reason}. To read the topic from its beginning as a new one, raise ingest.epoch; nothing \
         that is in the lake changes by it"
    )]
    TopicChanged {
        /// The source partition.
        app_id: String,
        /// Where the lake stands.
        position: i64,
        /// The first offset of the topic.
        low: i64,
        /// One past the last offset of the topic.
        high: i64,
        /// What must have happened.
        reason: &'static str,
    },
    /// No partition of a topic can be read.
    #[error(
        "every partition of {topic} that the group gave to this process is halted; the log says why"
    )]
    AllHalted {
        /// The topic.
        topic: String,
    },
    /// Somebody else wrote what only this process can write.
    #[error(
        "{app_id} was written by another process; only a copy of the running process can do that, \
         end it"
    )]
    Contended {
        /// The collector's partition.
        app_id: String,
    },
    /// A stop took longer than it may.
    #[error(
        "the last flush did not end within {seconds} s of the stop; what it held is read again at \
         the next start, nothing is lost or doubled"
    )]
    ShutdownOverdue {
        /// The time that was given.
        seconds: u64,
    },
    /// An address could not be listened on.
    #[error("cannot listen on {address}; choose another address or end what uses it")]
    Listen {
        /// The address.
        address: String,
        /// What the operating system said.
        #[source]
        source: std::io::Error,
    },
    /// An address that everybody could reach, and nobody asked to log in.
    #[error(
        "{address} is not a loopback address and there is no access control; create a token with \
         `onramp token create`, configure access.oidc_issuer, or listen on 127.0.0.1"
    )]
    NotLoopback {
        /// The address.
        address: String,
    },
    /// A background task ended in a way that it never should.
    #[error("a worker of the pipeline ended unexpectedly: {0}")]
    Worker(String),
}

impl IngestError {
    /// Whether it passes by itself once the brokers are back: whoever waits and starts again from the
    /// lake loses nothing.
    pub fn passes(&self) -> bool {
        matches!(self, Self::Kafka { source, .. } if passes(source))
    }
}

/// Whether brokers that are away or busy with themselves are all that is wrong.
pub(crate) fn passes(error: &KafkaError) -> bool {
    // Nothing was heard at all.
    *error == KafkaError::NoMessageReceived
        || matches!(
            error.rdkafka_error_code(),
            Some(
                Code::BrokerTransportFailure
                    | Code::AllBrokersDown
                    | Code::Resolve
                    | Code::OperationTimedOut
                    | Code::TimedOutQueue
                    | Code::MessageTimedOut
                    | Code::RequestTimedOut
                    | Code::WaitingForCoordinator
                    | Code::UnknownPartition
                    | Code::LeaderNotAvailable
                    | Code::NotLeaderForPartition
                    | Code::BrokerNotAvailable
                    | Code::ReplicaNotAvailable
                    | Code::CoordinatorLoadInProgress
                    | Code::CoordinatorNotAvailable
                    | Code::NotCoordinator
                    | Code::NetworkException
                    | Code::NotEnoughReplicas
            )
        )
}
