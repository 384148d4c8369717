//! Brokers that ask who is there, behind certificates of their own.

use std::path::PathBuf;
use std::process::{Command, Stdio};

use tempfile::TempDir;

use super::Running;
use crate::kafka::{await_records, produce};
use crate::support::broker::{Broker, broker_with};
use crate::support::{Answer, Scene, event, free_ports};

/// A broker whose further listener is TLS with a login.
struct Guarded {
    broker: Broker,
    folder: TempDir,
    port: u16,
}

impl Guarded {
    fn start(test: &str) -> Option<Self> {
        let folder = tempfile::tempdir().unwrap();
        let store = folder.path().join("broker.p12");
        let port = free_ports();
        let protected = |plain: u16| {
            let (store, controller) = (store.display(), plain + 1);
            let module = "org.apache.kafka.common.security";
            format!(
                "listeners=PLAINTEXT://127.0.0.1:{plain},CONTROLLER://127.0.0.1:{controller},SASL_SSL://127.0.0.1:{port}\n\
                 advertised.listeners=PLAINTEXT://127.0.0.1:{plain},SASL_SSL://127.0.0.1:{port}\n\
                 listener.security.protocol.map=PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT,SASL_SSL:SASL_SSL\n\
                 sasl.enabled.mechanisms=PLAIN,SCRAM-SHA-256\n\
                 listener.name.sasl_ssl.plain.sasl.jaas.config={module}.plain.PlainLoginModule required user_onramp=\"right-password\";\n\
                 listener.name.sasl_ssl.scram-sha-256.sasl.jaas.config={module}.scram.ScramLoginModule required;\n\
                 ssl.keystore.location={store}\nssl.keystore.type=PKCS12\nssl.keystore.password=of-the-store\n"
            )
        };
        crate::support::broker::broker(test)?;
        make_certificate(&folder);
        Some(Self { broker: broker_with(test, protected)?, folder, port })
    }

    fn authority(&self) -> PathBuf {
        self.folder.path().join("broker.pem")
    }

    fn address(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    fn settings(&self, mechanism: &str, password: &str, authority: bool) -> String {
        let mut settings = format!(
            "[ingest.properties]\n\"security.protocol\" = \"SASL_SSL\"\n\"sasl.mechanism\" = {mechanism:?}\n\
             \"sasl.username\" = \"onramp\"\n\"sasl.password\" = {password:?}\n"
        );
        if authority {
            settings += &format!("\"ssl.ca.location\" = {:?}\n", self.authority());
        }
        settings
    }
}

/// A certificate that vouches for itself, by Java's own tool.
fn make_certificate(folder: &TempDir) {
    let keytool = |arguments: &str| {
        let made = Command::new("keytool")
            .current_dir(folder.path())
            .args(arguments.split(' '))
            .args(["-keystore", "broker.p12", "-storepass", "of-the-store", "-alias", "broker"])
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .status();
        assert!(made.is_ok_and(|status| status.success()), "keytool {arguments}");
    };
    keytool(
        "-genkeypair -keyalg RSA -storetype PKCS12 -dname CN=127.0.0.1 -ext san=ip:127.0.0.1 -validity 2",
    );
    keytool("-exportcert -rfc -file broker.pem");
}

#[test]
fn a_login_over_tls_ingests_and_a_wrong_one_is_told_at_once() {
    let Some(guarded) = Guarded::start("operations::login::a_login_over_tls") else { return };
    let topic = "onboarding.guarded";
    guarded.broker.create(topic, 1);
    let record = event("1", "s", "session.started", "2026-03-01T10:00:00Z", "{}").into_bytes();
    produce(&guarded.broker, topic, [record.clone()]);
    let scene = Scene::new();
    for (records, mechanism) in [(1, "PLAIN"), (2, "SCRAM-SHA-256")] {
        scene.write("onramp.toml", guarded.settings(mechanism, "right-password", true));
        let ingest = Running::ingest(&scene, &guarded.address(), topic, &[]);
        await_records(&scene, records);
        assert!(!ingest.log().contains("right-password"));
        assert_eq!(ingest.stop(), Some(0));
        produce(&guarded.broker, topic, [record.clone()]);
    }
    let shown = scene.run(["--format", "json", "config", "show"]).succeeded().stdout;
    assert!(shown.contains("sasl.password") && !shown.contains("right-password"), "{shown}");

    let ingest = |settings: String| {
        scene.write("onramp.toml", settings);
        let answer = scene.run(["ingest", "--brokers", &guarded.address(), "--topic", topic]);
        assert!(!answer.stderr.contains("-password\""), "{answer:#?}");
        assert!(!answer.stderr.contains("wrong-password"), "{answer:#?}");
        answer
    };
    for mechanism in ["PLAIN", "SCRAM-SHA-256"] {
        let refused = ingest(guarded.settings(mechanism, "wrong-password", true));
        refused.failed(1, &[&guarded.address(), "uthentication failed", "sasl.password"]);
    }
    let mut doctor = scene.onramp();
    doctor.env("ONRAMP__INGEST__BROKERS", guarded.address()).env("ONRAMP__INGEST__TOPIC", topic);
    let told = Answer::of(doctor.args(["--format", "json", "doctor"]));
    assert_eq!(told.code, Some(1), "{told:#?}");
    assert!(told.stdout.contains("uthentication failed"), "{told:#?}");

    let unknown = ingest(guarded.settings("PLAIN", "right-password", false));
    unknown.failed(1, &[&guarded.address(), "certificate verify failed", "ssl.ca.location"]);
    let unreadable = guarded.settings("PLAIN", "right-password", true).replace(".pem", ".gone");
    ingest(unreadable).failed(1, &["ssl.ca.location", "ingest.properties"]);

    // A secret need not stand in a file: one variable holds settings of the client, in TOML.
    scene.write(
        "onramp.toml",
        guarded.settings("PLAIN", "x", true).replace("\"sasl.password\" = \"x\"\n", ""),
    );
    let secret = r#"{"sasl.password"="right-password"}"#;
    let mut shown = scene.onramp();
    shown.env("ONRAMP__INGEST__PROPERTIES", secret).args(["--format", "json", "config", "show"]);
    let shown = Answer::of(&mut shown).succeeded().stdout;
    assert!(shown.contains("sasl.password") && shown.contains("sasl.username"), "{shown}");
    assert!(!shown.contains("right-password"), "{shown}");
}
