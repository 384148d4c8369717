//! Where a person left traces: the sessions that their events name.

use std::sync::Arc;

use arrow::array::AsArray;
use arrow::datatypes::{DataType, Int64Type};
use datafusion::common::JoinType;
use datafusion::error::{DataFusionError, Result};
use datafusion::logical_expr::{Expr, cast, col, lit, not};
use datafusion::prelude::{DataFrame, SessionContext};
use onramp_lake::{Lake, Snapshot};
use onramp_schemas::tables::EVENTS;

use super::Person;
use crate::error::ComputeError;
use crate::scan::LakeTable;

/// A person and their sessions.
pub(super) struct Traces {
    pub person: Person,
    /// Sessions that name them.
    pub sessions: Vec<String>,
    /// Keys of these sessions, by which files are pruned.
    keys: Vec<i64>,
    /// Those of the sessions that name nobody else.
    alone: Vec<String>,
}

impl Traces {
    pub async fn find(
        lake: &Lake,
        context: &SessionContext,
        events: &Snapshot,
        person: &Person,
    ) -> std::result::Result<Self, ComputeError> {
        let failed = |source| ComputeError::query("look for a person's events", source);
        let table = Arc::new(LakeTable::new(lake, &EVENTS, Some(events)));
        let found = async {
            let of_client =
                context.read_table(table)?.filter(col("client_id").eq(lit(&person.client_id)))?;
            let own = of_client
                .clone()
                .filter(person.named())?
                .select_columns(&["session_id", "session_key"])?
                .distinct()?;
            let found = named(own.clone()).await?;
            let others = of_client
                .filter(in_list("session_key", found.iter().map(|(_, key)| *key)))?
                .filter(not(person.named()))?
                .select(vec![col("session_id").alias("shared_session")])?
                .distinct()?;
            let alone =
                own.join(others, JoinType::LeftAnti, &["session_id"], &["shared_session"], None)?;
            Ok((found, named(alone).await?))
        };
        let (found, alone) = found.await.map_err(failed)?;
        let (sessions, keys) = found.into_iter().unzip();
        let alone = alone.into_iter().map(|(session, _)| session).collect();
        Ok(Self { person: person.clone(), sessions, keys, alone })
    }

    /// Whether an event is theirs.
    pub fn events(&self) -> Expr {
        let nameless = col("user_id").is_null().and(in_list("session_id", self.alone.iter()));
        self.of_sessions().and(self.person.named().or(nameless))
    }

    /// Whether a session is theirs, perhaps among others.
    pub fn sessions(&self) -> Expr {
        self.of_sessions().and(in_list("session_id", self.sessions.iter()))
    }

    fn of_sessions(&self) -> Expr {
        let client = col("client_id").eq(lit(&self.person.client_id));
        client.and(in_list("session_key", self.keys.iter().copied()))
    }
}

fn in_list<T: datafusion::logical_expr::Literal>(
    column: &str,
    values: impl Iterator<Item = T>,
) -> Expr {
    col(column).in_list(values.map(lit).collect(), false)
}

/// Sessions with their keys.
async fn named(sessions: DataFrame) -> Result<Vec<(String, i64)>> {
    let mut all = Vec::new();
    let sessions = sessions.select(vec![
        cast(col("session_id"), DataType::Utf8).alias("session_id"),
        col("session_key"),
    ])?;
    for batch in sessions.collect().await? {
        let (ids, keys) = (batch.column(0).as_string::<i32>(), batch.column(1));
        let keys = keys.as_primitive::<Int64Type>();
        all.extend(ids.iter().flatten().map(str::to_owned).zip(keys.values().iter().copied()));
    }
    Ok(all)
}

/// Rows of two numbers.
pub(super) async fn pairs(rows: DataFrame) -> Result<Vec<(i64, i64)>, DataFusionError> {
    let columns: Vec<Expr> = rows
        .schema()
        .columns()
        .into_iter()
        .map(|it| cast(Expr::Column(it), DataType::Int64))
        .collect();
    let mut all = Vec::new();
    for batch in rows.select(columns)?.collect().await? {
        let [first, second] = [0, 1].map(|at| batch.column(at).as_primitive::<Int64Type>());
        all.extend(first.values().iter().copied().zip(second.values().iter().copied()));
    }
    Ok(all)
}
