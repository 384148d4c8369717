//! What is wrong with the few records that must not be accepted.

use super::random::Random;

/// One way in which a record is broken; each ends in another rejection code.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Defect {
    /// Cut off: `malformed_json`.
    Truncated,
    /// Without an id: `not_cloudevents`.
    NoId,
    /// A misspelt type: `unknown_type`.
    OtherType,
    /// An older CloudEvents: `unsupported_version`.
    OtherVersion,
    /// Text where the payload's object belongs: `schema_violation`.
    NoObject,
    /// Without a session: `missing_session`.
    NoSession,
    /// A time that is none: `bad_timestamp`.
    NoTime,
    /// A time centuries ahead: `from_the_future`.
    FarFuture,
}

/// Every defect with how often it is met among them.
const DEFECTS: [(Defect, u32); 8] = [
    (Defect::NoObject, 30),
    (Defect::Truncated, 20),
    (Defect::OtherType, 15),
    (Defect::NoSession, 10),
    (Defect::NoTime, 10),
    (Defect::FarFuture, 5),
    (Defect::NoId, 5),
    (Defect::OtherVersion, 5),
];

/// Draws one.
pub fn draw(random: &mut Random) -> Defect {
    DEFECTS[usize::from(random.pick(&DEFECTS.map(|(_, weight)| weight)))].0
}
