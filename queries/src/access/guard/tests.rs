use std::sync::Arc;

use axum::Extension;
use axum::body::Body;
use axum::http::Method;
use axum::routing::any;
use chrono::{DateTime, Utc};
use onramp_lake::{Lake, StoreSettings};
use onramp_schemas::clock::FixedClock;
use tempfile::TempDir;
use tower::ServiceExt;

use super::*;
use crate::access::routes::ROUTES;
use crate::access::tokens::{self, Request as NewToken};
use crate::access::{Options, Rates};

const NOW: i64 = 1_780_000_000;

fn now() -> DateTime<Utc> {
    DateTime::from_timestamp(NOW, 0).unwrap()
}

/// A lake, and a router that answers every route with whoever asks.
struct World {
    lake: Lake,
    _folder: TempDir,
}

impl World {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let lake = Lake::open(folder.path().to_str().unwrap(), &StoreSettings::default()).unwrap();
        Self { lake, _folder: folder }
    }

    async fn token(&self, role: Role, client: Option<&str>) -> String {
        let clients = client.map(|client| [client.to_owned()].into());
        let request = NewToken { name: role.to_string(), role, clients, expires_at: None };
        tokens::create(&self.lake, request, now()).await.unwrap().1.reveal().to_owned()
    }

    fn router(&self, rates: &Rates) -> Router {
        let clock = Arc::new(FixedClock(NOW * 1_000_000));
        let options = Options { rates: *rates, ..Options::default() };
        let authenticator = Authenticator::new(&self.lake, options, clock).unwrap();
        let answer = any(|caller: Option<Extension<Caller>>| async move {
            caller.map_or("nobody".to_owned(), |Extension(caller)| caller.name)
        });
        let mut paths: Vec<_> = ROUTES.iter().map(|route| route.path).collect();
        paths.dedup();
        let routes =
            paths.into_iter().fold(Router::new(), |all, path| all.route(path, answer.clone()));
        Guard::new(authenticator).protect(routes)
    }
}

async fn ask(router: &Router, method: &str, path: &str, headers: &[(&str, &str)]) -> Response {
    let mut request = Request::builder().method(method).uri(path);
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    router.clone().oneshot(request.body(Body::empty()).unwrap()).await.unwrap()
}

async fn status(router: &Router, method: &str, path: &str, token: Option<&str>) -> u16 {
    let shown = token.map(|token| format!("Bearer {token}"));
    let headers: Vec<_> = shown.iter().map(|shown| ("authorization", shown.as_str())).collect();
    ask(router, method, path, &headers).await.status().as_u16()
}

/// Who may ask what: by route, nobody, then each role over all clients, then each that can be confined
/// over one. The roles are ingest, viewer, analyst, admin. Written out by hand, so that a change of the routes' own table is seen here.
#[rustfmt::skip]
const MATRIX: &[(&str, &str, &str)] = &[
    ("GET",  "/healthz",                                                      "y yyyy yyy"),
    ("GET",  "/readyz",                                                       "y yyyy yyy"),
    ("GET",  "/metrics",                                                      "- nyyy nnn"),
    ("GET",  "/api/v1/openapi.json",                                          "y yyyy yyy"),
    ("GET",  "/api/v1/docs",                                                  "y yyyy yyy"),
    ("GET",  "/api/v1/docs/{file}",                                           "y yyyy yyy"),
    ("POST", "/api/v1/events",                                                "- ynny nnn"),
    ("GET",  "/api/v1/onboarding/analytics/funnel",                           "- nyyy yyy"),
    ("GET",  "/api/v1/onboarding/analytics/drop-off-heatmap",                 "- nyyy yyy"),
    ("GET",  "/api/v1/onboarding/analytics/cohort-comparison",                "- nyyy yyy"),
    ("GET",  "/api/v1/onboarding/analytics/recommendations",                  "- nyyy yyy"),
    ("GET",  "/api/v1/onboarding/analytics/realtime",                         "- nyyy yyy"),
    ("GET",  "/api/v1/onboarding/analytics/comparison",                       "- nyyy yyy"),
    ("GET",  "/api/v1/onboarding/analytics/sessions",                         "- nyyy yyy"),
    ("GET",  "/api/v1/onboarding/analytics/sessions/{session_id}/timeline",   "- nyyy yyy"),
    ("POST", "/api/v1/sql",                                                   "- nnyy nyy"),
];

#[tokio::test]
async fn every_route_lets_in_whom_the_matrix_says_and_nobody_else() {
    let world = World::new();
    let mut callers = vec![None];
    for client in [None, Some("acme")] {
        for role in Role::ALL.into_iter().skip(usize::from(client.is_some())) {
            callers.push(Some(world.token(role, client).await));
        }
    }
    let router = world.router(&Rates::default());
    for (method, path, expected) in MATRIX {
        let concrete = path.replace(['{', '}'], "");
        let mut found = String::new();
        for caller in &callers {
            found.push(match status(&router, method, &concrete, caller.as_deref()).await {
                200 => 'y',
                401 => '-',
                403 => 'n',
                other => panic!("{method} {path}: {other}"),
            });
        }
        assert_eq!(found, expected.replace(' ', ""), "{method} {path}");
    }
    let listed: Vec<_> = ROUTES.iter().map(|route| (route.method, route.path)).collect();
    let held: Vec<_> = MATRIX.iter().map(|(method, path, _)| (*method, *path)).collect();
    assert_eq!(held, listed, "a route has no line in the matrix");
}

#[tokio::test]
async fn refusals_say_what_is_wanted() {
    let world = World::new();
    let viewer = world.token(Role::Viewer, None).await;
    let router = world.router(&Rates::default());
    let refused = ask(&router, "GET", "/metrics", &[]).await;
    assert_eq!(refused.headers()["www-authenticate"], "Bearer realm=\"onramp\"");
    assert_eq!(refused.headers()["content-type"], "application/problem+json");
    for shown in ["", "Bearer", "Bearer ", "Basic dTpw", "Bearer a b", &format!("Token {viewer}")] {
        let refused = ask(&router, "GET", "/metrics", &[("authorization", shown)]).await;
        assert_eq!(refused.status(), 401, "{shown:?}");
        let challenge = &refused.headers()["www-authenticate"];
        assert_eq!(challenge, "Bearer realm=\"onramp\", error=\"invalid_token\"");
    }
    let shown = format!("bearer {viewer}");
    assert_eq!(ask(&router, "GET", "/metrics", &[("authorization", &shown)]).await.status(), 200);
    let twice = [("authorization", &*shown), ("authorization", &*shown)];
    assert_eq!(ask(&router, "GET", "/metrics", &twice).await.status(), 401);
    let long = format!("Bearer {}", "x".repeat(100_000));
    assert_eq!(ask(&router, "GET", "/metrics", &[("authorization", &long)]).await.status(), 401);
    assert_eq!(status(&router, "GET", "/api/v1/nothing", None).await, 404);
    let refused = ask(&router, "DELETE", "/api/v1/sql", &[]).await;
    assert_eq!(
        (refused.status().as_u16(), &refused.headers()["allow"]),
        (405, &"POST".parse().unwrap())
    );
}

#[tokio::test]
async fn a_trailing_slash_changes_nothing() {
    let world = World::new();
    world.token(Role::Admin, None).await;
    let router = world.router(&Rates::default());
    let router = crate::http::wrap(router, Duration::from_secs(60));
    for path in ["/metrics/", "/metrics///", "//metrics", "/api/v1/sql/"] {
        let method = if path.contains("sql") { "POST" } else { "GET" };
        assert_eq!(status(&router, method, path, None).await, 401, "{path}");
    }
    assert_eq!(status(&router, "GET", "/metrics/more", None).await, 404);
    assert_eq!(status(&router, "HEAD", "/metrics", None).await, 401);
}

#[tokio::test]
async fn thousands_of_bad_logins_are_slowed_down_and_good_ones_go_through() {
    let world = World::new();
    let good = world.token(Role::Viewer, None).await;
    let router = world.router(&Rates::default());
    let mut answers = [0; 2];
    for attempt in 0..3_000 {
        let forged = format!("onr_{attempt:012x}_{}", "0".repeat(64));
        match status(&router, "GET", "/metrics", Some(&forged)).await {
            401 => answers[0] += 1,
            429 => answers[1] += 1,
            other => panic!("{other}"),
        }
    }
    assert!(answers[0] < 100 && answers[1] > 2_900, "{answers:?}");
    let shown = [("authorization", "Bearer x")];
    assert!(ask(&router, "GET", "/metrics", &shown).await.headers().contains_key("retry-after"));
    assert_eq!(status(&router, "GET", "/metrics", Some(&good)).await, 200);
}

#[tokio::test]
async fn a_caller_who_asks_too_often_has_to_wait_and_others_have_not() {
    let world = World::new();
    let (busy, calm) =
        (world.token(Role::Viewer, None).await, world.token(Role::Viewer, None).await);
    let rates = Rates { requests_per_second: std::num::NonZeroU32::new(1), ..Rates::default() };
    let router = world.router(&rates);
    let mut statuses = Vec::new();
    for _ in 0..5 {
        statuses.push(status(&router, "GET", "/metrics", Some(&busy)).await);
    }
    assert_eq!(statuses[..2], [200, 200]);
    assert!(statuses[2..].contains(&429), "{statuses:?}");
    assert_eq!(status(&router, "GET", "/metrics", Some(&calm)).await, 200);
}

#[tokio::test]
async fn without_tokens_this_machine_may_do_everything_and_no_other_sites_page() {
    let world = World::new();
    let router = world.router(&Rates::default());
    for (host, origin, expected) in [
        ("127.0.0.1:8080", None, 200),
        ("localhost", Some("http://localhost:3000"), 200),
        ("[::1]:8080", None, 200),
        ("[::1]", Some("http://127.0.0.1"), 200),
        ("rebound.example:8080", None, 403),
        ("127.0.0.1.example", None, 403),
        ("127.0.0.1:8080", Some("https://page.example"), 403),
        ("127.0.0.1:8080", Some("null"), 403),
        ("[", None, 403),
    ] {
        let mut headers = vec![("host", host)];
        headers.extend(origin.map(|origin| ("origin", origin)));
        let answer = ask(&router, "POST", "/api/v1/sql", &headers).await;
        assert_eq!(answer.status().as_u16(), expected, "{host} {origin:?}");
    }
    // The first token closes the door, whatever becomes of it.
    world.token(Role::Admin, None).await;
    let router = world.router(&Rates::default());
    assert_eq!(status(&router, Method::POST.as_str(), "/api/v1/sql", None).await, 401);
}
