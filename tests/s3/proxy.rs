//! Faults between the program and the store: a proxy that breaks some answers, by a seeded plan.

use std::convert::Infallible;
use std::io;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::body::{Body, Bytes, to_bytes};
use axum::extract::{Request, State};
use axum::http::{Method, StatusCode};
use axum::response::Response;
use futures::{StreamExt, stream};
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::Runtime;

/// Bodies are small here; more is a defect of the test.
const LIMIT: usize = 64 << 20;

/// What happens to a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// The store does it, and the answer is 500.
    FailAfter,
    /// The store does it, and the answer never comes.
    HangAfter,
    /// 503 SlowDown for this request and the two after it.
    SlowDown,
    /// Half of the answer's body, then the connection breaks.
    Torn,
    /// Half of the answer's body, then nothing.
    Stalled,
    /// The answer comes late.
    Late(Duration),
}

/// Which requests meet which fault.
#[derive(Clone, Debug)]
pub struct Plan {
    pub fault: Fault,
    pub method: Method,
    /// A part of the path or query.
    pub part: &'static str,
    /// How many of a hundred such requests.
    pub percent: u64,
    /// How many at most.
    pub times: usize,
    pub seed: u64,
}

pub struct Proxy {
    port: u16,
    shared: Arc<Shared>,
    /// Its tasks end with it.
    _runtime: Runtime,
}

struct Shared {
    store: u16,
    dice: Mutex<Option<Dice>>,
    met: AtomicUsize,
}

/// A plan, and what is left of it.
struct Dice {
    plan: Plan,
    state: u64,
    burst: usize,
    left: usize,
}

impl Proxy {
    /// A proxy on a port of its own before the store at port `store`; without a plan it breaks nothing.
    pub fn start(store: u16, plan: Option<Plan>) -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .expect("a runtime");
        let dice = Mutex::new(plan.map(Dice::new));
        let shared = Arc::new(Shared { store, dice, met: AtomicUsize::new(0) });
        let listener = runtime.block_on(TcpListener::bind("127.0.0.1:0")).expect("a free port");
        let port = listener.local_addr().expect("its address").port();
        let router = Router::new().fallback(pass).with_state(Arc::clone(&shared));
        runtime.spawn(async move { axum::serve(listener, router).await });
        Self { port, shared, _runtime: runtime }
    }

    pub fn endpoint(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// From now on it follows this plan, or breaks nothing.
    pub fn follow(&self, plan: Option<Plan>) {
        *self.shared.dice.lock().expect("nobody panics with it") = plan.map(Dice::new);
    }

    /// How many requests met a fault.
    pub fn met(&self) -> usize {
        self.shared.met.load(Ordering::SeqCst)
    }
}

impl Shared {
    fn fault(&self, request: &Request) -> Option<Fault> {
        let mut dice = self.dice.lock().expect("nobody panics with it");
        let fault = dice.as_mut()?.meets(request.method(), &request.uri().to_string())?;
        self.met.fetch_add(1, Ordering::SeqCst);
        Some(fault)
    }
}

impl Dice {
    fn new(plan: Plan) -> Self {
        eprintln!("{plan:?}");
        Self { state: plan.seed, burst: 0, left: plan.times, plan }
    }

    fn meets(&mut self, method: &Method, uri: &str) -> Option<Fault> {
        if method != self.plan.method || !uri.contains(self.plan.part) {
            return None;
        }
        if self.burst > 0 {
            self.burst -= 1;
        } else if self.left == 0 || self.roll() >= self.plan.percent {
            return None;
        } else {
            self.left -= 1;
            self.burst = if self.plan.fault == Fault::SlowDown { 2 } else { 0 };
        }
        Some(self.plan.fault)
    }

    /// 0 to 99, by splitmix64.
    fn roll(&mut self) -> u64 {
        self.state = self.state.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut mixed = self.state;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        (mixed ^ (mixed >> 31)) % 100
    }
}

async fn pass(State(shared): State<Arc<Shared>>, request: Request) -> Result<Response, Infallible> {
    let fault = shared.fault(&request);
    if fault == Some(Fault::SlowDown) {
        return Ok(refusal(StatusCode::SERVICE_UNAVAILABLE, "SlowDown"));
    }
    let answer = match forward(shared.store, request).await {
        Ok(answer) => answer,
        Err(error) => return Ok(refusal(StatusCode::BAD_GATEWAY, &error.to_string())),
    };
    Ok(match fault {
        None | Some(Fault::SlowDown) => answer,
        Some(Fault::Late(by)) => {
            tokio::time::sleep(by).await;
            answer
        }
        Some(Fault::FailAfter) => refusal(StatusCode::INTERNAL_SERVER_ERROR, "InternalError"),
        Some(Fault::HangAfter) => std::future::pending().await,
        Some(Fault::Torn) => half(answer, true).await,
        Some(Fault::Stalled) => half(answer, false).await,
    })
}

/// The store's answer. The request goes on as it came, its Host header too, which is signed.
async fn forward(store: u16, request: Request) -> Result<Response, Box<dyn std::error::Error>> {
    let stream = TcpStream::connect(("127.0.0.1", store)).await?;
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
    tokio::spawn(connection);
    Ok(sender.send_request(request).await?.map(Body::new))
}

fn refusal(status: StatusCode, code: &str) -> Response {
    let body = format!("<Error><Code>{code}</Code><Message>by plan</Message></Error>");
    let mut answer = Response::new(Body::from(body));
    *answer.status_mut() = status;
    answer
}

/// The answer with half of its body, which then breaks off or stands still.
async fn half(answer: Response, breaks: bool) -> Response {
    let (head, body) = answer.into_parts();
    let whole = to_bytes(body, LIMIT).await.expect("the store's answer is whole");
    let first: io::Result<Bytes> = Ok(whole.slice(..whole.len() / 2));
    let rest = if breaks {
        stream::iter([Err(io::Error::from(io::ErrorKind::ConnectionReset))]).boxed()
    } else {
        stream::pending().boxed()
    };
    // Given time, the first half goes out before the connection breaks.
    let first = stream::once(async { first });
    Response::from_parts(head, Body::from_stream(first.chain(rest)))
}
