//! Being told to stop.

/// Which signal asked for the end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Signal {
    /// Ctrl-C.
    Interrupt,
    /// An orderly stop by whoever runs the service.
    Terminate,
}

/// Returns once somebody asks for the end.
pub async fn stop() {
    next().await;
}

/// Which signal asked for the end, once one does.
pub async fn next() -> Signal {
    #[cfg(unix)]
    {
        use tokio::signal::unix::{SignalKind, signal};
        if let Ok(mut terminate) = signal(SignalKind::terminate()) {
            return tokio::select! {
                interrupt = tokio::signal::ctrl_c() => unless_broken(interrupt).await,
                _ = terminate.recv() => Signal::Terminate,
            };
        }
    }
    unless_broken(tokio::signal::ctrl_c().await).await
}

/// A handler that could not be set up means that nobody can interrupt: then nothing ever does.
async fn unless_broken(interrupt: std::io::Result<()>) -> Signal {
    match interrupt {
        Ok(()) => Signal::Interrupt,
        Err(_) => std::future::pending().await,
    }
}
