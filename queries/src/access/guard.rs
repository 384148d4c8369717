//! In front of every route: who asks, may they, and not too often.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::Duration;

use axum::Router;
use axum::extract::{ConnectInfo, Request, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::middleware::{Next, from_fn_with_state};
use axum::response::{IntoResponse, Response};

use super::routes::{Need, Unlisted, need};
use super::{Authenticator, Caller, Denied, Role, Scope};
use crate::http::Problem;

/// Lets those through to routes who may ask them. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Guard {
    authenticator: Authenticator,
}

impl Guard {
    /// A guard that asks `authenticator` who somebody is.
    pub fn new(authenticator: Authenticator) -> Self {
        Self { authenticator }
    }

    /// `routes` behind this guard. Handlers find the [`Caller`] among the request's extensions.
    pub fn protect(self, routes: Router) -> Router {
        routes.layer(from_fn_with_state(self, admit))
    }

    /// Who asks, if they may; `whole` is whether they must see all clients.
    async fn caller(
        &self,
        headers: &HeaderMap,
        peer: IpAddr,
        role: Role,
        whole: bool,
    ) -> Result<Caller, Response> {
        let required = self.authenticator.required().await.map_err(deny)?;
        if !required {
            return if from_here(headers) { Ok(Caller::local()) } else { Err(elsewhere()) };
        }
        let bearer = bearer(headers).map_err(|it| deny(self.authenticator.refused(it, peer)))?;
        let caller = self.authenticator.caller(bearer, peer).await.map_err(deny)?;
        if !caller.may(role) {
            let detail = format!("this takes the role {role}; {} has {}", caller.name, caller.role);
            return Err(Problem::new(StatusCode::FORBIDDEN, "forbidden", detail).into_response());
        }
        if whole && caller.scope != Scope::Everything {
            let detail = format!("this concerns all clients; {} sees some only", caller.name);
            return Err(Problem::new(StatusCode::FORBIDDEN, "forbidden", detail).into_response());
        }
        let within = self.authenticator.request(&caller);
        within.map_err(|wait| too_many("requests", wait))?;
        Ok(caller)
    }
}

fn deny(denied: Denied) -> Response {
    let challenge = match denied {
        Denied::TooMany { wait } => return too_many("failed logins", wait),
        Denied::Unavailable => {
            let detail = denied.to_string();
            return Problem::new(StatusCode::SERVICE_UNAVAILABLE, "busy", detail).into_response();
        }
        Denied::Missing => r#"Bearer realm="onramp""#,
        Denied::Invalid(_) => r#"Bearer realm="onramp", error="invalid_token""#,
    };
    let detail = denied.to_string();
    let mut response =
        Problem::new(StatusCode::UNAUTHORIZED, "unauthenticated", detail).into_response();
    response.headers_mut().insert(header::WWW_AUTHENTICATE, HeaderValue::from_static(challenge));
    response
}

async fn admit(State(guard): State<Guard>, mut request: Request, next: Next) -> Response {
    let need = match need(request.method().as_str(), request.uri().path()) {
        Ok(need) => need,
        Err(Unlisted::Path) => return Problem::unknown_route(request.uri()).into_response(),
        Err(Unlisted::Method(allowed)) => {
            let refused = Problem::not_allowed(request.method(), request.uri());
            let mut response = refused.into_response();
            if let Ok(allowed) = HeaderValue::from_str(&allowed.join(", ")) {
                response.headers_mut().insert(header::ALLOW, allowed);
            }
            return response;
        }
    };
    let (role, whole) = match need {
        Need::Open => return next.run(request).await,
        Need::Confined(role) => (role, false),
        Need::Whole(role) => (role, true),
    };
    match guard.caller(request.headers(), peer(&request), role, whole).await {
        Ok(caller) => {
            request.extensions_mut().insert(caller);
            next.run(request).await
        }
        Err(refused) => refused,
    }
}

/// The token or JWT of a request.
fn bearer(headers: &HeaderMap) -> Result<&str, Denied> {
    let mut shown = headers.get_all(header::AUTHORIZATION).iter();
    let value = match (shown.next(), shown.next()) {
        (None, _) => return Err(Denied::Missing),
        (Some(value), None) => value.to_str().ok(),
        (Some(_), Some(_)) => {
            return Err(Denied::Invalid("there are several Authorization headers"));
        }
    };
    let parts = value.and_then(|value| value.split_once(' '));
    match parts {
        Some((scheme, token)) if scheme.eq_ignore_ascii_case("bearer") => Ok(token.trim()),
        _ => Err(Denied::Invalid("the Authorization header is not of the form `Bearer TOKEN`")),
    }
}

/// Whether a request was written for this machine by this machine: a page of another site that a
/// browser here has open names itself, or the name that it made its own lead here.
fn from_here(headers: &HeaderMap) -> bool {
    let here = |host: &str| {
        let name = host.rsplit_once(':').filter(|(_, port)| !port.ends_with(']'));
        let name = name.map_or(host, |(name, _)| name);
        name.eq_ignore_ascii_case("localhost")
            || name.trim_matches(['[', ']']).parse().is_ok_and(|ip: IpAddr| ip.is_loopback())
    };
    let host = headers.get(header::HOST).is_none_or(|host| host.to_str().is_ok_and(here));
    let origin = headers.get(header::ORIGIN).is_none_or(|origin| {
        let origin = origin.to_str().ok().and_then(|origin| origin.split_once("://"));
        origin.is_some_and(|(_, host)| here(host))
    });
    host && origin
}

fn elsewhere() -> Response {
    let detail = "without access control only this machine is answered, under its own name; \
                  create a token with `onramp token create` to be asked from elsewhere";
    Problem::new(StatusCode::FORBIDDEN, "forbidden", detail).into_response()
}

fn too_many(what: &str, wait: Duration) -> Response {
    let seconds = wait.as_secs() + 1;
    let detail = format!("too many {what}; try again in {seconds} s");
    let mut response =
        Problem::new(StatusCode::TOO_MANY_REQUESTS, "too_many_requests", detail).into_response();
    response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from(seconds));
    response
}

/// The address at the other end. Headers of proxies are not believed.
fn peer(request: &Request) -> IpAddr {
    let connected = request.extensions().get::<ConnectInfo<SocketAddr>>();
    connected.map_or(IpAddr::V4(Ipv4Addr::UNSPECIFIED), |ConnectInfo(address)| address.ip())
}

#[cfg(test)]
mod tests;
