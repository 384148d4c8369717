//! A connection's first bytes: whether it is encrypted is settled before a message is read.

use std::io;

use datafusion_postgres::pgwire::api::{ClientInfo, DefaultClient, PgWireConnectionState};
use datafusion_postgres::pgwire::messages::PgWireBackendMessage;
use datafusion_postgres::pgwire::tokio::server::{MaybeTls, PgWireMessageServerCodec};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::TlsAcceptor;
use tokio_util::codec::{Framed, FramedParts};

use super::extended::Prepared;
use super::guard::Guard;
use super::tls::ALPN;

/// A client's messages and the way back.
pub type Socket = Framed<Guard<MaybeTls>, PgWireMessageServerCodec<Prepared>>;

/// Bytes of an answer that are collected before they are sent.
const WRITE_BUFFER: usize = 64 << 10;
/// The first byte of a TLS greeting.
const TLS_GREETING: u8 = 0x16;
/// "May we speak TLS?", a message of eight bytes.
const TLS_REQUEST: [u8; 8] = [0, 0, 0, 8, 4, 210, 22, 47];
/// "May we speak GSSAPI?", likewise.
const GSS_REQUEST: [u8; 8] = [0, 0, 0, 8, 4, 210, 22, 48];

/// Answers the questions for encryption, of which a client has one of each kind at most.
///
/// Not a byte beyond a question is read from the clear stream: what comes after it is TLS or nothing.
///
/// # Errors
/// The client leaves, asks on and on, or fails at TLS.
pub async fn negotiate(
    mut tcp: TcpStream,
    tls: Option<&TlsAcceptor>,
    most: usize,
) -> io::Result<Socket> {
    for _ in 0..3 {
        let mut first = [0];
        tcp.peek(&mut first).await?;
        if first[0] == TLS_GREETING {
            let tls = tls.ok_or_else(|| invalid("TLS is not configured"))?;
            let stream = tls.accept(tcp).await?;
            if stream.get_ref().1.alpn_protocol() != Some(ALPN) {
                return Err(invalid("a client that starts with TLS must name the protocol"));
            }
            return encrypted(stream, most);
        }
        let mut question = [0; 8];
        tcp.read_exact(&mut question).await?;
        match (question, tls) {
            (TLS_REQUEST, Some(tls)) => {
                tcp.write_all(b"S").await?;
                return encrypted(tls.accept(tcp).await?, most);
            }
            (TLS_REQUEST | GSS_REQUEST, _) => tcp.write_all(b"N").await?,
            _ => {
                let address = tcp.peer_addr()?;
                return socket(
                    MaybeTls::Plain(tcp),
                    DefaultClient::new(address, false),
                    &question,
                    most,
                );
            }
        }
    }
    Err(invalid("a client that only asks for encryption"))
}

fn encrypted(
    stream: tokio_rustls::server::TlsStream<TcpStream>,
    most: usize,
) -> io::Result<Socket> {
    let address = stream.get_ref().0.peer_addr()?;
    socket(MaybeTls::Tls(Box::new(stream)), DefaultClient::new(address, true), &[], most)
}

/// The stream as messages; `read` has been taken off it already.
fn socket(
    stream: MaybeTls,
    client: DefaultClient<Prepared>,
    read: &[u8],
    most: usize,
) -> io::Result<Socket> {
    let mut guard = Guard::new(stream, most);
    guard.follow(read)?;
    let codec = PgWireMessageServerCodec::new(client);
    let mut parts = FramedParts::new::<PgWireBackendMessage>(guard, codec);
    parts.read_buf.extend_from_slice(read);
    let mut socket = Framed::from_parts(parts);
    socket.set_backpressure_boundary(WRITE_BUFFER);
    socket.set_state(PgWireConnectionState::AwaitingStartup);
    Ok(socket)
}

fn invalid(reason: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, reason)
}
