//! One connection's session: who it is, what it sees, what it set.

use std::collections::HashSet;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

use datafusion::common::ParamValues;
use datafusion::logical_expr::LogicalPlan;
use datafusion::prelude::SessionContext;
use datafusion::sql::parser;
use datafusion::sql::sqlparser::ast::Statement;
use datafusion_postgres::pgwire::api::portal::Format;
use datafusion_postgres::pgwire::api::results::QueryResponse;
use datafusion_postgres::pgwire::api::{ConnectionGuard, ConnectionHandle};
use datafusion_postgres::pgwire::error::PgWireResult;
use tokio::task::JoinSet;
use tokio::time::Instant;

use super::Shared;
use super::command::{self, Command, Read};
use super::errors::{self, LIMIT, PROTOCOL};
use super::rows::{self, Answer};
use super::settings::Settings;
use crate::access::Caller;
use crate::sql::{self, SqlError};

/// Names that a connection may keep: of prepared statements, and again of portals.
const NAMES: usize = 1_000;

/// A connection's session; clones are the same one.
#[derive(Clone)]
pub struct Session(Arc<Inner>);

struct Inner {
    shared: Arc<Shared>,
    admitted: bool,
    login: OnceLock<Login>,
    state: Mutex<State>,
}

/// Who logged in.
pub struct Login {
    /// Whose rows are seen.
    pub caller: Caller,
    /// How its statements are cancelled,
    pub cancellation: Arc<ConnectionHandle>,
    /// as long as it lives.
    pub _registered: ConnectionGuard,
}

#[derive(Default)]
struct State {
    settings: Settings,
    /// The settings to come back to when the transaction ends.
    before: Option<Settings>,
    /// The views of the transaction, pinned with its first statement.
    pinned: Option<sql::Session>,
    statements: HashSet<String>,
    portals: HashSet<String>,
}

/// What became of a text.
pub enum Ran {
    /// There was no statement in it.
    Nothing,
    /// It asks for no rows.
    Command(Command),
    /// Its rows.
    Rows(QueryResponse),
}

/// A text that was planned, but not run.
pub enum Planned {
    /// There was no statement in it.
    Nothing,
    /// It asks for no rows.
    Command(Command),
    /// A query.
    Query(LogicalPlan),
}

impl Session {
    /// The session of a new connection; one that is not admitted is told so instead of a login.
    pub fn new(shared: Arc<Shared>, admitted: bool) -> Self {
        let (login, state) = (OnceLock::new(), Mutex::default());
        Self(Arc::new(Inner { shared, admitted, login, state }))
    }

    /// What all connections share.
    pub fn shared(&self) -> &Shared {
        &self.0.shared
    }

    /// Whether there was room for the connection.
    pub fn admitted(&self) -> bool {
        self.0.admitted
    }

    /// Somebody logged in.
    pub fn enter(&self, login: Login, user: &str) {
        self.state().settings.set_user(user);
        // A second login is not possible: its message is not one of a session.
        let _ = self.0.login.set(login);
    }

    /// Who logged in.
    ///
    /// # Errors
    /// Nobody did.
    pub fn login(&self) -> PgWireResult<&Login> {
        let login = self.0.login.get();
        login.ok_or_else(|| errors::fatal(PROTOCOL, "a statement before the login"))
    }

    /// Returns once the client asks for the end of what runs from now on.
    pub async fn cancelled(&self) {
        if let Some(login) = self.0.login.get() {
            let asked = login.cancellation.start_query().await;
            if asked.await.is_ok() {
                return;
            }
        }
        std::future::pending::<()>().await;
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.0.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Its settings.
    pub fn settings<T>(&self, with: impl FnOnce(&mut Settings) -> T) -> T {
        with(&mut self.state().settings)
    }

    /// Keeps the settings, to come back to them when the transaction ends.
    pub fn keep_settings(&self) {
        let mut state = self.state();
        if state.before.is_none() {
            state.before = Some(state.settings.clone());
        }
    }

    /// The transaction is over: the next statement sees the lake as it is then.
    pub fn release(&self) {
        let mut state = self.state();
        state.pinned = None;
        state.portals.clear();
        if let Some(before) = state.before.take() {
            state.settings = before;
        }
    }

    /// Counts the name of a prepared statement, or of a portal.
    ///
    /// # Errors
    /// There are too many of them.
    pub fn name(&self, portal: bool, name: &str) -> PgWireResult<()> {
        let mut state = self.state();
        let names = if portal { &mut state.portals } else { &mut state.statements };
        names.insert(name.to_owned());
        if names.len() > NAMES {
            names.remove(name);
            let message = format!("a connection keeps {NAMES} statements; close some of them");
            return Err(errors::error(LIMIT, message));
        }
        Ok(())
    }

    /// Forgets the name of a prepared statement, or of a portal.
    pub fn unname(&self, portal: bool, name: &str) {
        let mut state = self.state();
        let names = if portal { &mut state.portals } else { &mut state.statements };
        names.remove(name);
    }

    /// The names of its prepared statements, which are forgotten.
    pub fn take_names(&self) -> HashSet<String> {
        std::mem::take(&mut self.state().statements)
    }

    /// The instant at which a statement that begins now must be done, and the time until then.
    pub fn deadline(&self) -> (Instant, Duration) {
        let most = self.shared().statements.deadline;
        let given = self.settings(|settings| settings.statement_timeout());
        let given = given.map_or(most, |given| given.min(most));
        (Instant::now() + given, given)
    }

    /// Does the work where it disturbs no connection; dropping the future ends it.
    ///
    /// # Errors
    /// The work's own; it panicked.
    async fn on_workers<T: Send + 'static>(
        &self,
        work: impl Future<Output = PgWireResult<T>> + Send + 'static,
    ) -> PgWireResult<T> {
        // Dropped with this future, it ends its task.
        let mut task = JoinSet::new();
        task.spawn_on(work, &self.shared().workers);
        match task.join_next().await {
            Some(Ok(done)) => done,
            Some(Err(ended)) => Err(errors::failed(SqlError::Worker(ended.to_string()))),
            None => Err(errors::failed(SqlError::Worker("it never began".to_owned()))),
        }
    }

    /// The views as this transaction sees them.
    async fn seen(&self) -> PgWireResult<sql::Session> {
        if let Some(pinned) = self.state().pinned.clone() {
            return Ok(pinned);
        }
        let (shared, login) = (self.shared(), self.login()?);
        let memory = Some(shared.statements.memory_limit_bytes);
        let seen = sql::session(&shared.source, &login.caller.scope, memory);
        let seen = seen.map_err(errors::failed)?;
        let settings = self.settings(|settings| settings.clone());
        let equipped = shared.catalog.equip(seen.context(), settings);
        equipped.map_err(|error| errors::of_engine(&error))?;
        self.state().pinned = Some(seen.clone());
        Ok(seen)
    }

    /// A query's plan, which is within the rules.
    async fn plan(&self, statement: Statement) -> PgWireResult<(sql::Session, LogicalPlan)> {
        let seen = self.seen().await?;
        let statement = parser::Statement::Statement(Box::new(statement));
        let plan = seen.plan_parsed(statement).await.map_err(errors::failed)?;
        Ok((seen, plan))
    }

    /// Plans a text without running it; `of` takes from the plan what is wanted of it.
    ///
    /// # Errors
    /// It is no statement that runs here.
    pub async fn describe<T: Send + 'static>(
        &self,
        text: String,
        of: impl FnOnce(Planned, Option<&SessionContext>) -> PgWireResult<T> + Send + 'static,
    ) -> PgWireResult<T> {
        self.check_length(&text)?;
        let session = self.clone();
        let described = self.on_workers(async move {
            match command::read(&session.shared().parser, &text)? {
                Read::Nothing => of(Planned::Nothing, None),
                Read::Command(command) => of(Planned::Command(command), None),
                Read::Query(statement) => {
                    let (seen, plan) = session.plan(*statement).await?;
                    of(Planned::Query(plan), Some(seen.context()))
                }
            }
        });
        described.await
    }

    /// Runs a text; `columns` are those that its client was told of, if it was.
    ///
    /// # Errors
    /// It is no statement that runs here, or it fails before its first row.
    pub async fn run(
        &self,
        text: String,
        values: Option<ParamValues>,
        columns: Option<datafusion::arrow::datatypes::SchemaRef>,
        format: &Format,
    ) -> PgWireResult<Ran> {
        self.check_length(&text)?;
        let session = self.clone();
        let begun = self.on_workers(async move { session.begin(&text, values).await });
        Ok(match begun.await? {
            Begun::Nothing => Ran::Nothing,
            Begun::Command(command) => Ran::Command(command),
            Begun::Rows(answer) => {
                let columns = columns.unwrap_or_else(|| rows::columns(&answer.rows.schema()));
                let fields = rows::fields(&columns, format)?;
                Ran::Rows(rows::send(answer, columns, fields, &self.shared().workers))
            }
        })
    }

    async fn begin(&self, text: &str, values: Option<ParamValues>) -> PgWireResult<Begun> {
        let shared = self.shared();
        let statement = match command::read(&shared.parser, text)? {
            Read::Nothing => return Ok(Begun::Nothing),
            Read::Command(command) => return Ok(Begun::Command(command)),
            Read::Query(statement) => *statement,
        };
        let deadline = self.deadline();
        let turn = Arc::clone(&shared.running).acquire_owned().await;
        let turn = turn.map_err(|closed| errors::failed(SqlError::Worker(closed.to_string())))?;
        let tag = match &statement {
            Statement::Query(_) => "SELECT",
            Statement::Explain { .. } => "EXPLAIN",
            _ => "SHOW",
        };
        let (seen, mut plan) = self.plan(statement).await?;
        if let Some(values) = values {
            let bound = plan.replace_params_with_values(&values);
            plan = bound.map_err(|error| errors::of_engine(&error))?;
        }
        let turn = sql::Turn {
            until: Some(deadline),
            most_rows: Some(shared.statements.max_rows),
            places: vec![turn],
        };
        let rows = seen.rows(plan, turn).await.map_err(errors::failed)?;
        Ok(Begun::Rows(Answer { rows, tag, deadline }))
    }

    fn check_length(&self, text: &str) -> PgWireResult<()> {
        let (bytes, most) = (text.len(), self.shared().statements.max_statement_bytes);
        if bytes > most {
            return Err(errors::failed(SqlError::TooLong { bytes, most }));
        }
        Ok(())
    }
}

/// What began on the workers.
enum Begun {
    Nothing,
    Command(Command),
    Rows(Answer),
}
