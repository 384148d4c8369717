//! The PostgreSQL JDBC driver, which most BI tools use.

use std::path::PathBuf;
use std::process::{Command, Stdio};

use super::Wire;
use crate::support::{Answer, checkout, left_out};

/// The driver's folder, filled once; `None` where Java or Maven is missing.
fn driver() -> Option<PathBuf> {
    let folder = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("jdbc");
    let done = folder.join(".whole");
    if !done.exists() {
        let copied = Command::new("mvn")
            .args(["-q", "-B", "dependency:copy-dependencies", "-f"])
            .arg(checkout("tests/postgres/pom.xml"))
            .arg(format!("-DoutputDirectory={}", folder.display()))
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .status();
        if !copied.is_ok_and(|status| status.success()) {
            return None;
        }
        std::fs::write(done, "").unwrap();
    }
    Some(folder)
}

#[test]
fn the_jdbc_driver_finds_its_way() {
    let Some(driver) = driver() else {
        assert!(std::env::var_os("CI").is_none(), "CI has Java and Maven");
        left_out("postgres::jdbc::the_jdbc_driver_finds_its_way", "a JDK and Maven");
        return;
    };
    let wire = Wire::start();
    // Java compiles a source of one file by itself.
    let answer = Answer::of(
        Command::new("java")
            .arg("-cp")
            .arg(format!("{}/*", driver.display()))
            .arg(checkout("tests/postgres/Client.java"))
            .arg(wire.port.to_string())
            .env("TZ", "Asia/Tokyo"),
    );
    let told = answer.succeeded().stdout;
    let lines = |kind: &str| -> Vec<&str> {
        told.lines().filter_map(|line| line.strip_prefix(kind)?.strip_prefix(' ')).collect()
    };
    assert_eq!(lines("product"), ["PostgreSQL 16"]);
    assert!(lines("table").iter().any(|table| table.starts_with("events | ")), "{told}");
    for column in ["event_type text 0", "occurred_at timestamptz 0", "channel text 1"] {
        assert!(lines("column").contains(&column), "{column}: {told}");
    }
    assert!(lines("schema").contains(&"public"), "{told}");
    let by_type = "SELECT event_type, count(*) AS n FROM events GROUP BY 1 ORDER BY 1";
    let expected: Vec<String> = wire
        .scene
        .sql(by_type)
        .iter()
        .map(|row| format!("{} {}", row["event_type"].as_str().unwrap(), row["n"]))
        .collect();
    assert_eq!(lines("text"), expected);
    let count = |condition: &str| {
        let statement = format!("SELECT count(*) AS n FROM events {condition}");
        wire.scene.sql(&statement)[0]["n"].to_string()
    };
    assert_eq!(lines("portions"), [count("")]);
    assert_eq!(
        lines("prepared"),
        vec![count("WHERE event_type = 'onboarding.session.started'"); 8]
    );
}
