//! Who asks, and what they may do and see.

use std::collections::BTreeSet;

/// What a caller may do. `Viewer`, `Analyst` and `Admin` include what stands before them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Role {
    /// Sends events, reads nothing.
    Ingest,
    /// Reads analytics.
    Viewer,
    /// Runs statements.
    Analyst,
    /// Keeps the lake and its dead letters; sends events too.
    Admin,
}

/// The clients whose data a caller sees.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Scope {
    /// All of them.
    Everything,
    /// These and no other.
    Clients(BTreeSet<String>),
}

/// Somebody who was let in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Caller {
    /// As the audit knows them; no secret.
    pub name: String,
    /// What they may do.
    pub role: Role,
    /// What they may see.
    pub scope: Scope,
}

impl Caller {
    /// Whoever is on this machine, where no access control is configured.
    pub fn local() -> Self {
        Self { name: "local".to_owned(), role: Role::Admin, scope: Scope::Everything }
    }

    /// Whether the caller may do what `role` may.
    pub fn may(&self, role: Role) -> bool {
        match role {
            Role::Ingest => matches!(self.role, Role::Ingest | Role::Admin),
            Role::Viewer | Role::Analyst | Role::Admin => self.role >= role,
        }
    }
}
