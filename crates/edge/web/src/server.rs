//! The server: a thread with its own small runtime, so that nothing here touches the core's time.

use crate::answer::{Asked, Format, Wanted, metrics, refusal, wanted};
use bytes::Bytes;
use http_body_util::Full;
use hyper::{
    Request, Response, StatusCode, body::Incoming, server::conn::http1, service::service_fn,
};
use hyper_util::rt::{TokioIo, TokioTimer};
use standfast_model::request::View;
use std::{
    convert::Infallible,
    fmt, io,
    net::SocketAddr,
    sync::Arc,
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};
use tokio::{
    net::{TcpListener, TcpStream},
    sync::{Mutex, Semaphore, oneshot},
    time::timeout,
};

/// Connections at once; more are closed unanswered.
const MAX_CONNECTIONS: usize = 32;
/// Bytes of a request's head, and of what is read ahead.
const MAX_HEAD: usize = 16 * 1024;
/// Lines of a request's head.
const MAX_HEADERS: usize = 64;
/// A request's head has to be there within this time; an idle connection ends after it.
const HEAD_PATIENCE: Duration = Duration::from_secs(20);
/// No connection lives longer, however busy it is.
const LIFE: Duration = Duration::from_secs(600);
/// The agent answers within this time, or the request fails.
const ANSWER_PATIENCE: Duration = Duration::from_secs(2);
/// A rendered answer is good for so long.
const FRESH: Duration = Duration::from_millis(250);
/// After a failed `accept`, for want of file descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Why there is no server.
#[derive(Debug, thiserror::Error)]
pub enum WebError {
    /// The system refused.
    #[error("cannot serve metrics on {address}")]
    System {
        /// Where.
        address: SocketAddr,
        /// What it said.
        source: io::Error,
    },
}

/// A running server. Dropped, it lets all connections go.
#[derive(Debug)]
pub struct Server {
    /// Where it listens; the port is a real one even if 0 was asked for.
    pub address: SocketAddr,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

type Ask = Box<dyn Fn(Asked) + Send + Sync>;
type Render = Box<dyn Fn(&View, Format) -> String + Send + Sync>;

/// What the connections share.
struct Shared {
    ask: Ask,
    render: Render,
    /// The last answer in each format.
    cache: Mutex<[Option<(Instant, Bytes)>; 2]>,
}

impl fmt::Debug for Shared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Shared").finish_non_exhaustive()
    }
}

impl Server {
    /// Listens on `address`. `ask` hands a question on and returns at once; `render` writes the picture.
    ///
    /// # Errors
    /// The address is taken or not this machine's, or the system gives no thread.
    pub fn start(
        address: SocketAddr,
        ask: impl Fn(Asked) + Send + Sync + 'static,
        render: impl Fn(&View, Format) -> String + Send + Sync + 'static,
    ) -> Result<Self, WebError> {
        let system = |source| WebError::System { address, source };
        let listener = std::net::TcpListener::bind(address).map_err(system)?;
        listener.set_nonblocking(true).map_err(system)?;
        let address = listener.local_addr().map_err(system)?;
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_io()
            .enable_time()
            .build()
            .map_err(system)?;
        let shared = Arc::new(Shared {
            ask: Box::new(ask),
            render: Box::new(render),
            cache: Mutex::new([None, None]),
        });
        let (stop, stopped) = oneshot::channel();
        let thread = thread::Builder::new()
            .name("web".to_owned())
            .spawn(move || {
                runtime.block_on(async move {
                    let Ok(listener) = TcpListener::from_std(listener) else {
                        return;
                    };
                    tokio::select! {
                        () = accept(listener, shared) => {}
                        _ = stopped => {}
                    }
                });
            })
            .map_err(system)?;
        Ok(Self {
            address,
            stop: Some(stop),
            thread: Some(thread),
        })
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            // A panic in it has been reported by then; nothing is left to be done about it.
            drop(thread.join());
        }
    }
}

async fn accept(listener: TcpListener, shared: Arc<Shared>) {
    let room = Arc::new(Semaphore::new(MAX_CONNECTIONS));
    loop {
        let Ok((stream, _)) = listener.accept().await else {
            tokio::time::sleep(ACCEPT_PAUSE).await;
            continue;
        };
        let Ok(permit) = Arc::clone(&room).try_acquire_owned() else {
            continue;
        };
        let shared = Arc::clone(&shared);
        tokio::spawn(async move {
            // A life that is over ends the connection wherever it is.
            drop(timeout(LIFE, serve(stream, shared)).await);
            drop(permit);
        });
    }
}

async fn serve(stream: TcpStream, shared: Arc<Shared>) {
    let service = service_fn(move |request| {
        let shared = Arc::clone(&shared);
        async move { Ok::<_, Infallible>(shared.answer(request).await) }
    });
    let served = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD_PATIENCE)
        .max_buf_size(MAX_HEAD)
        .max_headers(MAX_HEADERS)
        .serve_connection(TokioIo::new(stream), service)
        .await;
    // A request that is none, or a client that has gone: hyper has answered what there was to answer.
    drop(served);
}

impl Shared {
    async fn answer(&self, request: Request<Incoming>) -> Response<Full<Bytes>> {
        match wanted(&request) {
            Wanted::Nothing(status) => refusal(status),
            Wanted::Metrics(format) => match self.metrics(format).await {
                Some(text) => metrics(format, text),
                None => refusal(StatusCode::SERVICE_UNAVAILABLE),
            },
        }
    }

    /// One question at a time: whoever comes meanwhile is served from its answer.
    async fn metrics(&self, format: Format) -> Option<Bytes> {
        let mut cache = self.cache.lock().await;
        let [prometheus, open] = &mut *cache;
        let kept = match format {
            Format::Prometheus => prometheus,
            Format::OpenMetrics => open,
        };
        if let Some((at, text)) = kept
            && at.elapsed() < FRESH
        {
            return Some(text.clone());
        }
        let (sender, receiver) = oneshot::channel();
        (self.ask)(Asked(sender));
        let view = timeout(ANSWER_PATIENCE, receiver).await.ok()?.ok()?;
        let text = Bytes::from((self.render)(&view, format));
        *kept = Some((Instant::now(), text.clone()));
        Some(text)
    }
}
