//! The simple protocol: a text, and its rows as text.

use std::fmt::Debug;

use async_trait::async_trait;
use datafusion_postgres::pgwire::api::portal::Format;
use datafusion_postgres::pgwire::api::query::SimpleQueryHandler;
use datafusion_postgres::pgwire::api::results::{
    DataRowEncoder, FieldFormat, FieldInfo, QueryResponse, Response, Tag,
};
use datafusion_postgres::pgwire::api::store::PortalStore;
use datafusion_postgres::pgwire::api::{ClientInfo, ClientPortalStore, Type};
use datafusion_postgres::pgwire::error::{ErrorInfo, PgWireError, PgWireResult};
use datafusion_postgres::pgwire::messages::PgWireBackendMessage;
use datafusion_postgres::pgwire::messages::response::{NoticeResponse, TransactionStatus};
use datafusion_postgres::pgwire::messages::simplequery::Query;
use datafusion_postgres::pgwire::messages::startup::ParameterStatus;
use futures::{Sink, SinkExt};

use super::command::{self, Command, Read};
use super::errors::{self, FAILED_TRANSACTION};
use super::session::{Ran, Session};

#[async_trait]
impl SimpleQueryHandler for Session {
    async fn on_query<C>(&self, client: &mut C, query: Query) -> PgWireResult<()>
    where
        C: ClientInfo + ClientPortalStore + Sink<PgWireBackendMessage> + Unpin + Send + Sync,
        C::PortalStore: PortalStore,
        C::Error: Debug,
        PgWireError: From<<C as Sink<PgWireBackendMessage>>::Error>,
    {
        // Of all statements this alone mends a transaction, which must be known before it is answered.
        if client.transaction_status() == TransactionStatus::Error
            && let Ok(Read::Command(Command::RollbackTo)) =
                command::read(&self.shared().parser, &query.query)
        {
            client.set_transaction_status(TransactionStatus::Transaction);
        }
        self._on_query(client, query).await
    }

    async fn do_query<C>(&self, client: &mut C, query: &str) -> PgWireResult<Vec<Response>>
    where
        C: ClientInfo + ClientPortalStore + Sink<PgWireBackendMessage> + Unpin + Send + Sync,
        C::PortalStore: PortalStore,
        C::Error: Debug,
        PgWireError: From<<C as Sink<PgWireBackendMessage>>::Error>,
    {
        let ran = self.run(query.to_owned(), None, None, &Format::UnifiedText).await?;
        Ok(vec![respond(self, client, ran).await?])
    }
}

/// What a client is answered.
///
/// # Errors
/// The transaction failed before; the command cannot be done.
pub async fn respond<C>(session: &Session, client: &mut C, ran: Ran) -> PgWireResult<Response>
where
    C: ClientInfo + ClientPortalStore + Sink<PgWireBackendMessage> + Unpin + Send,
    C::PortalStore: PortalStore,
    PgWireError: From<<C as Sink<PgWireBackendMessage>>::Error>,
{
    let failed = client.transaction_status() == TransactionStatus::Error;
    match ran {
        Ran::Nothing => Ok(Response::EmptyQuery),
        Ran::Command(command @ (Command::Commit | Command::Rollback | Command::RollbackTo)) => {
            obey(session, client, command).await
        }
        _ if failed => Err(errors::error(
            FAILED_TRANSACTION,
            "the transaction failed; nothing is done until it ends, by ROLLBACK",
        )),
        Ran::Command(command) => obey(session, client, command).await,
        Ran::Rows(rows) => Ok(Response::Query(rows)),
    }
}

async fn obey<C>(session: &Session, client: &mut C, command: Command) -> PgWireResult<Response>
where
    C: ClientInfo + ClientPortalStore + Sink<PgWireBackendMessage> + Unpin + Send,
    C::PortalStore: PortalStore,
    PgWireError: From<<C as Sink<PgWireBackendMessage>>::Error>,
{
    let done = |tag: &str| Ok(Response::Execution(Tag::new(tag)));
    match command {
        Command::Begin => Ok(Response::TransactionStart(Tag::new("BEGIN"))),
        Command::Commit if client.transaction_status() == TransactionStatus::Error => {
            Ok(Response::TransactionEnd(Tag::new("ROLLBACK")))
        }
        Command::Commit => Ok(Response::TransactionEnd(Tag::new("COMMIT"))),
        Command::Rollback => Ok(Response::TransactionEnd(Tag::new("ROLLBACK"))),
        Command::Savepoint => done("SAVEPOINT"),
        Command::Release => done("RELEASE"),
        Command::RollbackTo => {
            // Nothing is ever written: at any place in the transaction all is as it was.
            if client.transaction_status() == TransactionStatus::Error {
                client.set_transaction_status(TransactionStatus::Transaction);
            }
            Ok(Response::TransactionStart(Tag::new("ROLLBACK")))
        }
        Command::Set { name, value, local } => {
            if local {
                session.keep_settings();
            }
            let taken = session.settings(|settings| settings.set(&name, value.as_deref()))?;
            tell(client, session, &name, taken).await?;
            done(if value.is_some() { "SET" } else { "RESET" })
        }
        Command::SetTransaction => done("SET"),
        Command::ResetAll => {
            reset(session);
            done("RESET")
        }
        Command::Show(name) => {
            let value = session.settings(|settings| settings.show(&name).map(str::to_owned))?;
            Ok(Response::Query(one(&name, &value)?))
        }
        Command::Deallocate(name) => {
            forget(session, client, name);
            done("DEALLOCATE")
        }
        Command::DiscardAll => {
            reset(session);
            forget(session, client, None);
            done("DISCARD ALL")
        }
    }
}

fn reset(session: &Session) {
    let user =
        session.settings(|settings| settings.get("session_authorization").map(str::to_owned));
    session.settings(|settings| {
        *settings = super::settings::Settings::default();
        settings.set_user(user.as_deref().unwrap_or_default());
    });
}

fn forget<C>(session: &Session, client: &C, name: Option<String>)
where
    C: ClientPortalStore,
    C::PortalStore: PortalStore,
{
    match name {
        Some(name) => {
            session.unname(false, &name);
            client.portal_store().rm_statement(&name);
        }
        None => session.take_names().iter().for_each(|n| client.portal_store().rm_statement(n)),
    }
}

/// Reports a setting that drivers follow, or that it stays as it was.
async fn tell<C>(client: &mut C, session: &Session, name: &str, taken: bool) -> PgWireResult<()>
where
    C: Sink<PgWireBackendMessage> + Unpin + Send,
    PgWireError: From<<C as Sink<PgWireBackendMessage>>::Error>,
{
    let message = if taken {
        if !name.eq_ignore_ascii_case("application_name") {
            return Ok(());
        }
        let value = session.settings(|settings| settings.get(name).unwrap_or_default().to_owned());
        let name = "application_name".to_owned();
        PgWireBackendMessage::ParameterStatus(ParameterStatus::new(name, value))
    } else {
        let info = ErrorInfo::new(
            "NOTICE".to_owned(),
            "00000".to_owned(),
            "times stay in UTC and are written with their offset; use AT TIME ZONE for others"
                .to_owned(),
        );
        PgWireBackendMessage::NoticeResponse(NoticeResponse::from(info))
    };
    Ok(client.feed(message).await?)
}

/// One row with one text.
fn one(name: &str, value: &str) -> PgWireResult<QueryResponse> {
    let fields = std::sync::Arc::new(vec![show_field(name)]);
    let mut encoder = DataRowEncoder::new(std::sync::Arc::clone(&fields));
    encoder.encode_field(&Some(value))?;
    let row = encoder.take_row();
    let mut response = QueryResponse::new(fields, futures::stream::iter([Ok(row)]));
    response.set_command_tag("SHOW");
    Ok(response)
}

/// The column of `SHOW`.
pub fn show_field(name: &str) -> FieldInfo {
    FieldInfo::new(name.to_owned(), None, None, Type::TEXT, FieldFormat::Text)
}
