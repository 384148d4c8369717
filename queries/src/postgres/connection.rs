//! One connection, from its first byte to its last.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use datafusion_postgres::pgwire::api::store::PortalStore;
use datafusion_postgres::pgwire::api::{
    ClientInfo, ClientPortalStore, NoopHandler, PgWireConnectionState,
};
use datafusion_postgres::pgwire::error::{ErrorInfo, PgWireError};
use datafusion_postgres::pgwire::messages::response::TransactionStatus;
use datafusion_postgres::pgwire::messages::{PgWireBackendMessage, PgWireFrontendMessage};
use datafusion_postgres::pgwire::tokio::server::{process_error, process_message};
use futures::{SinkExt, StreamExt};
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout, timeout_at};
use tokio_util::sync::CancellationToken;

use super::Shared;
use super::errors::{self, LIMIT, PROTOCOL};
use super::login;
use super::negotiate::{Socket, negotiate};
use super::session::Session;
use crate::sql::SqlError;

/// How long a client may take to take its last message.
const LAST_WORD: Duration = Duration::from_secs(2);

/// Serves a client until either side has had enough. `admitted`: there is a place for it.
pub async fn serve(
    shared: Arc<Shared>,
    tcp: TcpStream,
    admitted: bool,
    shutdown: &CancellationToken,
) {
    let limits = shared.limits;
    let login_by = Instant::now() + limits.startup_timeout;
    // Small answers must not wait for more; where that cannot be had they do.
    let _ = tcp.set_nodelay(true);
    let Ok(line) = Line::of(&tcp) else { return };
    let negotiated = tokio::select! {
        () = shutdown.cancelled() => return,
        negotiated = timeout_at(
            login_by,
            negotiate(tcp, shared.tls.as_ref(), limits.max_message_bytes),
        ) => negotiated,
    };
    let mut socket = match negotiated {
        Ok(Ok(socket)) => socket,
        Ok(Err(error)) => return tracing::debug!(%error, "a connection ended before its start"),
        Err(_) => return tracing::debug!("a connection did not start in time"),
    };
    let session = Session::new(shared, admitted);
    let ended = tokio::select! {
        ended = converse(&session, &mut socket, login_by) => ended,
        () = line.dropped() => return,
        () = shutdown.cancelled() => Some(errors::fatal("57P01", "the server is stopping")),
    };
    if let Some(ended) = ended {
        say_last(&mut socket, ended).await;
    }
}

/// Answers messages until the client leaves, or there is something to tell it last.
async fn converse(
    session: &Session,
    socket: &mut Socket,
    login_by: Instant,
) -> Option<PgWireError> {
    let limits = session.shared().limits;
    loop {
        let starting = is_starting(socket);
        let wait = if starting { login_by } else { Instant::now() + limits.idle_timeout };
        let message = match timeout_at(wait, socket.next()).await {
            Ok(Some(Ok(message))) => message,
            Ok(Some(Err(wrong))) => return Some(unreadable(wrong)),
            Ok(None) => return None,
            Err(_) if starting => return Some(errors::fatal("08006", "the login took too long")),
            Err(_) => return Some(errors::fatal("57P05", "the connection was idle for too long")),
        };
        if matches!(message, PgWireFrontendMessage::Terminate(_)) {
            return None;
        }
        let ends = match &message {
            PgWireFrontendMessage::Query(_) | PgWireFrontendMessage::Sync(_) => true,
            PgWireFrontendMessage::CancelRequest(_) => {
                handle(session, socket, message, login_by).await.ok()?;
                return None;
            }
            _ => false,
        };
        let extended = message.is_extended_query();
        if let Err(failed) = handle(session, socket, message, login_by).await {
            let info = ErrorInfo::from(failed);
            let last = starting || info.is_fatal();
            let failed = PgWireError::UserError(Box::new(info));
            if last {
                return Some(failed);
            }
            // A client that takes no error takes nothing more.
            if !matches!(
                timeout(LAST_WORD, process_error(socket, failed, extended)).await,
                Ok(Ok(()))
            ) {
                return None;
            }
        }
        if ends && socket.transaction_status() == TransactionStatus::Idle {
            socket.portal_store().clear_portals();
            session.release();
        }
    }
}

/// One message, within its time, unless its client wants it to end.
async fn handle(
    session: &Session,
    socket: &mut Socket,
    message: PgWireFrontendMessage,
    login_by: Instant,
) -> Result<(), PgWireError> {
    let (until, given) = session.deadline();
    let until = if is_starting(socket) { login_by } else { until };
    let handler = Arc::new(session.clone());
    let handled = process_message(
        message,
        socket,
        Arc::clone(&handler),
        Arc::clone(&handler),
        handler,
        Arc::new(NoopHandler),
        login::cancellation(session),
    );
    tokio::select! {
        handled = handled => handled,
        () = session.cancelled() => Err(PgWireError::QueryCanceled),
        () = tokio::time::sleep_until(until) => Err(errors::failed(SqlError::Deadline { given })),
    }
}

fn is_starting(socket: &Socket) -> bool {
    matches!(
        socket.state(),
        PgWireConnectionState::AwaitingStartup | PgWireConnectionState::AuthenticationInProgress
    )
}

/// Why no message could be made of what came.
fn unreadable(wrong: PgWireError) -> PgWireError {
    match wrong {
        PgWireError::IoError(error) if error.kind() == io::ErrorKind::FileTooLarge => {
            errors::fatal(LIMIT, error.to_string())
        }
        wrong => errors::fatal(PROTOCOL, wrong.to_string()),
    }
}

async fn say_last(socket: &mut Socket, ended: PgWireError) {
    let mut info = ErrorInfo::from(ended);
    info.severity = "FATAL".to_owned();
    let said = async {
        socket.send(PgWireBackendMessage::ErrorResponse(info.into())).await?;
        socket.close().await
    };
    // Whoever does not listen any more need not know.
    let _ = timeout(LAST_WORD, said).await;
}

/// The line to the client, watched while a statement runs and nobody reads.
struct Line(TcpStream);

impl Line {
    fn of(tcp: &TcpStream) -> io::Result<Self> {
        use std::os::fd::AsFd;
        let second = std::net::TcpStream::from(tcp.as_fd().try_clone_to_owned()?);
        Ok(Self(TcpStream::from_std(second)?))
    }

    /// Returns once the client hung up.
    async fn dropped(&self) {
        // Of all that can be waited for, this alone is not there while unread bytes are.
        if self.0.ready(tokio::io::Interest::PRIORITY).await.is_err() {
            std::future::pending::<()>().await;
        }
    }
}
