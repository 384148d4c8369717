//! The tables that statements name.

use std::sync::Arc;

use arrow::datatypes::{DataType, SchemaRef};
use async_trait::async_trait;
use datafusion::catalog::{SchemaProvider, Session, TableProvider};
use datafusion::common::{JoinType, Result, TableReference};
use datafusion::datasource::{TableType, ViewTable};
use datafusion::error::DataFusionError;
use datafusion::logical_expr::{Expr, TableProviderFilterPushDown};
use datafusion::physical_plan::ExecutionPlan;
use onramp_compute::scan::LakeTable;
use onramp_schemas::tables::{self, Table};

use super::SqlError;
use super::confine::confined;
use super::moment::Moment;
use super::views::{ALL_SESSIONS, DAYS, Documented, SESSIONS_OF, STAGES, View, funnel_named};
use crate::access::Scope;

/// A table as it is explained to people.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Described {
    /// What one row is.
    pub doc: String,
    /// The columns in order.
    pub columns: Vec<DescribedColumn>,
}

/// A column as it is explained to people.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DescribedColumn {
    /// Its name.
    pub name: String,
    /// Its type in words.
    pub kind: String,
    /// Whether it may be null.
    pub nullable: bool,
    /// What it means, with its unit.
    pub doc: String,
}

/// A caller's tables.
#[derive(Debug)]
pub(super) struct LakeSchema {
    moment: Arc<Moment>,
    scope: Scope,
}

impl LakeSchema {
    pub fn new(moment: Arc<Moment>, scope: Scope) -> Self {
        Self { moment, scope }
    }

    /// Whether there is such a table, where it is of this schema.
    ///
    /// # Errors
    /// There is none; with the name that was meant, or all there are.
    pub fn check(&self, table: &TableReference) -> Result<(), SqlError> {
        let (schema, name) = (table.schema().unwrap_or("public"), table.table());
        if schema != "public" || self.table_exist(name) {
            return Ok(());
        }
        let known = self.table_names();
        let distance = |known: &String| strsim::damerau_levenshtein(known, &name.to_lowercase());
        let likely = known.iter().min_by_key(|known| distance(known));
        let hint = match likely.filter(|known| distance(known) <= 3) {
            Some(likely) => format!("did you mean {likely}?"),
            None => format!("there are {}", known.join(", ")),
        };
        Err(SqlError::NoTable { name: name.to_owned(), hint })
    }

    /// A table of the lake, as far as the caller sees it.
    fn stored(&self, table: &'static Table) -> Arc<dyn TableProvider> {
        confined(Arc::new(Stored { moment: Arc::clone(&self.moment), table }), &self.scope)
    }

    /// What a table is and what its columns mean; `None`: there is no such table.
    ///
    /// # Errors
    /// A funnel whose sessions cannot be planned.
    pub async fn describe(&self, name: &str) -> Result<Option<Described>, SqlError> {
        let Some(table) = self.table(name).await? else { return Ok(None) };
        let documented = self.documented(name);
        let meaning = |column: &str| {
            let own = documented.columns.iter().find(|(name, _)| name == column);
            own.map_or_else(String::new, |(_, doc)| doc.clone())
        };
        let schema = table.schema();
        let columns = schema.fields().iter().map(|field| DescribedColumn {
            name: field.name().clone(),
            kind: type_name(field.data_type()),
            nullable: field.is_nullable(),
            doc: meaning(field.name()),
        });
        Ok(Some(Described { doc: documented.doc, columns: columns.collect() }))
    }

    fn documented(&self, name: &str) -> Documented {
        match self.view(name) {
            Some(view) => view.documented(),
            None => tables::ALL.into_iter().find(|table| table.name == name).map_or_else(
                Documented::default,
                |table| {
                    let column = |it: &tables::Column| (it.name.to_owned(), it.doc.to_owned());
                    let columns = table.columns.iter().map(column).collect();
                    Documented { doc: table.doc.to_owned(), columns }
                },
            ),
        }
    }

    fn view(&self, name: &str) -> Option<View> {
        let funnels = &self.moment.source().funnels;
        match name {
            ALL_SESSIONS => Some(View::AllSessions(Arc::clone(funnels))),
            DAYS => Some(View::Days(Arc::clone(funnels))),
            STAGES => Some(View::Stages(Arc::clone(funnels))),
            _ => {
                let name = name.strip_prefix(SESSIONS_OF)?;
                let funnel = funnels.iter().find(|funnel| funnel.name == name)?;
                Some(View::Sessions(Box::new(funnel.clone())))
            }
        }
    }

    /// Dead letters but those whose record was accepted after all: they are void. Only sequences that
    /// have a letter are looked up, so that the join stays as small as the letters are few.
    fn valid_letters(&self) -> Result<Arc<dyn TableProvider>> {
        let place = ["source_partition", "sequence"];
        let context = self.moment.source().engine.scratch();
        let accepted = context.read_table(self.stored(&tables::EVENTS))?.select_columns(&place)?;
        let letters = context.read_table(self.stored(&tables::DEAD_LETTERS))?;
        let valid = letters.join(accepted, JoinType::LeftAnti, &place, &place, None)?;
        Ok(Arc::new(ViewTable::new(valid.into_unoptimized_plan(), None)))
    }
}

#[async_trait]
impl SchemaProvider for LakeSchema {
    fn table_names(&self) -> Vec<String> {
        let funnels = &self.moment.source().funnels;
        let stored = tables::ALL.map(|table| table.name.to_owned());
        let sessions = funnels.iter().map(|funnel| format!("{SESSIONS_OF}{}", funnel.name));
        let views = [ALL_SESSIONS, DAYS, STAGES].map(str::to_owned);
        let mut names: Vec<String> = stored.into_iter().chain(sessions).chain(views).collect();
        names.sort_unstable();
        names
    }

    async fn table(&self, name: &str) -> Result<Option<Arc<dyn TableProvider>>, DataFusionError> {
        if let Some(view) = self.view(name) {
            return Ok(Some(view.table(&self.moment, &self.scope).await?));
        }
        if name == tables::DEAD_LETTERS.name {
            return Ok(Some(self.valid_letters()?));
        }
        let table = tables::ALL.into_iter().find(|table| table.name == name);
        Ok(table.map(|table| self.stored(table)))
    }

    async fn table_type(&self, name: &str) -> Result<Option<TableType>> {
        let kind = if self.view(name).is_some() { TableType::View } else { TableType::Base };
        Ok(self.table_exist(name).then_some(kind))
    }

    fn table_exist(&self, name: &str) -> bool {
        self.view(name).is_some() || tables::ALL.iter().any(|table| table.name == name)
    }
}

/// A type as the documents name it.
fn type_name(kind: &DataType) -> String {
    match kind {
        DataType::Utf8 => "text".to_owned(),
        DataType::Boolean => "truth value".to_owned(),
        DataType::Int32 => "32-bit integer".to_owned(),
        DataType::Int64 => "64-bit integer".to_owned(),
        DataType::UInt64 => "64-bit count".to_owned(),
        DataType::Float64 => "64-bit float".to_owned(),
        DataType::Date32 => "day".to_owned(),
        DataType::Timestamp(..) => "instant".to_owned(),
        DataType::Binary => "bytes".to_owned(),
        DataType::Struct(_) => "structure".to_owned(),
        DataType::Map(..) => "map of text to text".to_owned(),
        DataType::List(element) => format!("list of {}", type_name(element.data_type())),
        other => other.to_string(),
    }
}

/// A table of the lake, opened when it is read.
#[derive(Debug)]
struct Stored {
    moment: Arc<Moment>,
    table: &'static Table,
}

#[async_trait]
impl TableProvider for Stored {
    fn schema(&self) -> SchemaRef {
        self.table.arrow_schema()
    }

    fn table_type(&self) -> TableType {
        TableType::Base
    }

    fn supports_filters_pushdown(
        &self,
        filters: &[&Expr],
    ) -> Result<Vec<TableProviderFilterPushDown>> {
        Ok(vec![TableProviderFilterPushDown::Inexact; filters.len()])
    }

    async fn scan(
        &self,
        state: &dyn Session,
        projection: Option<&Vec<usize>>,
        filters: &[Expr],
        limit: Option<usize>,
    ) -> Result<Arc<dyn ExecutionPlan>> {
        if self.table.name == tables::SESSIONS.name {
            let only = funnel_named(filters);
            let funnels = self.moment.source().funnels.iter();
            for funnel in funnels.filter(|it| only.is_none_or(|name| it.name == name)) {
                self.moment.folded(funnel).await?;
            }
        }
        let snapshot = self.moment.snapshot(self.table).await?;
        let table = LakeTable::new(&self.moment.source().lake, self.table, snapshot.as_deref());
        table.scan(state, projection, filters, limit).await
    }
}
