//! What clients find when they look around: `pg_catalog`, `information_schema`, and the functions that
//! go with them.
//!
//! It is made once, of the views' columns alone: the numbers of its objects stay the same for as long
//! as the server runs, and it knows nothing of any caller's rows.

mod functions;
mod tables;

use std::collections::{HashMap, HashSet};
use std::fmt::Debug;
use std::sync::Arc;

use async_trait::async_trait;
use datafusion::arrow::datatypes::SchemaRef;
use datafusion::catalog::{SchemaProvider, TableProvider};
use datafusion::datasource::empty::EmptyTable;
use datafusion::error::{DataFusionError, Result};
use datafusion::execution::SessionStateBuilder;
use datafusion::logical_expr::ScalarUDF;
use datafusion::prelude::{SessionConfig, SessionContext};
use datafusion_postgres::datafusion_pg_catalog::pg_catalog::context::EmptyContextProvider;
use datafusion_postgres::datafusion_pg_catalog::pg_catalog::generate_series_arg_coercion::CoerceIntArgsToBigInt;
use datafusion_postgres::datafusion_pg_catalog::pg_catalog::oid_type_planner::PgOidTypePlanner;
use datafusion_postgres::datafusion_pg_catalog::setup_pg_catalog;

use super::settings::Settings;
use crate::access::Scope;
use crate::sql::{self, Described, SqlError};

/// The database, as clients see it; also the name of the engine's catalogue.
const DATABASE: &str = onramp_compute::engine::CATALOG;
/// The schema of the views.
const SCHEMA: &str = "public";
/// PostgreSQL's own tables.
const PG_CATALOG: &str = "pg_catalog";
/// The standard's.
const INFORMATION_SCHEMA: &str = "information_schema";

/// A view, as far as clients see it without asking for rows.
#[derive(Clone, Debug)]
struct View {
    name: String,
    columns: SchemaRef,
    meaning: Described,
}

impl View {
    /// What its columns mean, by place from 1, and at place 0 what its rows are.
    fn comments(&self) -> impl Iterator<Item = (i32, &str)> {
        let columns = self.meaning.columns.iter().map(|column| column.doc.as_str());
        (0..).zip([self.meaning.doc.as_str()].into_iter().chain(columns))
    }
}

/// Made once, equips every session.
pub struct Catalog {
    schemas: [(&'static str, Arc<Tables>); 2],
    functions: Vec<Arc<ScalarUDF>>,
}

/// Tables of a schema: our own before PostgreSQL's.
#[derive(Debug)]
struct Tables {
    own: HashMap<&'static str, Arc<dyn TableProvider>>,
    others: Option<Arc<dyn SchemaProvider>>,
}

#[async_trait]
impl SchemaProvider for Tables {
    fn table_names(&self) -> Vec<String> {
        let own = self.own.keys().map(|&name| name.to_owned());
        let others = self.others.iter().flat_map(|others| others.table_names());
        own.chain(others.filter(|name| !self.own.contains_key(name.as_str()))).collect()
    }

    async fn table(&self, name: &str) -> Result<Option<Arc<dyn TableProvider>>> {
        match (self.own.get(name), &self.others) {
            (Some(own), _) => Ok(Some(Arc::clone(own))),
            (None, Some(others)) => others.table(name).await,
            (None, None) => Ok(None),
        }
    }

    fn table_exist(&self, name: &str) -> bool {
        self.own.contains_key(name) || self.others.iter().any(|others| others.table_exist(name))
    }
}

impl Catalog {
    /// Looks at the views of a lake.
    ///
    /// # Errors
    /// The lake cannot be read.
    pub async fn new(source: &sql::Source) -> std::result::Result<Self, SqlError> {
        let session = sql::session(source, &Scope::Everything, None)?;
        Ok(Self::of(&views(&session).await?).await?)
    }

    async fn of(views: &[View]) -> Result<Self> {
        let config = SessionConfig::new().with_default_catalog_and_schema(DATABASE, SCHEMA);
        let bare = SessionContext::new_with_config(config);
        let builtin: HashSet<String> = bare.state().scalar_functions().keys().cloned().collect();
        for view in views {
            let empty = EmptyTable::new(Arc::clone(&view.columns));
            bare.register_table(view.name.as_str(), Arc::new(empty))?;
        }
        setup_pg_catalog(&bare, DATABASE, EmptyContextProvider).map_err(|error| *error)?;
        let numbers = tables::numbers(&bare).await?;
        let own = tables::postgres(&bare, views, &numbers).await?;
        let others = bare.catalog(DATABASE).and_then(|catalog| catalog.schema(PG_CATALOG));
        let mut functions = functions::all(views, &numbers);
        let names: HashSet<&str> = functions.iter().map(|f| f.name()).collect();
        let given = bare.state().scalar_functions().clone();
        let given = given.into_iter().filter(|(name, function)| {
            name == function.name() && !builtin.contains(name) && !names.contains(name.as_str())
        });
        let given: Vec<_> = given.map(|(_, function)| function).collect();
        functions.extend(given);
        let standard = Tables { own: tables::standard(views)?, others: None };
        Ok(Self {
            schemas: [
                (PG_CATALOG, Arc::new(Tables { own, others })),
                (INFORMATION_SCHEMA, Arc::new(standard)),
            ],
            functions,
        })
    }

    /// Puts the schemas and functions into a session; `settings` are what `current_setting` tells.
    ///
    /// # Errors
    /// The session has no such catalogue.
    pub fn equip(&self, context: &SessionContext, settings: Settings) -> Result<()> {
        let state = context.state();
        let config = state.config().clone();
        let config = config
            .with_information_schema(false)
            .with_create_default_catalog_and_schema(false)
            // Without it a TIMESTAMPTZ would be a time of nowhere.
            .set_str("datafusion.execution.time_zone", "UTC");
        let state = SessionStateBuilder::new_from_existing(state)
            .with_config(config)
            .with_type_planner(Arc::new(PgOidTypePlanner))
            .build();
        *context.state_ref().write() = state;
        let catalog = context.catalog(DATABASE).ok_or_else(|| {
            DataFusionError::Internal(format!("the session has no catalogue {DATABASE}"))
        })?;
        for (name, schema) in &self.schemas {
            catalog.register_schema(name, Arc::clone(schema) as Arc<dyn SchemaProvider>)?;
        }
        for function in &self.functions {
            context.register_udf(ScalarUDF::clone(function));
        }
        context.register_udf(functions::current_setting(settings));
        CoerceIntArgsToBigInt::widen(context);
        Ok(())
    }
}

/// The session's views, by name.
async fn views(session: &sql::Session) -> std::result::Result<Vec<View>, SqlError> {
    let mut views = Vec::new();
    for name in session.tables() {
        let Some(meaning) = session.describe(&name).await? else { continue };
        let table = session.context().table_provider(format!("\"{name}\"")).await?;
        views.push(View { name, columns: table.schema(), meaning });
    }
    Ok(views)
}
