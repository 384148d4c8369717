use onramp_compute::{Engine, engine};
use onramp_lake::Lake;
use std::net::IpAddr;

use super::command::{Read, read};
use super::guard::Guard;
use super::settings::Settings;
use super::*;
use crate::access::{Caller, Denied};

fn ask(text: &str) -> Result<Read, String> {
    read(&PostgresCompatibilityParser::new(), text).map_err(|error| error.to_string())
}

#[test]
fn what_is_no_query_is_told_apart() {
    for (text, command) in [
        ("BEGIN", "Begin"),
        ("start transaction isolation level serializable, read only", "Begin"),
        ("COMMIT", "Commit"),
        ("ROLLBACK", "Rollback"),
        ("SAVEPOINT a", "Savepoint"),
        ("ROLLBACK TO SAVEPOINT a", "RollbackTo"),
        ("RELEASE SAVEPOINT a", "Release"),
        ("SET application_name = 'x'", "Set"),
        ("SET SESSION CHARACTERISTICS AS TRANSACTION READ ONLY", "SetTransaction"),
        ("SET TIME ZONE 'UTC'", "Set"),
        ("RESET ALL", "ResetAll"),
        ("SHOW TRANSACTION ISOLATION LEVEL", "Show(\"transaction_isolation\")"),
        ("SHOW server_version", "Show(\"server_version\")"),
        ("DEALLOCATE ALL", "Deallocate(None)"),
        ("DISCARD ALL", "DiscardAll"),
    ] {
        match ask(text) {
            Ok(Read::Command(found)) => {
                assert!(format!("{found:?}").starts_with(command), "{text}: {found:?}");
            }
            Ok(_) => panic!("{text} is taken for a query"),
            Err(error) => panic!("{text}: {error}"),
        }
    }
    for text in ["", ";", "-- nothing"] {
        assert!(matches!(ask(text), Ok(Read::Nothing)), "{text:?}");
    }
    for text in ["SELECT 1", "EXPLAIN SELECT 1", "DESCRIBE events", "SHOW TABLES"] {
        assert!(matches!(ask(text), Ok(Read::Query(_))), "{text:?}");
    }
}

#[test]
fn what_is_never_run_is_refused_by_its_first_words() {
    for text in [
        "COPY (SELECT 1) TO '/tmp/x'",
        "COPY events FROM STDIN",
        "CREATE TABLE t (a INT)",
        "DROP TABLE events",
        "INSERT INTO events VALUES (1)",
        "DELETE FROM events",
        "PREPARE p AS SELECT 1",
        "SET ROLE admin",
        "LISTEN x",
    ] {
        let Err(error) = ask(text) else { panic!("{text} is not refused") };
        assert!(error.contains("42501"), "{text}: {error}");
    }
    let Err(error) = ask("SELECT 1; SELECT 2") else { panic!("two statements") };
    assert!(error.contains("42601"), "{error}");
}

#[test]
fn settings_take_what_drivers_send_and_nothing_of_the_servers() {
    let mut settings = Settings::default();
    for (name, value) in [
        ("client_encoding", "'UTF8'"),
        ("extra_float_digits", "3"),
        ("DateStyle", "ISO, DMY"),
        ("statement_timeout", "5s"),
        ("search_path", "public"),
    ] {
        let value = value.trim_matches('\'');
        assert!(matches!(settings.set(name, Some(value)), Ok(true)), "{name}");
    }
    assert_eq!(settings.statement_timeout(), Some(Duration::from_secs(5)));
    assert!(matches!(settings.set("TimeZone", Some("Europe/Berlin")), Ok(false)));
    assert_eq!(settings.get("timezone"), Some("UTC"));
    for (name, value) in [
        ("datafusion.execution.batch_size", "1"),
        ("server_version", "99"),
        ("client_encoding", "LATIN1"),
        ("datestyle", "German"),
        ("statement_timeout", "for ever"),
    ] {
        assert!(settings.set(name, Some(value)).is_err(), "{name} = {value}");
    }
}

#[test]
fn a_message_is_measured_however_it_is_cut() {
    let mut bytes = vec![0, 0, 0, 8, 1, 2, 3, 4];
    bytes.extend([b'Q', 0, 0, 0, 6, 65, 0, b'S', 0, 0, 0, 4]);
    bytes.extend([b'Q', 0, 0, 0, 101]);
    for size in 1..bytes.len() {
        let mut guard = Guard::new((), 100);
        let followed: Result<(), _> = bytes.chunks(size).try_for_each(|part| guard.follow(part));
        assert_eq!(followed.unwrap_err().kind(), std::io::ErrorKind::FileTooLarge, "{size}");
    }
    let mut guard = Guard::new((), 100);
    assert!(guard.follow(&bytes[..bytes.len() - 5]).is_ok());
    assert!(Guard::new((), 100).follow(&[0, 0, 0, 3]).is_err(), "shorter than its own length");
}

#[test]
fn only_looks_at_the_catalogue_are_rewritten() {
    let parser = PostgresCompatibilityParser::new();
    let kept = |text: &str| {
        let statements = super::rewrite::statements(&parser, text).unwrap();
        statements.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ")
    };
    for text in [
        "SELECT (SELECT max(events.sequence) FROM events) FROM sessions",
        "SELECT e.id, (SELECT count(*) FROM sessions AS s WHERE s.session_id = e.session_id) FROM events AS e",
        "SELECT id FROM events WHERE data LIKE '{a,b}'",
        "WITH pg_x AS (SELECT 1 AS a) SELECT (SELECT a FROM pg_x) FROM events",
        "SELECT relname, (SELECT count(*) FROM events) FROM pg_catalog.pg_class",
    ] {
        assert_eq!(kept(text), text);
    }
    let typed =
        "SELECT (SELECT t.typname FROM pg_type t WHERE t.oid = a.atttypid) FROM pg_attribute a";
    assert!(!kept(typed).contains("LIMIT"), "{}", kept(typed));
}

#[derive(Debug)]
struct Tokens;

#[async_trait::async_trait]
impl Authenticate for Tokens {
    async fn authenticate(&self, _: &str, _: IpAddr) -> Result<Caller, Denied> {
        Err(Denied::Missing)
    }
}

#[tokio::test]
async fn a_login_needs_tls_and_an_open_address_a_login() {
    let folder = tempfile::tempdir().unwrap();
    let settings = onramp_lake::StoreSettings::default();
    let options = |listen: &str, authenticate: Option<Arc<dyn Authenticate>>| Options {
        listen: listen.parse().unwrap(),
        certificate: None,
        authenticate,
        source: sql::Source {
            lake: Lake::open(folder.path().to_str().unwrap(), &settings).unwrap(),
            engine: Engine::new(&engine::Options::default()).unwrap(),
            funnels: onramp_schemas::funnel::builtin().into_iter().collect(),
        },
        statements: sql::Limits::default(),
        limits: Limits::default(),
        workers: tokio::runtime::Handle::current(),
    };
    let tokens: Arc<dyn Authenticate> = Arc::new(Tokens);
    let refused = Server::bind(options("127.0.0.1:0", Some(Arc::clone(&tokens)))).await;
    assert!(matches!(refused, Err(PostgresError::NoTls)));
    let refused = Server::bind(options("0.0.0.0:0", None)).await;
    assert!(matches!(refused, Err(PostgresError::Open { .. })));
    assert!(Server::bind(options("127.0.0.1:0", None)).await.is_ok());
}
