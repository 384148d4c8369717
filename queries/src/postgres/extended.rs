//! The extended protocol: statements that are prepared, bound to values, described, and run in
//! portions.

use std::collections::HashMap;
use std::fmt::Debug;
use std::sync::Arc;

use async_trait::async_trait;
use datafusion::arrow::datatypes::{DataType, Schema, SchemaRef};
use datafusion::common::ParamValues;
use datafusion::common::tree_node::{TreeNode, TreeNodeRecursion};
use datafusion::error::DataFusionError;
use datafusion::logical_expr::{Expr, LogicalPlan};
use datafusion::prelude::SessionContext;
use datafusion::scalar::ScalarValue;
use datafusion_postgres::arrow_pg::datatypes::df::deserialize_parameters_with_server_types;
use datafusion_postgres::arrow_pg::datatypes::into_pg_type;
use datafusion_postgres::pgwire::api::portal::{Format, Portal, PortalExecutionState};
use datafusion_postgres::pgwire::api::query::{
    ExtendedQueryHandler, send_execution_response, send_partial_query_response,
};
use datafusion_postgres::pgwire::api::results::{FieldInfo, Response, Tag};
use datafusion_postgres::pgwire::api::stmt::{QueryParser, StoredStatement};
use datafusion_postgres::pgwire::api::store::{Entry, PortalStore};
use datafusion_postgres::pgwire::api::{ClientInfo, ClientPortalStore, DEFAULT_NAME, Type};
use datafusion_postgres::pgwire::error::{PgWireError, PgWireResult};
use datafusion_postgres::pgwire::messages::PgWireBackendMessage;
use datafusion_postgres::pgwire::messages::extendedquery::{
    Bind, BindComplete, Close, CloseComplete, Execute, Parse, ParseComplete,
    TARGET_TYPE_BYTE_PORTAL,
};
use datafusion_postgres::pgwire::messages::response::EmptyQueryResponse;
use futures::{Sink, SinkExt};

use super::command::Command;
use super::errors::{self, PROTOCOL};
use super::rows;
use super::session::{Planned, Session};
use super::simple::{respond, show_field};

/// A prepared statement. It keeps its text, not its plan: every run sees the lake anew.
pub type Prepared = Arc<Statement>;

/// What is known of a statement before it runs.
#[derive(Debug)]
pub struct Statement {
    text: String,
    parameters: Vec<Parameter>,
    columns: Columns,
}

#[derive(Debug)]
struct Parameter {
    kind: Option<DataType>,
    wire: Type,
}

#[derive(Debug)]
enum Columns {
    /// It answers with no rows.
    None,
    /// One text, the value of this setting.
    Show(String),
    /// A query's.
    Rows(SchemaRef),
}

#[async_trait]
impl QueryParser for Session {
    type Statement = Prepared;

    async fn parse_sql<C>(
        &self,
        _: &C,
        sql: &str,
        _: &[Option<Type>],
    ) -> PgWireResult<Option<Prepared>>
    where
        C: ClientInfo + Unpin + Send + Sync,
    {
        let described = self.describe(sql.to_owned(), |planned, context| {
            Ok(Some(match (planned, context) {
                (Planned::Query(plan), Some(context)) => {
                    let parameters = parameters(&plan)?;
                    let columns = rows::columns(&analyzed(plan, &parameters, context));
                    (parameters, Columns::Rows(columns))
                }
                (Planned::Command(Command::Show(name)), _) => (Vec::new(), Columns::Show(name)),
                (Planned::Command(_), _) => (Vec::new(), Columns::None),
                _ => return Ok(None),
            }))
        });
        Ok(described.await?.map(|(parameters, columns)| {
            Arc::new(Statement { text: sql.to_owned(), parameters, columns })
        }))
    }

    fn get_parameter_types(&self, statement: &Prepared) -> PgWireResult<Vec<Type>> {
        Ok(statement.parameters.iter().map(|parameter| parameter.wire.clone()).collect())
    }

    fn get_result_schema(
        &self,
        statement: &Prepared,
        format: Option<&Format>,
    ) -> PgWireResult<Vec<FieldInfo>> {
        match &statement.columns {
            Columns::None => Ok(Vec::new()),
            Columns::Show(name) => Ok(vec![show_field(name)]),
            Columns::Rows(columns) => rows::fields(columns, format.unwrap_or(&Format::UnifiedText)),
        }
    }
}

#[async_trait]
impl ExtendedQueryHandler for Session {
    type Statement = Prepared;
    type QueryParser = Session;

    fn query_parser(&self) -> Arc<Session> {
        Arc::new(self.clone())
    }

    async fn on_parse<C>(&self, client: &mut C, message: Parse) -> PgWireResult<()>
    where
        C: ClientInfo + ClientPortalStore + Sink<PgWireBackendMessage> + Unpin + Send + Sync,
        C::PortalStore: PortalStore<Statement = Prepared>,
        C::Error: Debug,
        PgWireError: From<<C as Sink<PgWireBackendMessage>>::Error>,
    {
        let name = message.name.clone().unwrap_or_else(|| DEFAULT_NAME.to_owned());
        self.name(false, &name)?;
        match StoredStatement::parse(client, &message, self.query_parser()).await? {
            Some(statement) => client.portal_store().put_statement(Arc::new(statement)),
            None => client.portal_store().put_empty_statement(&name),
        }
        Ok(client.feed(PgWireBackendMessage::ParseComplete(ParseComplete::new())).await?)
    }

    async fn on_bind<C>(&self, client: &mut C, message: Bind) -> PgWireResult<()>
    where
        C: ClientInfo + ClientPortalStore + Sink<PgWireBackendMessage> + Unpin + Send + Sync,
        C::PortalStore: PortalStore<Statement = Prepared>,
        C::Error: Debug,
        PgWireError: From<<C as Sink<PgWireBackendMessage>>::Error>,
    {
        let (formats, values) = (message.parameter_format_codes.len(), message.parameters.len());
        if formats > 1 && formats != values {
            let message = format!("{formats} formats were given for {values} parameters");
            return Err(errors::error(PROTOCOL, message));
        }
        let wanted = message.statement_name.as_deref().unwrap_or(DEFAULT_NAME);
        let portal = message.portal_name.as_deref().unwrap_or(DEFAULT_NAME);
        self.name(true, portal)?;
        match client.portal_store().get_statement(wanted) {
            Some(Entry::Value(statement)) => {
                let expected = statement.statement.parameters.len();
                if expected > values {
                    let message = format!("{values} parameters were given for {expected}");
                    return Err(errors::error(PROTOCOL, message));
                }
                let portal = Portal::try_new(&message, statement)?;
                client.portal_store().put_portal(Arc::new(portal));
            }
            Some(Entry::Empty) => client.portal_store().put_empty_portal(portal),
            None => return Err(PgWireError::StatementNotFound(wanted.to_owned())),
        }
        Ok(client.feed(PgWireBackendMessage::BindComplete(BindComplete::new())).await?)
    }

    async fn on_execute<C>(&self, client: &mut C, message: Execute) -> PgWireResult<()>
    where
        C: ClientInfo + ClientPortalStore + Sink<PgWireBackendMessage> + Unpin + Send + Sync,
        C::PortalStore: PortalStore<Statement = Prepared>,
        C::Error: Debug,
        PgWireError: From<<C as Sink<PgWireBackendMessage>>::Error>,
    {
        let name = message.name.as_deref().unwrap_or(DEFAULT_NAME);
        let portal = match client.portal_store().get_portal(name) {
            Some(Entry::Value(portal)) => portal,
            Some(Entry::Empty) => {
                let nothing = PgWireBackendMessage::EmptyQueryResponse(EmptyQueryResponse::new());
                return Ok(client.feed(nothing).await?);
            }
            None => return Err(PgWireError::PortalNotFound(name.to_owned())),
        };
        let state = portal.state();
        let mut state = state.lock().await;
        if matches!(*state, PortalExecutionState::Initial) {
            let response = ExtendedQueryHandler::do_query(self, client, &portal, 0).await?;
            *state = match begin(client, response).await? {
                Some(rows) => PortalExecutionState::Suspended(rows),
                None => return Ok(()),
            };
        }
        // Rows go out as they come: an answer is never held as a whole.
        let most = usize::try_from(message.max_rows).unwrap_or(0);
        match &mut *state {
            PortalExecutionState::Suspended(rows) => {
                if !send_partial_query_response(client, rows, most).await? {
                    *state = PortalExecutionState::Finished;
                }
            }
            _ => send_execution_response(client, Tag::new("SELECT").with_rows(0)).await?,
        }
        Ok(())
    }

    async fn on_close<C>(&self, client: &mut C, message: Close) -> PgWireResult<()>
    where
        C: ClientInfo + ClientPortalStore + Sink<PgWireBackendMessage> + Unpin + Send + Sync,
        C::PortalStore: PortalStore<Statement = Prepared>,
        C::Error: Debug,
        PgWireError: From<<C as Sink<PgWireBackendMessage>>::Error>,
    {
        let name = message.name.as_deref().unwrap_or(DEFAULT_NAME);
        let portal = message.target_type == TARGET_TYPE_BYTE_PORTAL;
        self.unname(portal, name);
        if portal {
            client.portal_store().rm_portal(name);
        } else {
            client.portal_store().rm_statement(name);
        }
        Ok(client.feed(PgWireBackendMessage::CloseComplete(CloseComplete::new())).await?)
    }

    async fn do_query<C>(
        &self,
        client: &mut C,
        portal: &Portal<Prepared>,
        _: usize,
    ) -> PgWireResult<Response>
    where
        C: ClientInfo + ClientPortalStore + Sink<PgWireBackendMessage> + Unpin + Send + Sync,
        C::PortalStore: PortalStore<Statement = Prepared>,
        C::Error: Debug,
        PgWireError: From<<C as Sink<PgWireBackendMessage>>::Error>,
    {
        let statement = &portal.statement.statement;
        let values = if statement.parameters.is_empty() {
            None
        } else {
            let kinds: Vec<_> = statement.parameters.iter().map(|p| p.kind.as_ref()).collect();
            let wire: Vec<_> = statement.parameters.iter().map(|p| Some(&p.wire)).collect();
            Some(deserialize_parameters_with_server_types(portal, &kinds, &wire)?)
        };
        let columns = match &statement.columns {
            Columns::Rows(columns) => Some(Arc::clone(columns)),
            _ => None,
        };
        let text = statement.text.clone();
        let ran = self.run(text, values, columns, &portal.result_column_format).await?;
        respond(self, client, ran).await
    }
}

/// Answers what has no rows; gives back the rows of what has.
async fn begin<C>(
    client: &mut C,
    response: Response,
) -> PgWireResult<Option<datafusion_postgres::pgwire::api::results::QueryResponse>>
where
    C: ClientInfo + Sink<PgWireBackendMessage> + Unpin + Send,
    C::Error: Debug,
    PgWireError: From<<C as Sink<PgWireBackendMessage>>::Error>,
{
    let status = client.transaction_status();
    let (tag, status) = match response {
        Response::Query(rows) => return Ok(Some(rows)),
        Response::Execution(tag) => (tag, status),
        Response::TransactionStart(tag) => (tag, status.to_in_transaction_state()),
        Response::TransactionEnd(tag) => (tag, status.to_idle_state()),
        _ => {
            client
                .feed(PgWireBackendMessage::EmptyQueryResponse(EmptyQueryResponse::new()))
                .await?;
            return Ok(None);
        }
    };
    send_execution_response(client, tag).await?;
    client.set_transaction_status(status);
    Ok(None)
}

/// The schema that the plan's rows will have; before types were made to agree it may be another.
fn analyzed(plan: LogicalPlan, parameters: &[Parameter], context: &SessionContext) -> Schema {
    let state = context.state();
    let checked = parameters
        .iter()
        .map(|parameter| ScalarValue::try_from(parameter.kind.as_ref().unwrap_or(&DataType::Utf8)))
        .collect::<Result<Vec<_>, _>>()
        .and_then(|values| plan.clone().replace_params_with_values(&ParamValues::from(values)))
        .and_then(|bound| {
            state.analyzer().execute_and_check(bound, state.config_options(), |_, _| {})
        });
    // Where values of other types are to come it cannot be told yet; rows are cast to what is told.
    let plan = checked.as_ref().unwrap_or(&plan);
    plan.schema().as_arrow().clone()
}

/// The parameters in the order of their numbers, as far as their types can be told.
fn parameters(plan: &LogicalPlan) -> PgWireResult<Vec<Parameter>> {
    let mut kinds = plan.get_parameter_types().map_err(|error| errors::of_engine(&error))?;
    let places = places(plan).map_err(|error| errors::of_engine(&error))?;
    for (id, kind) in places {
        kinds.entry(id).or_default().get_or_insert(kind);
    }
    let number = |id: &str| id.trim_start_matches('$').parse::<usize>().unwrap_or(0);
    let count = kinds.keys().map(|id| number(id)).max().unwrap_or(0);
    (1..=count)
        .map(|number| {
            let kind = kinds.remove(&format!("${number}")).flatten();
            // What nothing is known of is text, as with PostgreSQL.
            let wire = kind.as_ref().map_or(Ok(Type::TEXT), into_pg_type)?;
            Ok(Parameter { kind, wire })
        })
        .collect()
}

/// The types that parameters have by where they stand: `$1::date` takes a date, `= ANY($1)` a list.
fn places(plan: &LogicalPlan) -> Result<HashMap<String, DataType>, DataFusionError> {
    let mut found = HashMap::new();
    plan.apply_with_subqueries(|node| {
        node.apply_expressions(|expression| {
            expression.apply(|expression| {
                let (place, kind) = match expression {
                    Expr::Cast(cast) => (Some(cast.expr.as_ref()), cast.field.data_type().clone()),
                    Expr::ScalarFunction(function) if function.name() == "array_has" => {
                        (function.args.first(), DataType::new_list(DataType::Utf8, true))
                    }
                    _ => return Ok(TreeNodeRecursion::Continue),
                };
                if let Some(Expr::Placeholder(placeholder)) = place {
                    found.insert(placeholder.id.clone(), kind);
                }
                Ok(TreeNodeRecursion::Continue)
            })
        })
    })?;
    Ok(found)
}
