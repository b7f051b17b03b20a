//! Accepting connections as tasks of the process's crew, so that a killed process drops them all.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
use std::time::Duration;

use axum::Router;
use axum::extract::{Request, State};
use axum::middleware::{self, Next};
use axum::response::Response;
use hyper::server::conn::http1;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::net::TcpListener;

use super::super::process::Context;
use super::fault;

/// How long a process that was told to stop still answers after its last request: the endpoints of a
/// terminating pod are taken out of the gateway meanwhile.
const QUIET: Duration = Duration::from_secs(1);

#[derive(Clone, Default)]
struct Traffic {
    open: Arc<AtomicUsize>,
    seen: Arc<AtomicUsize>,
}

/// Serves until SIGTERM, then until no request was open or new for a second.
pub(crate) async fn serve(context: Arc<Context>, listener: TcpListener, routes: Router) {
    let traffic = Traffic::default();
    let routes = routes
        .layer(middleware::from_fn_with_state(context.clone(), fault::strike))
        .layer(middleware::from_fn_with_state(traffic.clone(), count));
    let accepting = async {
        loop {
            // A refused accept (too many files) is not the end of the server.
            if let Ok((stream, _)) = listener.accept().await {
                let service = TowerToHyperService::new(routes.clone());
                context.crew.spawn(async move {
                    let _ = stream.set_nodelay(true);
                    let _ = http1::Builder::new()
                        .timer(TokioTimer::new())
                        .serve_connection(TokioIo::new(stream), service)
                        .await;
                });
            } else {
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        }
    };
    tokio::select! {
        () = accepting => {}
        () = drained(&context, &traffic) => {}
    }
}

async fn drained(context: &Context, traffic: &Traffic) {
    context.crew.term().cancelled().await;
    context.log.info("SIGTERM / SIGINT received. Shutting down.");
    let mut seen = traffic.seen.load(SeqCst);
    loop {
        tokio::time::sleep(QUIET).await;
        let now = traffic.seen.load(SeqCst);
        if now == seen && traffic.open.load(SeqCst) == 0 {
            return;
        }
        seen = now;
    }
}

async fn count(State(traffic): State<Traffic>, request: Request, next: Next) -> Response {
    let is_probe = request.uri().path().ends_with("/ready") || request.uri().path().ends_with("/health");
    if is_probe {
        return next.run(request).await;
    }
    traffic.seen.fetch_add(1, SeqCst);
    let _open = Open::new(traffic.open);
    next.run(request).await
}

/// Counts a request as open until it is dropped, also when its client went away.
struct Open(Arc<AtomicUsize>);

impl Open {
    fn new(counter: Arc<AtomicUsize>) -> Self {
        counter.fetch_add(1, SeqCst);
        Self(counter)
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        self.0.fetch_sub(1, SeqCst);
    }
}
