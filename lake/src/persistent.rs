//! A store whose reads are taken up again when the connection fails in the middle of an answer.
//!
//! The S3 client repeats a request that was refused and goes on with an object whose body broke off. It gives up on a
//! listing, or an error's text, that was cut off or stood still, although nothing is easier than to ask again.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use futures::stream::{self, BoxStream};
use futures::{StreamExt, TryFutureExt, TryStreamExt};
use object_store::path::Path;
use object_store::{
    CopyOptions, GetOptions, GetResult, ListResult, MultipartUpload, ObjectMeta, ObjectStore,
    PutMultipartOptions, PutOptions, PutPayload, PutResult, Result,
};

use crate::error::was_cut_off;

const ATTEMPTS: u32 = 4;
const WAIT: Duration = Duration::from_millis(100);

/// Reads are repeated after an answer that was cut off; everything else is the inner store's.
#[derive(Debug)]
pub(crate) struct Persistent {
    inner: Arc<dyn ObjectStore>,
}

impl Persistent {
    pub(crate) fn new(inner: Arc<dyn ObjectStore>) -> Self {
        Self { inner }
    }

    fn list_again(
        &self,
        prefix: Option<&Path>,
        offset: Option<&Path>,
    ) -> BoxStream<'static, Result<ObjectMeta>> {
        let (inner, prefix, offset) = (Arc::clone(&self.inner), prefix.cloned(), offset.cloned());
        let listed = again(move || {
            let entries = match &offset {
                Some(offset) => inner.list_with_offset(prefix.as_ref(), offset),
                None => inner.list(prefix.as_ref()),
            };
            entries.try_collect::<Vec<_>>()
        });
        listed
            .map_ok(|entries| stream::iter(entries.into_iter().map(Ok)))
            .try_flatten_stream()
            .boxed()
    }
}

async fn again<T, F: Future<Output = Result<T>>>(mut ask: impl FnMut() -> F) -> Result<T> {
    for attempt in 0..ATTEMPTS - 1 {
        match ask().await {
            Err(error) if was_cut_off(&error) => {
                tracing::info!(error = &error as &dyn std::error::Error, "reading again");
                tokio::time::sleep(WAIT * 2_u32.pow(attempt)).await;
            }
            answer => return answer,
        }
    }
    ask().await
}

impl std::fmt::Display for Persistent {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.inner.fmt(f)
    }
}

#[async_trait]
impl ObjectStore for Persistent {
    async fn put_opts(
        &self,
        location: &Path,
        payload: PutPayload,
        options: PutOptions,
    ) -> Result<PutResult> {
        self.inner.put_opts(location, payload, options).await
    }

    async fn put_multipart_opts(
        &self,
        location: &Path,
        options: PutMultipartOptions,
    ) -> Result<Box<dyn MultipartUpload>> {
        self.inner.put_multipart_opts(location, options).await
    }

    async fn get_opts(&self, location: &Path, options: GetOptions) -> Result<GetResult> {
        again(|| self.inner.get_opts(location, options.clone())).await
    }

    fn delete_stream(
        &self,
        locations: BoxStream<'static, Result<Path>>,
    ) -> BoxStream<'static, Result<Path>> {
        self.inner.delete_stream(locations)
    }

    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        self.list_again(prefix, None)
    }

    fn list_with_offset(
        &self,
        prefix: Option<&Path>,
        offset: &Path,
    ) -> BoxStream<'static, Result<ObjectMeta>> {
        self.list_again(prefix, Some(offset))
    }

    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> Result<ListResult> {
        again(|| self.inner.list_with_delimiter(prefix)).await
    }

    async fn copy_opts(&self, from: &Path, to: &Path, options: CopyOptions) -> Result<()> {
        self.inner.copy_opts(from, to, options).await
    }
}
