//! The API's description, the pages that render it, and a tool that holds the server to it.

use std::process::Command;

use serde_json::Value;

use super::World;
use crate::support::python::python;
use crate::support::{Answer, checkout};

#[test]
fn the_served_description_is_the_checked_in_one() {
    let world = &World::shared();
    let served = world.get("/api/v1/openapi.json", &[]).json();
    let file = std::fs::read_to_string(checkout("docs/generated/openapi.json")).unwrap();
    assert_eq!(served, serde_json::from_str::<Value>(&file).unwrap());
    assert_eq!(served["openapi"], "3.1.0");
    for (path, methods) in served["paths"].as_object().unwrap() {
        for (method, operation) in methods.as_object().unwrap() {
            assert!(operation["summary"].is_string(), "{method} {path} says what it does");
        }
    }
}

#[test]
fn the_pages_ask_nobody_else() {
    let world = &World::shared();
    for path in ["/api/v1/docs", "/api/v1/docs/"] {
        let page = world.get(path, &[]);
        assert!(page.header("content-type").starts_with("text/html"), "{path}");
        let page = page.text();
        let mut assets = 0;
        for attribute in ["src=\"", "href=\"", "url: \""] {
            for rest in page.split(attribute).skip(1) {
                let target = rest.split('"').next().unwrap();
                if target.starts_with("data:") {
                    continue;
                }
                assert!(target.starts_with("/api/v1/"), "{target} is elsewhere");
                assert_eq!(world.get(target, &[]).status, 200, "{target}");
                assets += 1;
            }
        }
        assert_eq!(assets, 3, "styles, scripts, the description");
        assert!(!page.contains("://"), "{page}");
        assert!(page.contains("validatorUrl: null"), "no badge of somebody else's");
    }
}

/// Tries what the description allows and what it does not, and checks every answer against it.
#[test]
fn schemathesis_finds_nothing() {
    let Some(python) = python("api::contract::schemathesis_finds_nothing", "api") else { return };
    let world = &World::shared();
    let mut tool = Command::new(python.with_file_name("schemathesis"));
    tool.arg("run").arg(world.server.url("/api/v1/openapi.json"));
    tool.args(["--max-examples", "15", "--seed", "20260301", "--no-color", "--warnings", "off"]);
    tool.args(["--phases", "examples,coverage,fuzzing", "--request-timeout", "60"]);
    // A period that ends before it starts, an unknown time zone or attribute: each fits the description
    // of its parameter, and has no answer all the same. And nobody has to log in here: whoever shows
    // something is let in all the same.
    tool.args(["--exclude-checks", "positive_data_acceptance,ignored_auth"]);
    let said = Answer::of(tool.current_dir(world.scene.path(".")));
    assert_eq!(said.code, Some(0), "{}\n{}", said.stdout, said.stderr);
}
