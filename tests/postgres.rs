//! The PostgreSQL wire, asked by the clients that people use; every value is what `onramp sql` says.

mod abuse;
mod grafana;
mod jdbc;
mod psql;
mod python;
pub mod tls;

use std::io::{Read, Write};
use std::net::TcpStream;
use std::process::Command;
use std::time::Duration;

use crate::http::Server;
use crate::support::{Answer, Scene, free_ports};

/// A lake with a small world in it, and a server that answers over the wire.
pub struct Wire {
    pub scene: Scene,
    pub port: u16,
    server: Server,
}

impl Wire {
    pub fn start() -> Self {
        Self::with(&[])
    }

    /// A server with settings, on a lake with 300 sessions.
    pub fn with(settings: &[(&str, &str)]) -> Self {
        let scene = Scene::new();
        let path = scene.path("events.ndjson");
        let world = ["generate", "--sessions", "300", "--until", "2026-03-01", "--to"];
        scene.run(world.iter().map(AsRef::as_ref).chain([path.as_os_str()])).succeeded();
        scene.run(["import".as_ref(), path.as_os_str()]).succeeded();
        scene.run(["rebuild"]).succeeded();
        Self::of(scene, settings)
    }

    pub fn of(scene: Scene, settings: &[(&str, &str)]) -> Self {
        let port = free_ports();
        let mut text = format!("postgres.listen = \"127.0.0.1:{port}\"\n");
        for (name, value) in settings {
            text.push_str(&format!("{name} = {value}\n"));
        }
        scene.write("onramp.toml", text);
        let server = Server::start(&scene, &[]);
        Self { scene, port, server }
    }

    /// The end of the server, in order.
    pub fn stop(self) -> Option<i32> {
        self.server.stop()
    }

    /// `psql` with a connection to the server; none of the machine's settings.
    pub fn psql(&self, args: &[&str]) -> Answer {
        let address = format!("host=127.0.0.1 port={} user=anybody dbname=anything", self.port);
        Answer::of(Command::new("psql").arg(address).arg("-X").args(args).env_remove("PGPASSWORD"))
    }

    /// The rows of a statement, unaligned, as psql gets them.
    pub fn ask(&self, statement: &str) -> String {
        let answer = self.psql(&["-At", "-v", "ON_ERROR_STOP=1", "-c", statement]).succeeded();
        answer.stdout.trim_end().to_owned()
    }

    /// The SQLSTATE and the message that a statement fails with.
    pub fn refused(&self, statement: &str) -> (String, String) {
        let answer = self.psql(&["-At", "-v", "VERBOSITY=verbose", "-c", statement]);
        assert_ne!(answer.code, Some(0), "{statement} was run: {answer:?}");
        let line = answer.stderr.lines().find(|line| line.contains("ERROR:")).unwrap_or_default();
        let said = line.split("ERROR:").nth(1).unwrap_or_default().trim();
        let (code, message) = said.split_once(": ").unwrap_or((said, ""));
        (code.to_owned(), message.to_owned())
    }

    /// A connection that speaks bytes.
    pub fn raw(&self) -> Raw {
        let stream = TcpStream::connect(("127.0.0.1", self.port)).expect("the server listens");
        stream.set_read_timeout(Some(Duration::from_secs(60))).expect("a time-out");
        Raw(stream)
    }
}

/// Messages by hand.
pub struct Raw(pub TcpStream);

impl Raw {
    pub fn send(&mut self, bytes: &[u8]) {
        self.0.write_all(bytes).expect("the server reads");
    }

    /// A message with its type and length.
    pub fn message(&mut self, kind: u8, body: &[u8]) {
        let length = u32::try_from(body.len() + 4).expect("a short message");
        self.send(&[&[kind], &length.to_be_bytes()[..], body].concat());
    }

    /// The first message of a connection.
    pub fn start(&mut self) {
        let body = b"\0\x03\0\0user\0anybody\0\0";
        let length = u32::try_from(body.len() + 4).expect("a short message");
        self.send(&[&length.to_be_bytes()[..], body].concat());
    }

    /// The next message's type and body; `None` at the end of the connection.
    pub fn next(&mut self) -> Option<(u8, Vec<u8>)> {
        let mut head = [0; 5];
        self.0.read_exact(&mut head).ok()?;
        let length = u32::from_be_bytes([head[1], head[2], head[3], head[4]]) as usize - 4;
        let mut body = vec![0; length];
        self.0.read_exact(&mut body).ok()?;
        Some((head[0], body))
    }

    /// Reads up to a message of this kind.
    pub fn until(&mut self, kind: u8) -> Vec<u8> {
        loop {
            let (found, body) = self.next().expect("the server goes on");
            if found == kind {
                return body;
            }
        }
    }

    /// Logs in where no token is needed; the process number and the secret.
    pub fn ready(&mut self) -> Vec<u8> {
        self.start();
        let key = self.until(b'K');
        self.until(b'Z');
        key
    }
}

/// The SQLSTATE of an error message.
pub fn state(body: &[u8]) -> String {
    let fields = body.split(|byte| *byte == 0);
    let code = fields.filter_map(|field| field.strip_prefix(b"C")).next().unwrap_or_default();
    String::from_utf8_lossy(code).into_owned()
}
