//! Named crash points: a test hook, off unless `ONRAMP_FAULT` is set.
//!
//! `ONRAMP_FAULT=after_files:3` makes the process end itself by SIGKILL when it passes the point
//! `after_files` for the third time: no destructor, no flush, no word to the brokers, as if the
//! machine had lost it there. Without a number it is the first passing. A point that is not armed
//! costs one atomic load.

use std::fmt;
use std::str::FromStr;
use std::sync::LazyLock;
use std::sync::atomic::{AtomicU64, Ordering};

/// The environment variable that arms one point.
const VARIABLE: &str = "ONRAMP_FAULT";

/// A step between two of which a crash must neither lose nor double anything.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Point {
    /// Rows are buffered, nothing of them is written.
    BeforeFlush,
    /// Dead letters and duplicates are committed, their range is not in `events`.
    AfterDeadLetters,
    /// The data files of `events` are written, no commit names them.
    AfterFiles,
    /// `events` is committed, this process does not know it yet.
    AfterCommit,
    /// The flush is done, the group is not told.
    BeforeOffsets,
    /// The group is told.
    AfterOffsets,
    /// The flush of a revocation is done, the partitions are not released.
    DuringRevoke,
}

impl Point {
    /// Every point, in the order in which a flush passes them.
    pub const ALL: [Point; 7] = [
        Self::BeforeFlush,
        Self::AfterDeadLetters,
        Self::AfterFiles,
        Self::AfterCommit,
        Self::BeforeOffsets,
        Self::AfterOffsets,
        Self::DuringRevoke,
    ];

    /// Its name in the variable.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::BeforeFlush => "before_flush",
            Self::AfterDeadLetters => "after_dead_letters",
            Self::AfterFiles => "after_files",
            Self::AfterCommit => "after_commit",
            Self::BeforeOffsets => "before_offsets",
            Self::AfterOffsets => "after_offsets",
            Self::DuringRevoke => "during_revoke",
        }
    }
}

/// What the variable asks for.
struct Fault {
    point: Point,
    /// Passings until the process ends.
    left: AtomicU64,
}

static ARMED: LazyLock<Option<Fault>> = LazyLock::new(|| {
    let asked = std::env::var(VARIABLE).ok().filter(|asked| !asked.is_empty())?;
    match asked.parse::<Fault>() {
        Ok(fault) => {
            tracing::warn!(fault = asked, "armed to end this process, as a test asks");
            Some(fault)
        }
        Err(error) => {
            tracing::error!(%error, "not armed");
            None
        }
    }
});

impl FromStr for Fault {
    type Err = Misspelt;

    fn from_str(asked: &str) -> Result<Self, Misspelt> {
        let (name, passing) = asked.split_once(':').unwrap_or((asked, "1"));
        let point = Point::ALL.into_iter().find(|point| point.as_str() == name);
        let passing = passing.parse().ok().filter(|passing| *passing > 0);
        match (point, passing) {
            (Some(point), Some(passing)) => Ok(Self { point, left: AtomicU64::new(passing) }),
            _ => Err(Misspelt(asked.to_owned())),
        }
    }
}

/// The variable names no point, or no passing of it.
#[derive(Debug)]
struct Misspelt(String);

impl fmt::Display for Misspelt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names = Point::ALL.map(Point::as_str).join(", ");
        write!(f, "{VARIABLE}={:?} is not <point>[:<passing>] with a point of {names}", self.0)
    }
}

/// Passes a point; the armed one ends the process at its last passing.
pub(crate) fn pass(point: Point) {
    if let Some(fault) = &*ARMED
        && fault.is_due(point)
    {
        end();
    }
}

impl Fault {
    fn is_due(&self, point: Point) -> bool {
        self.point == point && self.left.fetch_sub(1, Ordering::Relaxed) == 1
    }
}

#[cfg(unix)]
fn end() {
    if let Err(error) = nix::sys::signal::raise(nix::sys::signal::SIGKILL) {
        tracing::error!(%error, "could not end this process");
    }
}

#[cfg(not(unix))]
fn end() {
    std::process::abort();
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_point_is_due_at_the_passing_that_was_asked_for() {
        let fault: Fault = "after_files:3".parse().unwrap();
        let passings =
            [Point::AfterFiles, Point::AfterCommit, Point::AfterFiles, Point::AfterFiles];
        assert_eq!(passings.map(|point| fault.is_due(point)), [false, false, false, true]);
        assert!(!fault.is_due(Point::AfterFiles), "once");
        let first: Fault = "during_revoke".parse().unwrap();
        assert!(first.is_due(Point::DuringRevoke));
    }

    #[test]
    fn a_misspelt_fault_arms_nothing_and_says_what_there_is() {
        for asked in ["", "after_file", "after_files:0", "after_files:x", "after_files:1:2"] {
            let error = asked.parse::<Fault>().err().expect(asked).to_string();
            assert!(error.contains("before_flush") && error.contains(asked), "{error}");
        }
    }

    #[test]
    fn every_point_is_armed_by_its_name() {
        for point in Point::ALL {
            let fault: Fault = point.as_str().parse().unwrap();
            assert!(fault.point == point && fault.is_due(point));
        }
    }
}
