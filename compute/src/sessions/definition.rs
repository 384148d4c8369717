//! A funnel made ready to run on events: its conditions as one packed column, its rules for the fold.

use std::sync::Arc;

use datafusion::error::DataFusionError;
use datafusion::logical_expr::{Expr, col, lit, when};
use datafusion::prelude::SessionContext;
use onramp_schemas::funnel::Funnel;

use crate::error::ComputeError;
use crate::fold::{Digest, Rules};
use crate::predicate::{Compiler, pack_flags};

/// A compiled funnel.
#[derive(Clone, Debug)]
pub(crate) struct Definition {
    /// The funnel's name.
    pub name: String,
    /// The hash that its rows carry.
    pub hash: String,
    /// What the fold follows.
    pub rules: Arc<Rules>,
    columns: Columns,
    stages: u32,
    exclusions: u32,
}

/// Expressions over `events`.
#[derive(Clone, Debug)]
struct Columns {
    flags: Expr,
    reason: Expr,
    code: Expr,
    opening: Expr,
}

impl Definition {
    /// Compiles every condition of the funnel.
    pub fn compile(context: &SessionContext, funnel: &Funnel) -> Result<Self, ComputeError> {
        let failed = |source: DataFusionError| {
            ComputeError::query(format!("compile the funnel {}", funnel.name), source)
        };
        let compiler = Compiler::new(context, &funnel.name).map_err(failed)?;
        let mut conditions = Vec::new();
        for (index, stage) in funnel.stages.iter().enumerate() {
            let place = format!("stage {} ({:?})", index + 1, stage.name);
            conditions.push(compiler.condition(&stage.condition(), &place)?);
        }
        for (index, exclusion) in funnel.exclusions.iter().enumerate() {
            let place = format!("exclusion {}", index + 1);
            conditions.push(compiler.condition(&exclusion.condition(), &place)?);
        }
        let abandonment = match &funnel.abandonment {
            Some(abandonment) => compiler.condition(&abandonment.condition(), "abandonment")?,
            None => lit(false),
        };
        let error = match &funnel.error {
            Some(error) => compiler.condition(&error.condition(), "error")?,
            None => lit(false),
        };
        let activity = match &funnel.activity {
            Some(activity) => compiler.condition(activity, "activity")?,
            None => lit(true),
        };
        let reason_field = funnel.abandonment.as_ref().and_then(|it| it.reason_field.as_deref());
        let code_field = funnel.error.as_ref().and_then(|it| it.code_field.as_deref());
        let nothing = || crate::predicate::no_text();
        let given = |condition: &Expr, value: Expr| {
            when(condition.clone(), value).otherwise(nothing()).map_err(failed)
        };
        let reason = reason_field.map_or_else(nothing, |field| compiler.field(field));
        let code = code_field.map_or_else(nothing, |field| compiler.field(field));
        let columns = Columns {
            reason: given(&abandonment, reason)?,
            code: given(&error, code)?,
            opening: given(&conditions[0], col("data"))?,
            flags: {
                let mut all = conditions;
                all.extend([abandonment, error, activity]);
                pack_flags(all)
            },
        };
        Ok(Self {
            name: funnel.name.clone(),
            hash: funnel.hash(),
            rules: Arc::new(Rules::new(funnel)),
            columns,
            stages: funnel.stages.len() as u32,
            exclusions: funnel.exclusions.len() as u32,
        })
    }

    /// What is read of each event, in this order: `session_key, client_id, session_id, occurred_at,
    /// source, id, flags, reason, code, opening` and, where copies must be told apart exactly,
    /// `event_type, data`.
    pub fn projection(&self, exact: bool) -> Vec<Expr> {
        let mut columns: Vec<Expr> =
            ["session_key", "client_id", "session_id", "occurred_at", "source", "id"]
                .map(col)
                .into();
        columns.extend([
            self.columns.flags.clone().alias("flags"),
            self.columns.reason.clone().alias("reason"),
            self.columns.code.clone().alias("code"),
            self.columns.opening.clone().alias("opening"),
        ]);
        if exact {
            columns.extend([col("event_type"), col("data")]);
        }
        columns
    }

    /// Unpacks the column `flags`.
    pub fn digest(
        &self,
        id: u128,
        occurred_at: i64,
        flags: i64,
        reason: Option<Arc<str>>,
        code: Option<Arc<str>>,
    ) -> Digest {
        let mask = |bits: u32| ((1_u64 << bits) - 1) as i64;
        let last = flags >> (self.stages + self.exclusions);
        Digest {
            id,
            occurred_at,
            stages: (flags & mask(self.stages)) as u32,
            exclusions: ((flags >> self.stages) & mask(self.exclusions)) as u32,
            abandonment: last & 1 != 0,
            error: last & 2 != 0,
            activity: last & 4 != 0,
            reason,
            code,
        }
    }
}
