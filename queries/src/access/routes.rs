//! Every route with what it takes to ask it. A route that is not here is not served: forgetting one
//! locks it, and never opens it.

use super::Role;

/// What a caller must be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Need {
    /// Anybody.
    Open,
    /// This role; the answer is confined to the caller's clients.
    Confined(Role),
    /// This role over all clients, because the answer or the act is not confined to some.
    Whole(Role),
}

/// One method of one path.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Route {
    /// The method.
    pub method: &'static str,
    /// The path without a slash at its end; `{name}` stands for a segment, `{*name}` for the rest.
    pub path: &'static str,
    /// Who may ask.
    pub need: Need,
}

const fn route(method: &'static str, path: &'static str, need: Need) -> Route {
    Route { method, path, need }
}

/// All routes of all servers.
pub const ROUTES: &[Route] = &[
    route("GET", "/healthz", Need::Open),
    route("GET", "/readyz", Need::Open),
    route("GET", "/metrics", Need::Whole(Role::Viewer)),
    route("GET", "/api/v1/openapi.json", Need::Open),
    route("GET", "/api/v1/docs", Need::Open),
    route("GET", "/api/v1/docs/{file}", Need::Open),
    // The collector looks at no event's client, so that its caller must be trusted with all.
    route("POST", "/api/v1/events", Need::Whole(Role::Ingest)),
    route("GET", "/api/v1/onboarding/analytics/funnel", Need::Confined(Role::Viewer)),
    route("GET", "/api/v1/onboarding/analytics/drop-off-heatmap", Need::Confined(Role::Viewer)),
    route("GET", "/api/v1/onboarding/analytics/cohort-comparison", Need::Confined(Role::Viewer)),
    route("GET", "/api/v1/onboarding/analytics/recommendations", Need::Confined(Role::Viewer)),
    route("GET", "/api/v1/onboarding/analytics/realtime", Need::Confined(Role::Viewer)),
    route("GET", "/api/v1/onboarding/analytics/comparison", Need::Confined(Role::Viewer)),
    route("GET", "/api/v1/onboarding/analytics/sessions", Need::Confined(Role::Viewer)),
    route(
        "GET",
        "/api/v1/onboarding/analytics/sessions/{session_id}/timeline",
        Need::Confined(Role::Viewer),
    ),
    route("POST", "/api/v1/sql", Need::Confined(Role::Analyst)),
];

/// Why there is no such route.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Unlisted {
    /// Nothing is at the path.
    Path,
    /// The path takes other methods, these.
    Method(Vec<&'static str>),
}

/// What a request needs. Of templates that fit, the one with the most words of its own counts, as the
/// router has it.
///
/// # Errors
/// There is no such route.
pub fn need(method: &str, path: &str) -> Result<Need, Unlisted> {
    let path = path.trim_end_matches('/');
    let fitting = ROUTES.iter().filter(|route| fits(route.path, path));
    let Some(most) = fitting.max_by_key(|route| words(route.path)) else {
        return Err(Unlisted::Path);
    };
    let same = || ROUTES.iter().filter(|route| route.path == most.path);
    let asked = if method == "HEAD" { "GET" } else { method };
    let found = same().find(|route| route.method == asked);
    found
        .map(|route| route.need)
        .ok_or_else(|| Unlisted::Method(same().map(|r| r.method).collect()))
}

/// The segments of a template that stand for themselves.
fn words(template: &str) -> usize {
    template.split('/').filter(|segment| !segment.starts_with('{')).count()
}

fn fits(template: &str, path: &str) -> bool {
    let (mut template, mut path) = (template.split('/'), path.split('/'));
    loop {
        match (template.next(), path.next()) {
            (None, None) => return true,
            (Some(rest), Some(_)) if rest.starts_with("{*") => return true,
            (Some(any), Some(segment)) if any.starts_with('{') && !segment.is_empty() => {}
            (Some(word), Some(segment)) if word == segment => {}
            _ => return false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn templates_fit_as_the_router_has_them() {
        for (template, path, fit) in [
            ("/a/{id}", "/a/1", true),
            ("/a/{id}", "/a/%2f", true),
            ("/a/{id}", "/a", false),
            ("/a/{id}", "/a/1/2", false),
            ("/a/{id}/b", "/a//b", false),
            ("/docs/{*file}", "/docs/a/b.js", true),
            ("/docs/{*file}", "/docs", false),
            ("/a", "/A", false),
            ("/a", "a", false),
        ] {
            assert_eq!(fits(template, path), fit, "{template} {path}");
        }
    }

    #[test]
    fn what_is_not_listed_is_not_served() {
        assert_eq!(need("GET", "/healthz/"), Ok(Need::Open));
        assert_eq!(need("HEAD", "/healthz"), Ok(Need::Open));
        for path in ["", "/", "/api/v1/sql/more", "/API/v1/sql", "//api/v1/sql", "/api/v1/%73ql"] {
            assert_eq!(need("POST", path), Err(Unlisted::Path), "{path}");
        }
        assert_eq!(need("GET", "/api/v1/sql"), Err(Unlisted::Method(vec!["POST"])));
    }

    #[test]
    fn every_documented_route_is_listed_and_every_listed_one_documented() {
        let described = serde_json::to_value(crate::http::openapi()).unwrap();
        let mut documented = Vec::new();
        for (path, methods) in described["paths"].as_object().unwrap() {
            for method in methods.as_object().unwrap().keys() {
                documented.push((method.to_uppercase(), path.clone()));
            }
        }
        let pages = |route: &&Route| {
            !route.path.starts_with("/api/v1/docs") && route.path != "/api/v1/openapi.json"
        };
        let mut listed: Vec<_> = ROUTES
            .iter()
            .filter(pages)
            .map(|route| (route.method.to_owned(), route.path.to_owned()))
            .collect();
        documented.sort_unstable();
        listed.sort_unstable();
        assert_eq!(listed, documented);
    }
}
