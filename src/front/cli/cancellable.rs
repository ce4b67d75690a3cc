//! Work that ctrl-c ends.

use crate::engine::EngineError;
use crate::ground::cancel::CancelToken;

/// Runs `work` on a thread; ctrl-c (or TERM, or HUP) cancels it, a second one ends at once.
pub fn run<T: Send>(work: impl FnOnce(CancelToken) -> Result<T, EngineError> + Send) -> Result<T, EngineError> {
    let fail = |e: std::io::Error| EngineError::environment(format!("cannot wait for signals: {e}"), None);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().map_err(fail)?;
    let cancel = CancelToken::default();
    let (sender, mut ended) = tokio::sync::oneshot::channel();
    let token = cancel.clone();
    std::thread::scope(|scope| {
        scope.spawn(move || sender.send(work(token)));
        runtime.block_on(async {
            use tokio::signal::unix::{SignalKind, signal};
            let mut interrupt = signal(SignalKind::interrupt()).map_err(fail)?;
            let mut terminate = signal(SignalKind::terminate()).map_err(fail)?;
            let mut hangup = signal(SignalKind::hangup()).map_err(fail)?;
            loop {
                tokio::select! {
                    result = &mut ended => {
                        let gone = || EngineError::environment("the work ended early", None);
                        return result.unwrap_or_else(|_| Err(gone()));
                    }
                    _ = interrupt.recv() => {}
                    _ = terminate.recv() => {}
                    _ = hangup.recv() => {}
                }
                if cancel.is_cancelled() {
                    std::process::exit(i32::from(super::CANCELLED));
                }
                eprintln!("cancelling; once more to end at once");
                cancel.cancel();
            }
        })
    })
}
