use std::path::Path as FsPath;

use onramp_lake::StoreSettings;

use super::*;
use crate::access::Denied;

const NOW: i64 = 1_780_000_000;

fn at(seconds: i64) -> DateTime<Utc> {
    DateTime::from_timestamp(seconds, 0).unwrap()
}

fn lake(folder: &FsPath) -> Lake {
    Lake::open(folder.to_str().unwrap(), &StoreSettings::default()).unwrap()
}

fn request(role: Role, clients: &[&str]) -> Request {
    let clients = (!clients.is_empty()).then(|| clients.iter().map(|&c| c.to_owned()).collect());
    Request { name: "grafana".to_owned(), role, clients, expires_at: Some(at(NOW + 60)) }
}

#[tokio::test]
async fn a_token_tells_who_holds_it_until_it_expires() {
    let folder = tempfile::tempdir().unwrap();
    let lake = lake(folder.path());
    let known = Known::new(lake.clone());
    assert_eq!(known.any().await, Ok(false));
    let (token, secret) = create(&lake, request(Role::Viewer, &["acme"]), at(NOW)).await.unwrap();
    let known = Known::new(lake.clone());
    assert_eq!(known.any().await, Ok(true));
    let caller = known.caller(secret.reveal(), at(NOW + 59)).await.unwrap();
    assert_eq!((caller.role, caller.name), (Role::Viewer, format!("token/{}/grafana", token.id)));
    assert!(caller.scope.covers("acme") && !caller.scope.covers("other"));
    let expired = known.caller(secret.reveal(), at(NOW + 60)).await;
    assert_eq!(expired, Err(Denied::Invalid("the token has expired")));
}

#[tokio::test]
async fn nothing_but_the_whole_token_counts() {
    let folder = tempfile::tempdir().unwrap();
    let lake = lake(folder.path());
    let (token, secret) = create(&lake, request(Role::Admin, &[]), at(NOW)).await.unwrap();
    let known = Known::new(lake);
    let whole = secret.reveal();
    let last = if whole.ends_with('0') { "1" } else { "0" };
    for forged in [
        String::new(),
        PREFIX.to_owned(),
        format!("{PREFIX}{}", token.id),
        format!("{PREFIX}{}_", token.id),
        format!("{PREFIX}{}_{}", token.id, token.sha256),
        format!("{}{last}", &whole[..whole.len() - 1]),
        whole[..whole.len() - 1].to_owned(),
        format!("{whole}0"),
        whole.to_uppercase(),
        format!("{PREFIX}../{}_", token.id),
    ] {
        let denied = known.caller(&forged, at(NOW)).await;
        assert!(matches!(denied, Err(Denied::Invalid(_))), "{forged:?}");
    }
    assert!(known.caller(whole, at(NOW)).await.is_ok());
}

#[tokio::test]
async fn a_revoked_token_is_refused_for_good_and_leaves_access_controlled() {
    let folder = tempfile::tempdir().unwrap();
    let lake = lake(folder.path());
    let (token, secret) = create(&lake, request(Role::Admin, &[]), at(NOW)).await.unwrap();
    revoke(&lake, &token.id, at(NOW)).await.unwrap();
    revoke(&lake, &token.id, at(NOW)).await.unwrap();
    let known = Known::new(lake.clone());
    assert!(matches!(known.caller(secret.reveal(), at(NOW)).await, Err(Denied::Invalid(_))));
    assert_eq!(known.any().await, Ok(true), "revoking the last token must open nothing");
    assert!(list(&lake).await.unwrap()[0].revoked);
    for unknown in ["", "0", "../tokens", &token.name] {
        let refused = revoke(&lake, unknown, at(NOW)).await;
        assert!(matches!(refused, Err(TokenError::Unknown { .. })), "{unknown:?}");
    }
}

#[tokio::test]
async fn neither_the_lake_nor_a_formatter_shows_a_secret() {
    let folder = tempfile::tempdir().unwrap();
    let lake = lake(folder.path());
    let (token, secret) = create(&lake, request(Role::Admin, &[]), at(NOW)).await.unwrap();
    let (_, random) = secret.reveal().rsplit_once('_').unwrap();
    assert_eq!(random.len(), 64);
    let path = folder.path().join("_access/tokens").join(format!("{}.json", token.id));
    let stored = std::fs::read_to_string(path).unwrap();
    for shown in [stored, format!("{secret:?}"), format!("{token:?}")] {
        assert!(!shown.contains(random), "{shown}");
    }
    let (_, another) = create(&lake, request(Role::Admin, &[]), at(NOW)).await.unwrap();
    assert!(another != secret);
}

#[tokio::test]
async fn what_is_not_understood_is_no_token() {
    let folder = tempfile::tempdir().unwrap();
    let lake = lake(folder.path());
    let (token, secret) = create(&lake, request(Role::Admin, &[]), at(NOW)).await.unwrap();
    let path = folder.path().join("_access/tokens").join(format!("{}.json", token.id));
    let text = std::fs::read_to_string(&path).unwrap();
    for changed in [
        text.replacen('{', r#"{"only_on":"Mondays","#, 1),
        text.replace("admin", "emperor"),
        text.replace(&token.id, "000000000000"),
        String::new(),
    ] {
        std::fs::write(&path, &changed).unwrap();
        let known = Known::new(lake.clone());
        let denied = known.caller(secret.reveal(), at(NOW)).await;
        assert!(matches!(denied, Err(Denied::Invalid(_))), "{changed}");
        assert_eq!(known.any().await, Ok(true));
    }
}

#[tokio::test]
async fn a_lake_that_fails_lets_nobody_in() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::create_dir_all(folder.path().join("_access")).unwrap();
    std::os::unix::fs::symlink("tokens", folder.path().join("_access/tokens")).unwrap();
    let known = Known::new(lake(folder.path()));
    let denied = known.any().await;
    assert_eq!(denied, Err(Denied::Unavailable));
}

#[tokio::test]
async fn a_request_that_makes_no_sense_makes_no_token() {
    let folder = tempfile::tempdir().unwrap();
    let lake = lake(folder.path());
    for (name, clients, expires_at) in [
        ("", None, None),
        ("  ", None, None),
        ("a\nb", None, None),
        ("a", Some(BTreeSet::new()), None),
        ("a", Some(BTreeSet::from([String::new()])), None),
        ("a", None, Some(at(NOW))),
    ] {
        let request = Request { name: name.to_owned(), role: Role::Admin, clients, expires_at };
        let refused = create(&lake, request, at(NOW)).await;
        assert!(matches!(refused, Err(TokenError::Invalid(_))), "{name:?}");
    }
    assert_eq!(list(&lake).await.unwrap(), []);
}
