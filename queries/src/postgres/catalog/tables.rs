//! The catalogue's tables that tell of the views: comments, types, and the standard's schema.

use std::collections::HashMap;
use std::sync::Arc;

use datafusion::arrow::array::{
    ArrayRef, AsArray, Int32Array, RecordBatch, StringArray, new_empty_array,
};
use datafusion::arrow::compute::concat_batches;
use datafusion::arrow::datatypes::{DataType, Field, Int16Type, Int32Type, Schema};
use datafusion::catalog::{MemTable, TableProvider};
use datafusion::error::Result;
use datafusion::prelude::SessionContext;
use datafusion_postgres::arrow_pg::datatypes::into_pg_type;
use datafusion_postgres::pgwire::api::Type;

use super::{DATABASE, SCHEMA, View};

/// The numbers of relations, by name.
pub type Numbers = HashMap<String, i32>;
/// Tables of a schema, by name.
type Named = HashMap<&'static str, Arc<dyn TableProvider>>;

/// The number that each relation got; they stay, as the catalogue keeps what it gave out.
pub async fn numbers(bare: &SessionContext) -> Result<Numbers> {
    let rows = all(bare, "SELECT relname, oid FROM pg_catalog.pg_class").await?;
    let (names, numbers) = (rows.column(0).as_string::<i32>(), rows.column(1));
    let numbers = numbers.as_primitive::<Int32Type>();
    Ok(names.iter().flatten().map(str::to_owned).zip(numbers.values().iter().copied()).collect())
}

/// Tables that replace PostgreSQL's: with the comments, with the types of lists, with one database.
pub async fn postgres(bare: &SessionContext, views: &[View], numbers: &Numbers) -> Result<Named> {
    let columns = all(bare, "SELECT * FROM pg_catalog.pg_attribute").await?;
    let relations =
        "SELECT *, arrow_cast(NULL, 'List(Utf8)') AS reloptions FROM pg_catalog.pg_class";
    let databases = format!("SELECT * FROM pg_catalog.pg_database WHERE datname = '{DATABASE}'");
    Ok(HashMap::from([
        ("pg_class", memory(all(bare, relations).await?)?),
        ("pg_attribute", memory(typed(&columns, views, numbers)?)?),
        ("pg_database", memory(all(bare, &databases).await?)?),
        ("pg_description", memory(described(bare, views, numbers).await?)?),
    ]))
}

/// `pg_attribute` with the types that rows are sent in: lists as arrays of their elements.
fn typed(columns: &RecordBatch, views: &[View], numbers: &Numbers) -> Result<RecordBatch> {
    let schema = columns.schema();
    let of = |name: &str| schema.index_of(name);
    let (relation, place, kind) = (of("attrelid")?, of("attnum")?, of("atttypid")?);
    let relations = columns.column(relation).as_primitive::<Int32Type>();
    let places = columns.column(place).as_primitive::<Int16Type>();
    let given = columns.column(kind).as_primitive::<Int32Type>();
    let by_number: HashMap<i32, &View> =
        views.iter().filter_map(|view| Some((*numbers.get(&view.name)?, view))).collect();
    let kinds: Int32Array = (0..columns.num_rows())
        .map(|row| {
            let view = by_number.get(&relations.value(row))?;
            let place = usize::try_from(places.value(row)).ok()?.checked_sub(1)?;
            let kind = into_pg_type(view.columns.fields().get(place)?.data_type()).ok()?;
            // Records have no fields that could be told here.
            let records = [Type::RECORD.oid(), Type::RECORD_ARRAY.oid()];
            let kind = if records.contains(&kind.oid()) { Type::TEXT } else { kind };
            i32::try_from(kind.oid()).ok()
        })
        .enumerate()
        .map(|(row, kind)| Some(kind.unwrap_or_else(|| given.value(row))))
        .collect();
    let mut arrays = columns.columns().to_vec();
    arrays[kind] = Arc::new(kinds);
    Ok(RecordBatch::try_new(schema, arrays)?)
}

/// `pg_description`: what views and columns mean.
async fn described(
    bare: &SessionContext,
    views: &[View],
    numbers: &Numbers,
) -> Result<RecordBatch> {
    let empty = all(bare, "SELECT * FROM pg_catalog.pg_description LIMIT 0").await?;
    let class = numbers.get("pg_class").copied().unwrap_or_default();
    let mut rows = Vec::new();
    for view in views {
        let Some(&number) = numbers.get(&view.name) else { continue };
        rows.extend(view.comments().map(|(place, text)| (number, place, text)));
    }
    let numbers_of = |of: fn(&(i32, i32, &str)) -> i32| -> ArrayRef {
        Arc::new(rows.iter().map(of).collect::<Int32Array>())
    };
    let schema = empty.schema();
    let arrays = schema.fields().iter().map(|field| match field.name().as_str() {
        "objoid" => Ok(numbers_of(|row| row.0)),
        "classoid" => Ok(Arc::new(Int32Array::from(vec![class; rows.len()])) as ArrayRef),
        "objsubid" => Ok(numbers_of(|row| row.1)),
        _ => Ok(Arc::new(rows.iter().map(|row| Some(row.2)).collect::<StringArray>()) as ArrayRef),
    });
    Ok(RecordBatch::try_new(schema.clone(), arrays.collect::<Result<_>>()?)?)
}

/// The standard's schema, with PostgreSQL's names of types.
pub fn standard(views: &[View]) -> Result<Named> {
    let mut columns = Rows::default();
    let mut tables = Rows::default();
    for view in views {
        let place = [DATABASE, SCHEMA, view.name.as_str()];
        tables.push([&place[..], &["BASE TABLE", "NO", "NO"]].concat());
        for (number, field) in (1..).zip(view.columns.fields()) {
            let kind = into_pg_type(field.data_type()).unwrap_or(Type::TEXT);
            let nullable = if field.is_nullable() { "YES" } else { "NO" };
            let number = i32::to_string(&number);
            let told = [field.name(), &number, nullable, name(&kind), DATABASE, "pg_catalog"];
            columns.push([&place[..], &told, &[kind.name(), "NO", "NEVER"]].concat());
        }
    }
    let schemata: Vec<Vec<&str>> = [SCHEMA, "pg_catalog", "information_schema"]
        .map(|schema| vec![DATABASE, schema, "onramp"])
        .into();
    let schemata = Rows(schemata.into_iter().map(owned).collect());
    let place = ["table_catalog", "table_schema", "table_name"];
    let constraint = ["constraint_catalog", "constraint_schema", "constraint_name"];
    let with = |more: &[&'static str]| [&place[..], more].concat();
    Ok(HashMap::from([
        ("tables", tables.table(&with(&["table_type", "is_insertable_into", "is_typed"]))?),
        (
            "columns",
            columns.table(&with(&[
                "column_name",
                "ordinal_position",
                "is_nullable",
                "data_type",
                "udt_catalog",
                "udt_schema",
                "udt_name",
                "is_identity",
                "is_generated",
            ]))?,
        ),
        ("schemata", schemata.table(&["catalog_name", "schema_name", "schema_owner"])?),
        ("views", Rows::default().table(&with(&["view_definition"]))?),
        (
            "table_constraints",
            Rows::default().table(&[&constraint[..], &place, &["constraint_type"]].concat())?,
        ),
        (
            "key_column_usage",
            Rows::default()
                .table(&[&constraint[..], &place, &["column_name", "ordinal_position"]].concat())?,
        ),
        (
            "referential_constraints",
            Rows::default().table(&[&constraint[..], &["unique_constraint_name"]].concat())?,
        ),
    ]))
}

/// A type's name in the standard's words.
fn name(kind: &Type) -> &str {
    match *kind {
        Type::BOOL => "boolean",
        Type::INT2 => "smallint",
        Type::INT4 => "integer",
        Type::INT8 => "bigint",
        Type::FLOAT4 => "real",
        Type::FLOAT8 => "double precision",
        Type::TIMESTAMP => "timestamp without time zone",
        Type::TIMESTAMPTZ => "timestamp with time zone",
        Type::TIME => "time without time zone",
        _ if kind.name().starts_with('_') => "ARRAY",
        _ => kind.name(),
    }
}

/// Rows of texts.
#[derive(Default)]
struct Rows(Vec<Vec<String>>);

fn owned(row: Vec<&str>) -> Vec<String> {
    row.into_iter().map(str::to_owned).collect()
}

impl Rows {
    fn push(&mut self, row: Vec<&str>) {
        self.0.push(owned(row));
    }

    /// The rows under these names; a position is a number.
    fn table(&self, names: &[&str]) -> Result<Arc<dyn TableProvider>> {
        let fields = names.iter().map(|&name| {
            let numeric = name == "ordinal_position";
            Field::new(name, if numeric { DataType::Int32 } else { DataType::Utf8 }, true)
        });
        let schema = Arc::new(Schema::new(fields.collect::<Vec<_>>()));
        let arrays = names.iter().enumerate().map(|(column, &name)| -> ArrayRef {
            let values = self.0.iter().map(|row| row[column].as_str());
            if name == "ordinal_position" {
                Arc::new(values.map(|value| value.parse().ok()).collect::<Int32Array>())
            } else {
                Arc::new(values.map(Some).collect::<StringArray>())
            }
        });
        memory(RecordBatch::try_new(schema, arrays.collect())?)
    }
}

fn memory(rows: RecordBatch) -> Result<Arc<dyn TableProvider>> {
    Ok(Arc::new(MemTable::try_new(rows.schema(), vec![vec![rows]])?))
}

/// All rows of a query as one batch.
async fn all(context: &SessionContext, query: &str) -> Result<RecordBatch> {
    let frame = context.sql(query).await?;
    let schema = Arc::new(frame.schema().as_arrow().clone());
    let batches = frame.collect().await?;
    if batches.is_empty() {
        let empty = schema.fields().iter().map(|field| new_empty_array(field.data_type()));
        return Ok(RecordBatch::try_new(Arc::clone(&schema), empty.collect())?);
    }
    Ok(concat_batches(&batches[0].schema(), &batches)?)
}
