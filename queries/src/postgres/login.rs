//! From a connection's first message to its login.

use std::collections::HashMap;
use std::fmt::Debug;
use std::net::IpAddr;
use std::sync::Arc;

use async_trait::async_trait;
use datafusion_postgres::pgwire::api::auth::{
    ServerParameterProvider, StartupHandler, finish_authentication, protocol_negotiation,
    save_startup_parameters_to_metadata,
};
use datafusion_postgres::pgwire::api::{
    ClientInfo, METADATA_APPLICATION_NAME, METADATA_USER, PgWireConnectionState,
    PidSecretKeyGenerator,
};
use datafusion_postgres::pgwire::error::{PgWireError, PgWireResult};
use datafusion_postgres::pgwire::messages::startup::Authentication;
use datafusion_postgres::pgwire::messages::{PgWireBackendMessage, PgWireFrontendMessage};
use futures::{Sink, SinkExt};

use super::errors::{self, LIMIT, PROTOCOL, REFUSED};
use super::session::{Login, Session};
use crate::access::{Caller, Denied, Role};

/// Whoever knows the tokens.
#[async_trait]
pub trait Authenticate: Debug + Send + Sync {
    /// Whose token it is that `peer` shows, if it is one.
    async fn authenticate(&self, token: &str, peer: IpAddr) -> Result<Caller, Denied>;
}

#[async_trait]
impl StartupHandler for Session {
    async fn on_startup<C>(
        &self,
        client: &mut C,
        message: PgWireFrontendMessage,
    ) -> PgWireResult<()>
    where
        C: ClientInfo + Sink<PgWireBackendMessage> + Unpin + Send,
        C::Error: Debug,
        PgWireError: From<<C as Sink<PgWireBackendMessage>>::Error>,
    {
        let shared = self.shared();
        match message {
            PgWireFrontendMessage::Startup(startup) => {
                protocol_negotiation(client, &startup).await?;
                save_startup_parameters_to_metadata(client, &startup);
                if shared.tls.is_some() && !client.is_secure() {
                    let message =
                        "this server speaks TLS only; connect with sslmode=require or better";
                    return Err(errors::fatal("28000", message));
                }
                if !self.admitted() {
                    let most = shared.limits.max_connections;
                    let message = format!(
                        "all {most} connections are taken; close one, or raise postgres.max_connections"
                    );
                    return Err(errors::fatal("53300", message));
                }
                if shared.authenticate.is_none() {
                    return enter(self, client, Caller::local()).await;
                }
                client.set_state(PgWireConnectionState::AuthenticationInProgress);
                let question = Authentication::CleartextPassword;
                Ok(client.send(PgWireBackendMessage::Authentication(question)).await?)
            }
            PgWireFrontendMessage::PasswordMessageFamily(answer) => {
                let Some(authenticate) = &shared.authenticate else { return Err(misplaced()) };
                let token = answer.into_password()?;
                let peer = client.socket_addr().ip();
                let known = authenticate.authenticate(&token.password, peer).await;
                let caller = known.map_err(deny)?;
                if !caller.may(Role::Analyst) {
                    let message = "the token's role may not run statements; role analyst is needed";
                    return Err(errors::fatal(REFUSED, message));
                }
                enter(self, client, caller).await
            }
            _ => Err(misplaced()),
        }
    }
}

fn deny(denied: Denied) -> PgWireError {
    match denied {
        Denied::TooMany { .. } => errors::fatal(LIMIT, denied.to_string()),
        Denied::Unavailable => errors::fatal("57P03", denied.to_string()),
        Denied::Missing | Denied::Invalid(_) => {
            let message = "the password is no valid token; make one with onramp token create";
            errors::fatal("28P01", message)
        }
    }
}

fn misplaced() -> PgWireError {
    errors::fatal(PROTOCOL, "a message that is no part of a login")
}

async fn enter<C>(session: &Session, client: &mut C, caller: Caller) -> PgWireResult<()>
where
    C: ClientInfo + Sink<PgWireBackendMessage> + Unpin + Send,
    C::Error: Debug,
    PgWireError: From<<C as Sink<PgWireBackendMessage>>::Error>,
{
    let shared = session.shared();
    let (number, secret) = shared.keys.generate(client);
    client.set_pid_and_secret_key(number, secret.clone());
    let (cancellation, registered) = shared.cancellations.register(number, secret);
    tracing::debug!(caller = caller.name, address = %client.socket_addr(), "a PostgreSQL client logged in");
    let user = client.metadata().get(METADATA_USER).cloned().unwrap_or_default();
    session.enter(Login { caller, cancellation, _registered: registered }, &user);
    let given = ["options", METADATA_USER, "database", "replication"];
    for (name, value) in client.metadata() {
        if !given.contains(&name.as_str()) && !name.starts_with("_pq_.") {
            // What a driver says of itself at the start must not keep it out.
            let _ = session.settings(|settings| settings.set(name, Some(value)));
        }
    }
    finish_authentication(client, &Told(session.clone())).await
}

/// What a client is told of the server when it enters.
struct Told(Session);

impl ServerParameterProvider for Told {
    fn server_parameters<C: ClientInfo>(&self, client: &C) -> Option<HashMap<String, String>> {
        let reported = [
            ("server_version", "server_version"),
            ("server_encoding", "server_encoding"),
            ("client_encoding", "client_encoding"),
            ("DateStyle", "datestyle"),
            ("IntervalStyle", "intervalstyle"),
            ("TimeZone", "timezone"),
            ("integer_datetimes", "integer_datetimes"),
            ("standard_conforming_strings", "standard_conforming_strings"),
            ("is_superuser", "is_superuser"),
            ("in_hot_standby", "in_hot_standby"),
            ("default_transaction_read_only", "default_transaction_read_only"),
            ("session_authorization", "session_authorization"),
            (METADATA_APPLICATION_NAME, METADATA_APPLICATION_NAME),
        ];
        let _ = client;
        Some(self.0.settings(|settings| {
            let value = |name| settings.get(name).unwrap_or_default().to_owned();
            reported.map(|(told, name)| (told.to_owned(), value(name))).into()
        }))
    }
}

/// Cancel requests come on connections of their own, and are told apart by their secret.
pub fn cancellation(
    session: &Session,
) -> Arc<datafusion_postgres::pgwire::api::cancel::DefaultCancelHandler> {
    use datafusion_postgres::pgwire::api::cancel::DefaultCancelHandler;
    Arc::new(DefaultCancelHandler::new(Arc::clone(&session.shared().cancellations)))
}
