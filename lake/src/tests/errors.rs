//! What a person is told when the place is not fit for a lake.

use std::io::ErrorKind;

use super::fixture::*;
use crate::{Lake, LakeError};

#[test]
fn addresses_that_are_none_are_refused() {
    for (url, told) in [
        ("", "empty"),
        ("ftp://host/x", "ftp is not supported"),
        ("s3:///x", "no bucket"),
        ("file://elsewhere/x", "no folder of this machine"),
    ] {
        let error = Lake::open(url, &settings()).unwrap_err();
        assert!(matches!(error, LakeError::Location { .. }), "{error}");
        assert!(error.to_string().contains(told), "{error}");
    }
    let file = tempfile::NamedTempFile::new().unwrap();
    let error = Lake::open(file.path().to_str().unwrap(), &settings()).unwrap_err();
    assert!(error.to_string().contains("it is a file"), "{error}");
}

#[test]
fn the_cause_of_a_stores_error_decides_what_is_told() {
    let error = |kind: ErrorKind| object_store::Error::Generic {
        store: "x",
        source: Box::new(parquet::errors::ParquetError::External(
            std::io::Error::from(kind).into(),
        )),
    };
    let told = |kind| LakeError::store("write", "/lake/x", error(kind)).to_string();
    assert!(told(ErrorKind::PermissionDenied).contains("permission denied"));
    assert!(told(ErrorKind::ReadOnlyFilesystem).contains("permission denied"));
    assert!(told(ErrorKind::StorageFull).contains("disk is full"));
    assert!(told(ErrorKind::QuotaExceeded).contains("disk is full"));
    assert!(told(ErrorKind::Other).contains("try again"));
    assert!(told(ErrorKind::StorageFull).contains("cannot write /lake/x"));
}

/// The proc file system takes no new folders, not even root's.
#[cfg(target_os = "linux")]
#[tokio::test]
async fn a_folder_that_cannot_be_made_is_told() {
    let lake = Lake::open("/proc/sys/onramp", &settings()).unwrap();
    let error = lake.create(&NUMBERS).await.unwrap_err();
    assert!(
        error.to_string().contains("cannot create file:///proc/sys/onramp/numbers/"),
        "{error}"
    );
}

#[tokio::test]
async fn an_endpoint_where_nobody_answers_is_told() {
    let port = {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        listener.local_addr().unwrap().port()
    };
    let variables = s3_variables(&format!("http://127.0.0.1:{port}"));
    let lake = Lake::open_s3("s3://lake/x", variables, &settings()).unwrap();
    let error = lake.create(&NUMBERS).await.unwrap_err();
    assert!(matches!(error, LakeError::Unreachable { .. }), "{error:?}");
    assert!(error.to_string().contains("AWS_ENDPOINT_URL"), "{error}");
}

#[tokio::test]
async fn wrong_credentials_are_told() {
    let Ok(endpoint) = std::env::var("ONRAMP_TEST_S3") else { return };
    let mut variables = s3_variables(&endpoint);
    for (name, value) in &mut variables {
        if name == "AWS_SECRET_ACCESS_KEY" {
            *value = "wrong".to_owned();
        }
    }
    let lake = Lake::open_s3("s3://lake/x", variables, &settings()).unwrap();
    let error = lake.create(&NUMBERS).await.unwrap_err();
    assert!(matches!(error, LakeError::Credentials { .. }), "{error:?}");
}

#[tokio::test]
async fn a_bucket_that_does_not_exist_is_told() {
    let Ok(endpoint) = std::env::var("ONRAMP_TEST_S3") else { return };
    let lake = Lake::open_s3("s3://nowhere/x", s3_variables(&endpoint), &settings()).unwrap();
    let error = lake.create(&NUMBERS).await.unwrap_err();
    assert!(matches!(error, LakeError::NoBucket { .. }), "{error:?}");
}
