//! Which sessions a question is about at all, whatever its period.

use std::collections::{BTreeMap, BTreeSet};

use datafusion::logical_expr::{Expr, col, lit};
use serde::{Deserialize, Serialize};

use crate::fold::Session;
use crate::sessions::CLIENT_ID;

/// Conditions that every session of an answer meets; none by default.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Selection {
    /// It is of one of these clients, which are all that the asker may see; `None`: of any.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub clients: Option<BTreeSet<String>>,
    /// It has these values of attributes; `None`: it lacks the attribute.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub attributes: BTreeMap<String, Option<String>>,
}

impl Selection {
    /// Whether sessions of this client are among them.
    pub(crate) fn sees(&self, client_id: &str) -> bool {
        self.clients.as_ref().is_none_or(|clients| clients.contains(client_id))
    }

    /// Whether a session's attributes are the wanted ones; `value` gives that of a name.
    pub(crate) fn has<'a>(&self, value: impl Fn(&str) -> Option<&'a str>) -> bool {
        self.attributes.iter().all(|(name, wanted)| value(name) == wanted.as_deref())
    }

    /// Whether a folded session, whose attributes are those of `names`, has the wanted ones.
    pub(crate) fn holds(&self, session: &Session, names: &[String]) -> bool {
        self.has(|wanted| {
            let place = names.iter().position(|name| name == wanted)?;
            session.attributes[place].as_deref()
        })
    }

    /// The condition on rows with a `client_id`, where one client was asked for as well; `None`: all
    /// clients are wanted.
    pub(crate) fn clients_filter(&self, client_id: Option<&str>) -> Option<Expr> {
        let seen = self.clients.as_ref().map(|clients| {
            col(CLIENT_ID)
                .in_list(clients.iter().map(|client| lit(client.as_str())).collect(), false)
        });
        let asked = client_id.map(|client| col(CLIENT_ID).eq(lit(client)));
        seen.into_iter().chain(asked).reduce(Expr::and)
    }
}
