//! Who asks, and what they may do and see.
//!
//! A caller shows a token of ours ([`tokens`]) or a JWT of an identity provider ([`oidc`]); the
//! [`Authenticator`] tells who that is, the [`Guard`] stands in front of the [`routes`], and what
//! administrators do is kept in the [`audit`].

pub mod audit;
mod authenticator;
mod guard;
mod limits;
pub mod oidc;
pub mod routes;
pub mod tokens;

use std::collections::BTreeSet;
use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

pub use authenticator::{Authenticator, Denied, Options};
pub use guard::Guard;
pub use limits::Rates;

/// What a caller may do. `Viewer`, `Analyst` and `Admin` include what stands before them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
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

impl Role {
    /// Every role.
    pub const ALL: [Self; 4] = [Self::Ingest, Self::Viewer, Self::Analyst, Self::Admin];

    /// As it is written.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Ingest => "ingest",
            Self::Viewer => "viewer",
            Self::Analyst => "analyst",
            Self::Admin => "admin",
        }
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl FromStr for Role {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let known = Self::ALL.into_iter().find(|role| role.as_str() == text);
        known.ok_or_else(|| {
            format!("there is no role {text:?}; write ingest, viewer, analyst or admin")
        })
    }
}

/// The clients whose data a caller sees.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Scope {
    /// All of them.
    Everything,
    /// These and no other.
    Clients(BTreeSet<String>),
}

impl Scope {
    /// The scope of an optional list of clients: none means everything.
    pub fn of(clients: Option<BTreeSet<String>>) -> Self {
        clients.map_or(Self::Everything, Self::Clients)
    }

    /// Whether data of this client may be seen.
    pub fn covers(&self, client_id: &str) -> bool {
        match self {
            Self::Everything => true,
            Self::Clients(clients) => clients.contains(client_id),
        }
    }
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
