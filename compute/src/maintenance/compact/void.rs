//! Void dead letters: their record was accepted after all, by a writer with another configuration.

use std::collections::HashSet;
use std::sync::Arc;

use arrow::array::AsArray;
use arrow::datatypes::DataType;
use datafusion::common::JoinType;
use datafusion::error::{DataFusionError, Result};
use datafusion::logical_expr::{cast, col};
use datafusion::prelude::{DataFrame, SessionContext};
use onramp_lake::{Lake, Snapshot};
use onramp_schemas::tables::{DEAD_LETTERS, EVENTS, Table};

use super::Values;
use crate::error::ComputeError;
use crate::scan::LakeTable;

const DATE: &str = "dead_letter_date";
/// Where a record was read, by the names of a letter and of an accepted event.
const PLACE: [&str; 2] = ["source_partition", "sequence"];
const ACCEPTED: [&str; 2] = ["accepted_partition", "accepted_sequence"];

/// Which partitions hold void letters, and what makes them so.
#[derive(Default)]
pub(super) struct Void {
    dates: HashSet<String>,
    accepted: Option<DataFrame>,
}

impl Void {
    /// Looks for void rows of a table; there are none but in `dead_letters`.
    pub async fn find(
        lake: &Lake,
        context: &SessionContext,
        table: &'static Table,
        snapshot: &Snapshot,
    ) -> Result<Self, ComputeError> {
        if table.name != DEAD_LETTERS.name || snapshot.files.is_empty() {
            return Ok(Self::default());
        }
        let Some(events) = lake.open_table(&EVENTS).await? else { return Ok(Self::default()) };
        let events = LakeTable::new(lake, &EVENTS, Some(&events.snapshot().await?));
        let letters = LakeTable::new(lake, &DEAD_LETTERS, Some(snapshot));
        let found = async {
            let place = PLACE.iter().zip(ACCEPTED).map(|(name, alias)| col(*name).alias(alias));
            let accepted = context.read_table(Arc::new(events))?.select(place)?;
            let letters = context.read_table(Arc::new(letters))?;
            let void =
                letters.join(accepted.clone(), JoinType::LeftSemi, &PLACE, &ACCEPTED, None)?;
            let dates =
                void.select(vec![cast(col(DATE), DataType::Utf8).alias(DATE)])?.distinct()?;
            let mut found = Self { accepted: Some(accepted), ..Self::default() };
            for batch in dates.collect().await? {
                let dates = batch.column(0).as_string::<i32>();
                found.dates.extend(dates.iter().flatten().map(str::to_owned));
            }
            Ok::<_, DataFusionError>(found)
        };
        found.await.map_err(|source| ComputeError::query("look for void dead letters", source))
    }

    /// Whether a partition holds void rows.
    pub fn of(&self, values: &Values) -> bool {
        let date = values.get(DATE).and_then(Option::as_ref);
        date.is_some_and(|date| self.dates.contains(date))
    }

    /// The rows that are not void.
    pub fn drop_from(&self, letters: DataFrame) -> Result<DataFrame> {
        match &self.accepted {
            Some(accepted) => {
                letters.join(accepted.clone(), JoinType::LeftAnti, &PLACE, &ACCEPTED, None)
            }
            None => Ok(letters),
        }
    }
}
