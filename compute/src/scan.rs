//! Reading a lake table at one version: a DataFusion table over the snapshot's active files.
//!
//! It owns file pruning by partition values and statistics. It never writes and never looks at the
//! log again: what a snapshot holds is what a query sees.

use std::sync::Arc;

use arrow::datatypes::{DataType, Field, Schema, SchemaRef};
use async_trait::async_trait;
use datafusion::catalog::{Session, TableProvider};
use datafusion::common::{DFSchema, Result, ScalarValue, Statistics, stats::Precision};
use datafusion::datasource::TableType;
use datafusion::datasource::listing::PartitionedFile;
use datafusion::datasource::physical_plan::{FileGroup, FileScanConfigBuilder, ParquetSource};
use datafusion::datasource::source::DataSourceExec;
use datafusion::datasource::table_schema::TableSchema;
use datafusion::error::DataFusionError;
use datafusion::execution::object_store::ObjectStoreUrl;
use datafusion::logical_expr::utils::conjunction;
use datafusion::logical_expr::{Expr, TableProviderFilterPushDown};
use datafusion::object_store::{ObjectMeta, path::Path};
use datafusion::physical_optimizer::pruning::PruningPredicateBuilder;
use datafusion::physical_plan::{ExecutionPlan, empty::EmptyExec};
use onramp_lake::{DataFile, Lake, Snapshot};
use onramp_schemas::tables::Table as Definition;

use crate::engine::store_url;

mod bounds;
#[cfg(test)]
mod tests;

use bounds::Bounds;

/// The extra column of [`LakeTable::with_file_column`]: the row's file, by its place in the list.
pub const FILE_COLUMN: &str = "_file";

/// A table of the lake at one version, read-only.
#[derive(Debug)]
pub struct LakeTable {
    definition: &'static Definition,
    store: ObjectStoreUrl,
    files: Vec<DataFile>,
    /// Declared column order, with the file column last if there is one.
    schema: SchemaRef,
    /// Columns in the files, then those of the partition: DataFusion's order.
    layout: TableSchema,
    row_filter: bool,
    /// What the reader makes of the files' columns; `None`: what they say themselves.
    decoded: Option<SchemaRef>,
}

impl LakeTable {
    /// The table as the snapshot holds it; `None` (it does not exist yet) reads as empty.
    pub fn new(lake: &Lake, definition: &'static Definition, snapshot: Option<&Snapshot>) -> Self {
        Self::of_files(
            lake,
            definition,
            snapshot.map_or(&[][..], |snapshot| &snapshot.files).to_vec(),
        )
    }

    /// Only these files of the table.
    pub fn of_files(lake: &Lake, definition: &'static Definition, files: Vec<DataFile>) -> Self {
        let schema = definition.arrow_schema();
        let layout = layout(&schema, definition.partition_by, false);
        Self {
            definition,
            store: store_url(lake),
            files,
            schema,
            layout,
            row_filter: false,
            decoded: None,
        }
    }

    /// Adds the column [`FILE_COLUMN`] (Int32): the index of the row's file in the list of files.
    #[must_use]
    pub fn with_file_column(mut self) -> Self {
        let mut fields: Vec<_> = self.definition.arrow_schema().fields().iter().cloned().collect();
        fields.push(Arc::new(Field::new(FILE_COLUMN, DataType::Int32, false)));
        self.layout = layout(&self.definition.arrow_schema(), self.definition.partition_by, true);
        self.schema = Arc::new(Schema::new(fields));
        self
    }

    /// Reads these text columns as dictionaries, the way they lie in the files: a value is decoded once
    /// and its rows point to it.
    #[must_use]
    pub fn with_dictionaries(mut self, columns: &[&str]) -> Self {
        let dictionary = DataType::Dictionary(Box::new(DataType::Int32), Box::new(DataType::Utf8));
        let fields = self.definition.arrow_schema();
        let fields =
            fields.fields().iter().map(|field| match columns.contains(&field.name().as_str()) {
                true => Arc::new(field.as_ref().clone().with_data_type(dictionary.clone())),
                false => Arc::clone(field),
            });
        self.schema = Arc::new(Schema::new(fields.collect::<Vec<_>>()));
        self.layout = layout(&self.schema, self.definition.partition_by, false);
        self.decoded = Some(Arc::clone(self.layout.file_schema()));
        self
    }

    /// Decodes of a row only what the filter needs, until it is known to be wanted: for filters
    /// that few rows pass.
    #[must_use]
    pub fn with_row_filter(mut self) -> Self {
        self.row_filter = true;
        self
    }

    /// Indices of the files that may hold rows for which all filters are true.
    fn surviving(&self, state: &dyn Session, filters: &[Expr]) -> Result<Vec<usize>> {
        let all = || (0..self.files.len()).collect();
        let Some(filter) = conjunction(filters.iter().cloned()) else { return Ok(all()) };
        let schema = DFSchema::try_from(Arc::clone(&self.schema))?;
        let predicate = state.create_physical_expr(filter, &schema)?;
        // An expression that pruning does not understand prunes nothing; the filter above decides.
        let pruning = PruningPredicateBuilder::new()
            .with_file_schema(Arc::clone(&self.schema))
            .build(predicate);
        let Some(pruning) = pruning else { return Ok(all()) };
        let keep = pruning.prune(&Bounds::new(self.definition, &self.schema, &self.files))?;
        Ok((0..self.files.len()).filter(|&index| keep[index]).collect())
    }

    fn partitioned(&self, index: usize) -> Result<PartitionedFile> {
        let file = &self.files[index];
        let path = format!("{}/{}", self.definition.name, file.path);
        let mut values = Vec::with_capacity(self.layout.table_partition_cols().len());
        for column in self.layout.table_partition_cols() {
            values.push(match column.name().as_str() {
                FILE_COLUMN => ScalarValue::Int32(Some(index as i32)),
                name => partition_value(file, name, column.data_type())?,
            });
        }
        let mut partitioned = PartitionedFile::from(ObjectMeta {
            location: Path::parse(&path)
                .map_err(|error| DataFusionError::External(Box::new(error)))?,
            last_modified: chrono::DateTime::from_timestamp_micros(file.modified_at)
                .unwrap_or_default(),
            size: u64::try_from(file.size).unwrap_or_default(),
            e_tag: None,
            version: None,
        });
        partitioned.partition_values = values;
        partitioned.arrow_schema = self.decoded.clone();
        Ok(partitioned)
    }

    /// Row counts from the log, so that a bare `count(*)` reads no file.
    fn statistics(&self, files: &[usize]) -> Statistics {
        let mut statistics = Statistics::new_unknown(self.layout.table_schema());
        let rows: Option<i64> = files.iter().map(|&index| self.files[index].rows).sum();
        if let Some(rows) = rows.and_then(|rows| usize::try_from(rows).ok()) {
            statistics.num_rows = Precision::Exact(rows);
        }
        statistics
    }

    /// Declared column indices in terms of the layout.
    fn laid_out(&self, projection: Option<&Vec<usize>>) -> Result<Vec<usize>> {
        let layout = self.layout.table_schema();
        let declared: Vec<usize> =
            projection.cloned().unwrap_or_else(|| (0..self.schema.fields().len()).collect());
        let place = |index: usize| Ok(layout.index_of(self.schema.field(index).name())?);
        declared.into_iter().map(place).collect()
    }
}

#[async_trait]
impl TableProvider for LakeTable {
    fn schema(&self) -> SchemaRef {
        Arc::clone(&self.schema)
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
        let files = self.surviving(state, filters)?;
        let laid_out = self.laid_out(projection)?;
        if files.is_empty() {
            let fields: Vec<_> = match projection {
                Some(indices) => {
                    indices.iter().map(|&index| Arc::clone(&self.schema.fields()[index])).collect()
                }
                None => self.schema.fields().to_vec(),
            };
            return Ok(Arc::new(EmptyExec::new(Arc::new(Schema::new(fields)))));
        }
        let groups = state.config().target_partitions().min(files.len());
        let mut grouped: Vec<Vec<PartitionedFile>> = vec![Vec::new(); groups];
        for (position, &index) in files.iter().enumerate() {
            grouped[position % groups].push(self.partitioned(index)?);
        }
        let source = ParquetSource::new(self.layout.clone())
            .with_table_parquet_options(state.table_options().parquet.clone())
            .with_pushdown_filters(self.row_filter)
            .with_reorder_filters(self.row_filter);
        let config = FileScanConfigBuilder::new(self.store.clone(), Arc::new(source))
            .with_file_groups(grouped.into_iter().map(FileGroup::new).collect())
            .with_statistics(self.statistics(&files))
            .with_projection_indices(Some(laid_out))?
            .with_limit(limit)
            .build();
        Ok(DataSourceExec::from_data_source(config))
    }
}

fn layout(schema: &Schema, partition_by: &[&str], file_column: bool) -> TableSchema {
    let is_partition = |field: &Field| partition_by.contains(&field.name().as_str());
    let in_files: Vec<_> =
        schema.fields().iter().filter(|field| !is_partition(field)).cloned().collect();
    let mut partition: Vec<_> = partition_by
        .iter()
        .filter_map(|name| schema.field_with_name(name).ok().map(|field| Arc::new(field.clone())))
        .collect();
    if file_column {
        partition.push(Arc::new(Field::new(FILE_COLUMN, DataType::Int32, false)));
    }
    TableSchema::builder(Arc::new(Schema::new(in_files)))
        .with_table_partition_cols(partition)
        .build()
}

/// The value that every row of a file has in a partition column.
fn partition_value(file: &DataFile, column: &str, kind: &DataType) -> Result<ScalarValue> {
    match file.partition_values.get(column).and_then(Option::as_ref) {
        Some(text) => ScalarValue::try_from_string(text.clone(), kind),
        None => ScalarValue::try_from(kind),
    }
}
