//! Encryption: before a word is said, or no start.

use std::io::{Read, Write};

use super::{Raw, Wire, state};
use crate::support::Scene;

/// "May we speak TLS?"
const QUESTION: [u8; 8] = [0, 0, 0, 8, 4, 210, 22, 47];

/// Writes a certificate for this machine and its key into the scene.
pub fn certificate(scene: &Scene) {
    let names = vec!["localhost".to_owned(), "127.0.0.1".to_owned()];
    let made = rcgen::generate_simple_self_signed(names).unwrap();
    scene.write("server.pem", made.cert.pem());
    scene.write("server.key", made.signing_key.serialize_pem());
}

const TLS: [(&str, &str); 3] = [
    ("postgres.tls_cert", "\"server.pem\""),
    ("postgres.tls_key", "\"server.key\""),
    ("postgres.startup_timeout_seconds", "2"),
];

#[test]
fn with_a_certificate_nothing_is_said_in_clear() {
    let scene = Scene::new();
    certificate(&scene);
    let authority = scene.path("server.pem").display().to_string();
    let wire = Wire::of(scene, &TLS);
    let ask = |mode: &str| {
        let how = format!("sslmode={mode} sslrootcert={authority}");
        let address = format!("host=127.0.0.1 port={} user=me dbname=x {how}", wire.port);
        crate::support::Answer::of(
            std::process::Command::new("psql").args(["-X", "-Atc", "SELECT 7", &address]),
        )
    };
    for mode in ["prefer", "require", "verify-full"] {
        assert_eq!(ask(mode).succeeded().stdout, "7\n", "{mode}");
    }
    ask("disable").failed(2, &["this server speaks TLS only"]);

    let mut clear = wire.raw();
    clear.start();
    assert_eq!(state(&clear.until(b'E')), "28000");
    assert!(clear.next().is_none());
    // What is slipped in behind the question is no message of an encrypted connection.
    let Raw(mut slipped) = wire.raw();
    slipped.write_all(&[&QUESTION[..], b"\0\0\0\x16\0\x03\0\0user\0anybody\0\0"].concat()).unwrap();
    let mut answer = Vec::new();
    // The server may close before all of it is read; what it said by then counts.
    let _ = slipped.read_to_end(&mut answer);
    assert_eq!(answer.first(), Some(&b'S'));
    assert!(!answer.windows(5).any(|part| part[0] == b'R' && part[4] == 8), "a login: {answer:?}");
    // Half-open: the question, and silence.
    let Raw(mut halfway) = wire.raw();
    halfway.write_all(&QUESTION).unwrap();
    let mut answer = Vec::new();
    halfway.read_to_end(&mut answer).unwrap();
    assert_eq!(answer, b"S", "the connection ends by itself");
    assert_eq!(ask("require").succeeded().stdout, "7\n");
}

#[test]
fn what_would_be_open_does_not_start() {
    let scene = Scene::new();
    let start = |lines: &str, words: &[&str]| {
        scene.write(
            "onramp.toml",
            format!("[http]\nlisten = \"127.0.0.1:0\"\n[postgres]\n{lines}\n"),
        );
        for command in ["up", "serve"] {
            scene.run([command]).failed(1, words);
        }
    };
    start("listen = \"0.0.0.0:0\"", &["loopback", "0.0.0.0:0"]);
    start("listen = \"nowhere\"", &["postgres.listen", "127.0.0.1:5432"]);
    let on = "listen = \"127.0.0.1:0\"\n";
    start(&format!("{on}tls_cert = \"server.pem\""), &["postgres.tls_key"]);
    let both = format!("{on}tls_cert = \"server.pem\"\ntls_key = \"server.key\"");
    start(&both, &["TLS cannot start", "server.pem"]);
    scene.write("server.pem", "nonsense");
    start(&both, &["TLS cannot start", "server.pem"]);
    certificate(&scene);
    scene.write("server.key", "nonsense");
    start(&both, &["TLS cannot start", "server.key"]);
}
