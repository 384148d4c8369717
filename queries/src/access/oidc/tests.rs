use std::sync::Arc;
use std::sync::{Mutex, PoisonError};

use axum::routing::get;
use jsonwebtoken::jwk::Jwk;
use jsonwebtoken::{Algorithm, EncodingKey, Header, encode};
use serde_json::json;

use super::*;

const NOW: i64 = 1_780_000_000;
const AUDIENCE: &str = "onramp";

/// A key pair of the provider.
struct Pair {
    id: String,
    pem: String,
    key: EncodingKey,
}

impl Pair {
    fn new(id: &str) -> Self {
        let pair = rcgen::KeyPair::generate_for(&rcgen::PKCS_ECDSA_P256_SHA256).unwrap();
        let key = EncodingKey::from_ec_pem(pair.serialize_pem().as_bytes()).unwrap();
        Self { id: id.to_owned(), pem: pair.public_key_pem(), key }
    }

    fn published(&self) -> Value {
        let mut jwk = Jwk::from_encoding_key(&self.key, Algorithm::ES256).unwrap();
        jwk.common.key_id = Some(self.id.clone());
        serde_json::to_value(jwk).unwrap()
    }

    fn sign(&self, claims: &Value) -> String {
        let header = Header { kid: Some(self.id.clone()), ..Header::new(Algorithm::ES256) };
        encode(&header, claims, &self.key).unwrap()
    }
}

/// A provider on loopback whose documents can be changed.
struct World {
    issuer: String,
    keys: Arc<Mutex<Option<Vec<Value>>>>,
    asked: Arc<Mutex<usize>>,
}

impl World {
    async fn new(keys: Vec<Value>) -> Self {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let issuer = format!("http://{}", listener.local_addr().unwrap());
        let (name, shared, asked) =
            (issuer.clone(), Arc::new(Mutex::new(Some(keys))), Arc::new(Mutex::new(0)));
        let (published, counted) = (Arc::clone(&shared), Arc::clone(&asked));
        let discovery = get(async move || {
            axum::Json(json!({ "issuer": name, "jwks_uri": format!("{name}/keys") }))
        });
        let served = get(async move || {
            *counted.lock().unwrap_or_else(PoisonError::into_inner) += 1;
            let keys = published.lock().unwrap_or_else(PoisonError::into_inner).clone();
            keys.map(|keys| axum::Json(json!({ "keys": keys })))
                .ok_or(axum::http::StatusCode::BAD_GATEWAY)
        });
        let router = axum::Router::new()
            .route("/.well-known/openid-configuration", discovery)
            .route("/keys", served);
        tokio::spawn(async move { axum::serve(listener, router).await });
        Self { issuer, keys: shared, asked }
    }

    fn publish(&self, keys: Option<Vec<Value>>) {
        *self.keys.lock().unwrap() = keys;
    }

    fn settings(&self) -> Settings {
        Settings {
            issuer: self.issuer.clone(),
            audience: AUDIENCE.to_owned(),
            jwks_url: None,
            role_claim: "realm_access.roles".to_owned(),
            clients_claim: "clients".to_owned(),
            clock_skew: Duration::from_secs(60),
        }
    }

    /// A provider that is asked again as often as one likes.
    fn provider(&self) -> Provider {
        let mut provider = Provider::new(self.settings()).unwrap();
        provider.keys.pause = Duration::ZERO;
        provider
    }

    fn claims(&self) -> Value {
        json!({
            "iss": self.issuer, "aud": AUDIENCE, "sub": "u-1", "exp": NOW + 300,
            "realm_access": { "roles": ["offline_access", "viewer"] },
        })
    }
}

fn now() -> DateTime<Utc> {
    DateTime::from_timestamp(NOW, 0).unwrap()
}

/// The claims with one of them set, or taken away where it is null.
fn with(claims: &Value, name: &str, value: Value) -> Value {
    let mut claims = claims.clone();
    match value {
        Value::Null => {
            claims.as_object_mut().unwrap().remove(name);
        }
        value => claims[name] = value,
    }
    claims
}

#[tokio::test]
async fn a_jwt_of_the_provider_tells_who_it_is() {
    let pair = Pair::new("a");
    let world = World::new(vec![json!({"kty": "unheard of"}), pair.published()]).await;
    let provider = world.provider();
    let claims = world.claims();
    let caller = provider.caller(&pair.sign(&claims), now()).await.unwrap();
    let expected =
        Caller { name: "oidc/u-1".to_owned(), role: Role::Viewer, scope: Scope::Everything };
    assert_eq!(caller, expected);
    let claims = with(&claims, "realm_access", json!({ "roles": "admin" }));
    let claims = with(&claims, "aud", json!(["account", AUDIENCE]));
    let claims = with(&claims, "clients", json!(["acme"]));
    let caller = provider.caller(&pair.sign(&claims), now()).await.unwrap();
    assert_eq!((caller.role, caller.scope.covers("acme")), (Role::Admin, true));
    assert!(!caller.scope.covers("other"));
    assert_eq!(*world.asked.lock().unwrap(), 1, "keys are fetched once");
}

#[tokio::test]
async fn claims_that_do_not_hold_are_refused() {
    let pair = Pair::new("a");
    let world = World::new(vec![pair.published()]).await;
    let provider = world.provider();
    let claims = world.claims();
    for (name, value) in [
        ("iss", json!("https://elsewhere.example")),
        ("iss", Value::Null),
        ("aud", json!("another")),
        ("aud", json!([])),
        ("aud", Value::Null),
        ("sub", Value::Null),
        ("exp", Value::Null),
        ("exp", json!("tomorrow")),
        ("exp", json!(NOW - 60)),
        ("nbf", json!(NOW + 61)),
        ("nbf", json!("yesterday")),
        ("realm_access", Value::Null),
        ("realm_access", json!({ "roles": [] })),
        ("realm_access", json!({ "roles": ["Admin", "administrator", 7] })),
        ("clients", json!("acme")),
        ("clients", json!([7])),
    ] {
        let jwt = pair.sign(&with(&claims, name, value.clone()));
        let denied = provider.caller(&jwt, now()).await;
        assert!(matches!(denied, Err(Denied::Invalid(_))), "{name} = {value}: {denied:?}");
    }
    for (name, value) in [("exp", json!(NOW - 59)), ("nbf", json!(NOW + 60)), ("nbf", json!(0.5))] {
        let jwt = pair.sign(&with(&claims, name, value.clone()));
        assert!(provider.caller(&jwt, now()).await.is_ok(), "{name} = {value} is within the skew");
    }
}

#[tokio::test]
async fn an_algorithm_is_the_keys_and_not_the_jwts() {
    let pair = Pair::new("a");
    let secret = json!({"kty": "oct", "kid": "shared", "k": "c2VjcmV0", "alg": "HS256"});
    let world = World::new(vec![pair.published(), secret]).await;
    let provider = world.provider();
    let claims = world.claims();
    let good = pair.sign(&claims);
    let body = good.split('.').nth(1).unwrap();
    // {"alg":"none"} and the same in other letters, with the key's id or without.
    for head in ["eyJhbGciOiJub25lIn0", "eyJhbGciOiJOT05FIiwia2lkIjoiYSJ9"] {
        for jwt in [format!("{head}.{body}."), format!("{head}.{body}")] {
            let denied = provider.caller(&jwt, now()).await;
            assert!(matches!(denied, Err(Denied::Invalid(_))), "{jwt}");
        }
    }
    for (id, secret) in [("a", pair.pem.as_bytes()), ("a", b"secret"), ("shared", b"secret")] {
        for algorithm in [Algorithm::HS256, Algorithm::HS384, Algorithm::HS512] {
            let header = Header { kid: Some(id.to_owned()), ..Header::new(algorithm) };
            let jwt = encode(&header, &claims, &EncodingKey::from_secret(secret)).unwrap();
            let denied = provider.caller(&jwt, now()).await;
            assert!(matches!(denied, Err(Denied::Invalid(_))), "{algorithm:?} with {id}");
        }
    }
    // A key that the JWT brings along, and another's signature under a known id.
    let other = Pair::new("a");
    let jwk = Some(Jwk::from_encoding_key(&other.key, Algorithm::ES256).unwrap());
    for header in [
        Header { kid: Some("a".to_owned()), jwk, ..Header::new(Algorithm::ES256) },
        Header {
            kid: Some("a".to_owned()),
            crit: Some(vec!["x".to_owned()]),
            ..Header::new(Algorithm::ES256)
        },
    ] {
        let jwt = encode(&header, &claims, &other.key).unwrap();
        assert!(matches!(provider.caller(&jwt, now()).await, Err(Denied::Invalid(_))));
    }
    let (signed, signature) = good.rsplit_once('.').unwrap();
    for forged in [
        String::new(),
        "..".to_owned(),
        signed.to_owned(),
        format!("{signed}."),
        format!("{signed}.{}", &signature[1..]),
        good.replacen('.', ".e30", 1),
        "a".repeat(10_000),
    ] {
        assert!(
            matches!(provider.caller(&forged, now()).await, Err(Denied::Invalid(_))),
            "{forged}"
        );
    }
    assert!(provider.caller(&good, now()).await.is_ok());
}

#[tokio::test]
async fn keys_rotate_and_outlive_a_provider_that_is_away() {
    let (old, new) = (Pair::new("old"), Pair::new("new"));
    let world = World::new(vec![old.published()]).await;
    let provider = world.provider();
    let claims = world.claims();
    let (by_old, by_new) = (old.sign(&claims), new.sign(&claims));
    assert!(provider.caller(&by_old, now()).await.is_ok());
    world.publish(None);
    assert!(matches!(provider.caller(&by_new, now()).await, Err(Denied::Invalid(_))));
    assert!(provider.caller(&by_old, now()).await.is_ok(), "old keys count while it is away");
    world.publish(Some(vec![old.published(), new.published()]));
    assert!(provider.caller(&by_new, now()).await.is_ok(), "an unknown id fetches the keys");
    world.publish(Some(vec![new.published()]));
    let third = Pair::new("third").sign(&claims);
    assert!(matches!(provider.caller(&third, now()).await, Err(Denied::Invalid(_))));
    let withdrawn = provider.caller(&by_old, now()).await;
    assert!(matches!(withdrawn, Err(Denied::Invalid(_))), "a withdrawn key counts no more");
}

#[tokio::test]
async fn unknown_ids_do_not_make_a_flood_of_requests() {
    let world = World::new(vec![Pair::new("a").published()]).await;
    let provider = Provider::new(world.settings()).unwrap();
    let stranger = Pair::new("b");
    let jwt = stranger.sign(&world.claims());
    for _ in 0..1_000 {
        assert!(matches!(provider.caller(&jwt, now()).await, Err(Denied::Invalid(_))));
    }
    assert_eq!(*world.asked.lock().unwrap(), 1);
}

#[tokio::test]
async fn a_provider_that_never_answered_is_no_fault_of_the_caller() {
    let pair = Pair::new("a");
    let world = World::new(Vec::new()).await;
    let provider = world.provider();
    let jwt = pair.sign(&world.claims());
    assert_eq!(provider.caller(&jwt, now()).await, Err(Denied::Unavailable));
    world.publish(Some(vec![pair.published()]));
    assert!(provider.caller(&jwt, now()).await.is_ok());
}

#[test]
fn rsa_keys_count_by_their_algorithm_and_weak_uses_not_at_all() {
    let key = |extra: Value| {
        let mut key = json!({"kty": "RSA", "kid": "r", "n": "sXch", "e": "AQAB"});
        key.as_object_mut().unwrap().extend(extra.as_object().unwrap().clone());
        keys::algorithm_of(key)
    };
    assert_eq!(key(json!({})), Some(Algorithm::RS256));
    assert_eq!(key(json!({"alg": "PS256", "use": "sig"})), Some(Algorithm::PS256));
    for unusable in [
        json!({"use": "enc"}),
        json!({"alg": "RSA-OAEP"}),
        json!({"alg": "HS256"}),
        json!({"alg": "ES256"}),
        json!({"alg": "none"}),
    ] {
        assert_eq!(key(unusable.clone()), None, "{unusable}");
    }
}

#[tokio::test]
async fn addresses_are_https_or_on_this_machine() {
    let world = World::new(Vec::new()).await;
    for (issuer, jwks_url) in [
        ("http://id.example", None),
        ("http://127.0.0.1.example", None),
        ("ftp://id.example", None),
        ("id.example", None),
        ("https://id.example", Some("http://id.example/keys")),
    ] {
        let jwks_url = jwks_url.map(str::to_owned);
        let settings = Settings { issuer: issuer.to_owned(), jwks_url, ..world.settings() };
        let refused = Provider::new(settings);
        assert!(matches!(refused, Err(OidcError::Address { .. })), "{issuer}");
    }
    for issuer in ["https://id.example/realm/", "http://localhost:1", "http://[::1]:1"] {
        let settings = Settings { issuer: issuer.to_owned(), ..world.settings() };
        assert!(Provider::new(settings).is_ok(), "{issuer}");
    }
}
