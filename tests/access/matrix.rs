//! Every route for every role and scope.

use std::collections::BTreeSet;

use serde_json::Value;

use super::{Guarded, UNLIMITED};
use crate::api::ANALYTICS;

/// Who may ask.
#[derive(Clone, Copy, Debug)]
enum Need {
    Nothing,
    /// One of these roles.
    Roles(&'static [&'static str]),
    /// One of these roles, and only if it sees all clients.
    Unconfined(&'static [&'static str]),
}

const READERS: &[&str] = &["viewer", "analyst", "admin"];

/// The routes, as the contract has them: a route that is documented and not here fails the test.
fn needs() -> Vec<(String, Need)> {
    let of_analytics = [
        "funnel",
        "drop-off-heatmap",
        "cohort-comparison",
        "recommendations",
        "realtime",
        "comparison",
        "sessions",
        "sessions/{session_id}/timeline",
    ];
    let analytics = of_analytics.map(|it| (format!("GET {ANALYTICS}/{it}"), Need::Roles(READERS)));
    let others = [
        ("GET /healthz", Need::Nothing),
        ("GET /readyz", Need::Nothing),
        ("GET /metrics", Need::Unconfined(READERS)),
        ("POST /api/v1/events", Need::Unconfined(&["ingest", "admin"])),
        ("POST /api/v1/sql", Need::Roles(&["analyst", "admin"])),
    ];
    others.map(|(route, need)| (route.to_owned(), need)).into_iter().chain(analytics).collect()
}

#[test]
fn every_route_lets_in_whom_the_contract_names() {
    let guarded = Guarded::with(UNLIMITED);
    let (status, text) = guarded.ask(("GET", "/api/v1/openapi.json"), None);
    assert_eq!(status, 200, "the documentation is open");
    let document: Value = serde_json::from_str(&text).unwrap();
    let documented: BTreeSet<String> = document["paths"]
        .as_object()
        .unwrap()
        .iter()
        .flat_map(|(path, methods)| {
            let methods = methods.as_object().unwrap().keys();
            methods.map(move |method| format!("{} {path}", method.to_uppercase()))
        })
        .collect();
    let needs = needs();
    assert_eq!(documented, needs.iter().map(|(route, _)| route.clone()).collect());

    let session = "SELECT session_id FROM sessions WHERE client_id = 'acme' LIMIT 1";
    let session = guarded.scene.sql(session)[0]["session_id"].as_str().unwrap().to_owned();
    let refused = ["token", "create", "--name", "x", "--role", "ingest", "--client-id", "acme"];
    guarded.scene.run(refused).failed(1, &["all clients", "--client-id"]);
    let mut callers = Vec::new();
    for role in ["ingest", "viewer", "analyst", "admin"] {
        for scoped in [false, true] {
            if role == "ingest" && scoped {
                continue;
            }
            let name = format!("{role}-{scoped}");
            let clients: &[&str] = if scoped { &["--client-id", "acme"] } else { &[] };
            let args = [&["--name", &name, "--role", role], clients].concat();
            callers.push((role, scoped, guarded.token(&args)));
        }
    }
    for (route, need) in &needs {
        let (method, path) = route.split_once(' ').unwrap();
        let path = path.replace("{session_id}", &session);
        let status = |token| guarded.ask((method, &path), token).0;
        for (what, token) in [("nobody", None), ("a forger", Some("onr_00000000_00"))] {
            let expected = matches!(need, Need::Nothing);
            assert_eq!(status(token) != 401, expected, "{route} for {what}");
        }
        for (role, scoped, token) in &callers {
            let expected = match need {
                Need::Nothing => true,
                Need::Roles(roles) => roles.contains(role),
                Need::Unconfined(roles) => roles.contains(role) && !scoped,
            };
            let found = status(Some(token));
            assert!(!matches!(found, 401 | 404 | 405 | 500..), "{route}: {found}");
            assert_eq!(found != 403, expected, "{route} for {role}, scoped: {scoped}");
        }
    }
}
