use std::{
    net::{IpAddr, SocketAddr},
    sync::Arc,
    time::Duration,
};

use axum::{
    Extension, Router,
    http::{HeaderMap, StatusCode},
    routing::{get, post},
};
use sso_web::{
    Client,
    listener::{Limits, Shutdown, serve},
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    sync::{Notify, Semaphore},
    task::JoinHandle,
};
use tokio_util::sync::CancellationToken;

/// Longer than anything here takes; a test that gets here has failed.
const PATIENCE: Duration = Duration::from_secs(20);

struct Server {
    address: SocketAddr,
    stop: CancellationToken,
    done: JoinHandle<std::io::Result<()>>,
}

async fn start(app: Router, limits: Limits) -> Server {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let stop = CancellationToken::new();
    let shutdown = Shutdown {
        stop: stop.clone(),
        drain: Duration::from_millis(300),
    };
    let done = tokio::spawn(serve(listener, app, limits, shutdown));
    Server {
        address,
        stop,
        done,
    }
}

fn limits() -> Limits {
    Limits {
        header_timeout: Duration::from_millis(100),
        linger: Duration::from_millis(50),
        ..Limits::default()
    }
}

fn hello() -> Router {
    Router::new().route("/", get(async || "hello"))
}

impl Server {
    async fn connect(&self) -> TcpStream {
        TcpStream::connect(self.address).await.unwrap()
    }

    /// Sends bytes and reads until the other end closes.
    async fn exchange(&self, sent: &[u8]) -> String {
        let mut stream = self.connect().await;
        stream.write_all(sent).await.unwrap();
        read_to_end(&mut stream).await
    }

    async fn ends(self) {
        tokio::time::timeout(PATIENCE, self.done)
            .await
            .expect("it drains")
            .unwrap()
            .unwrap();
    }
}

async fn read_to_end(stream: &mut TcpStream) -> String {
    let mut answer = Vec::new();
    // A reset after the answer is an end, too.
    let read = tokio::time::timeout(PATIENCE, stream.read_to_end(&mut answer)).await;
    let _ = read.expect("the server closes");
    String::from_utf8_lossy(&answer).into_owned()
}

/// Reads one answer with the body `hello`.
async fn read_hello(stream: &mut TcpStream) -> String {
    let mut answer = Vec::new();
    while !answer.ends_with(b"hello") {
        let mut part = [0; 1024];
        let read = tokio::time::timeout(PATIENCE, stream.read(&mut part)).await;
        let bytes = read.expect("an answer").unwrap();
        assert!(bytes > 0, "closed before the answer: {answer:?}");
        answer.extend_from_slice(&part[..bytes]);
    }
    String::from_utf8(answer).unwrap()
}

#[tokio::test]
async fn a_client_that_sends_nothing_is_dropped() {
    let server = start(hello(), limits()).await;
    assert_eq!(server.exchange(b"").await, "");
}

#[tokio::test]
async fn a_client_that_stops_in_the_preface_of_http2_is_dropped() {
    let server = start(hello(), limits()).await;
    assert_eq!(server.exchange(b"PRI * HTTP/2.0\r\n").await, "");
}

#[tokio::test]
async fn a_client_that_never_ends_its_head_is_dropped() {
    let server = start(hello(), limits()).await;
    let slow = b"GET / HTTP/1.1\r\nHost: localhost\r\nx-slow: ";
    let answer = server.exchange(slow).await;
    assert!(!answer.contains("200 OK"), "{answer}");
}

/// Tells when it is dropped.
struct OnDrop(Arc<Notify>);
impl Drop for OnDrop {
    fn drop(&mut self) {
        self.0.notify_one();
    }
}

#[tokio::test]
async fn a_client_that_does_not_read_its_answer_is_dropped() {
    let (sent, dropped) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
    let (began, ended) = (sent.clone(), dropped.clone());
    let flood = move || {
        let (began, guard) = (began.clone(), OnDrop(ended.clone()));
        async move {
            began.notify_one();
            axum::body::Body::from_stream(futures_util::stream::repeat_with(move || {
                let _held = &guard;
                Ok::<_, std::convert::Infallible>(vec![b'x'; 65_536])
            }))
        }
    };
    let limits = Limits {
        stall_timeout: Duration::from_millis(100),
        ..limits()
    };
    let server = start(Router::new().route("/", get(flood)), limits).await;
    let mut stream = server.connect().await;
    stream
        .write_all(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
        .await
        .unwrap();
    tokio::time::timeout(PATIENCE, sent.notified())
        .await
        .expect("it begins");
    tokio::time::timeout(PATIENCE, dropped.notified())
        .await
        .expect("it is dropped");
}

#[tokio::test]
async fn a_header_of_64_kb_reaches_the_handler() {
    let length = |headers: HeaderMap| async move { headers["authorization"].len().to_string() };
    let server = start(Router::new().route("/", get(length)), Limits::default()).await;
    let long = "x".repeat(65_536);
    let request = format!("GET / HTTP/1.1\r\nConnection: close\r\nAuthorization: {long}\r\n\r\n");
    let answer = server.exchange(request.as_bytes()).await;
    assert!(answer.ends_with("65536"), "{answer}");
}

#[tokio::test]
async fn a_head_beyond_the_limit_is_431() {
    let server = start(hello(), Limits::default()).await;
    let long = "x".repeat(300_000);
    let mut stream = server.connect().await;
    let request = format!("GET / HTTP/1.1\r\nx-long: {long}\r\n\r\n");
    let _ = stream.write_all(request.as_bytes()).await;
    let answer = read_to_end(&mut stream).await;
    assert!(answer.is_empty() || answer.contains(" 431 "), "{answer}");
}

#[tokio::test]
async fn the_handler_sees_the_address_of_the_client() {
    let address = |Extension(client): Extension<Client>| async move { client.address.to_string() };
    let server = start(Router::new().route("/", get(address)), Limits::default()).await;
    let answer = server
        .exchange(b"GET / HTTP/1.1\r\nConnection: close\r\n\r\n")
        .await;
    assert!(answer.ends_with("127.0.0.1"), "{answer}");
    assert!("127.0.0.1".parse::<IpAddr>().is_ok());
}

/// Answers `hello` when it may, and tells that it was asked.
fn waiting() -> (Router, Arc<Notify>, Arc<Semaphore>) {
    let (began, go) = (Arc::new(Notify::new()), Arc::new(Semaphore::new(0)));
    let (tell, wait) = (began.clone(), go.clone());
    let slow = move || {
        let (tell, wait) = (tell.clone(), wait.clone());
        async move {
            tell.notify_one();
            wait.acquire().await.unwrap().forget();
            "hello"
        }
    };
    (Router::new().route("/", get(slow)), began, go)
}

#[tokio::test]
async fn beyond_the_most_connections_a_client_waits_while_others_are_answered() {
    let limits = Limits {
        max_connections: 1,
        ..Limits::default()
    };
    let (app, began, go) = waiting();
    let server = start(app, limits).await;
    let mut first = server.connect().await;
    first
        .write_all(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
        .await
        .unwrap();
    began.notified().await;
    let mut second = server.connect().await;
    second
        .write_all(b"GET / HTTP/1.1\r\nConnection: close\r\n\r\n")
        .await
        .unwrap();
    let early = tokio::time::timeout(Duration::from_millis(50), began.notified()).await;
    assert!(early.is_err(), "answered beside the first");
    go.add_permits(2);
    read_hello(&mut first).await;
    // Now the first is idle, and makes room.
    assert!(read_to_end(&mut second).await.ends_with("hello"));
    assert_eq!(read_to_end(&mut first).await, "");
}

#[tokio::test]
async fn whoever_only_holds_a_connection_makes_room_for_who_asks() {
    let limits = Limits {
        max_connections: 4,
        header_timeout: PATIENCE,
        ..limits()
    };
    let read = async |body: axum::body::Bytes| body;
    let server = start(hello().route("/read", post(read)), limits).await;
    let held: [&[u8]; 4] = [
        b"",
        b"GET / HTTP/1.1\r\nx-slow: ",
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0",
        b"POST /read HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n\r\nslow",
    ];
    for sent in held {
        let mut holders = Vec::new();
        for _ in 0..4 {
            let mut stream = server.connect().await;
            stream.write_all(sent).await.unwrap();
            holders.push(stream);
        }
        for _ in 0..8 {
            let answer = server.exchange(b"GET / HTTP/1.1\r\nConnection: close\r\n\r\n");
            assert!(answer.await.ends_with("hello"), "beside {sent:?}");
        }
    }
}

#[tokio::test]
async fn one_address_has_no_more_busy_connections_than_it_may() {
    let limits = Limits {
        max_connections_per_address: 1,
        ..Limits::default()
    };
    let (app, began, go) = waiting();
    let server = start(app, limits).await;
    let mut first = server.connect().await;
    first
        .write_all(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
        .await
        .unwrap();
    began.notified().await;
    let request = b"GET / HTTP/1.1\r\nConnection: close\r\n\r\n";
    assert_eq!(server.exchange(request).await, "", "closed unanswered");
    go.add_permits(2);
    read_hello(&mut first).await;
    assert!(server.exchange(request).await.ends_with("hello"));
}

#[tokio::test]
async fn a_request_in_flight_when_the_server_stops_is_answered_and_its_connection_closed() {
    let (began, go) = (Arc::new(Notify::new()), Arc::new(Semaphore::new(0)));
    let (tell, wait) = (began.clone(), go.clone());
    let slow = move || {
        let (tell, wait) = (tell.clone(), wait.clone());
        async move {
            tell.notify_one();
            let _ = wait.acquire().await;
            "hello"
        }
    };
    let server = start(Router::new().route("/", get(slow)), limits()).await;
    let mut stream = server.connect().await;
    stream
        .write_all(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
        .await
        .unwrap();
    began.notified().await;
    server.stop.cancel();
    go.add_permits(1);
    let answer = read_to_end(&mut stream).await;
    assert!(
        answer.ends_with("hello") && answer.contains("connection: close"),
        "{answer}"
    );
    server.ends().await;
}

#[tokio::test]
async fn a_request_that_comes_over_an_idle_connection_just_after_the_stop_is_answered() {
    let limits = Limits {
        linger: PATIENCE,
        header_timeout: PATIENCE,
        ..limits()
    };
    let server = start(hello(), limits).await;
    let mut stream = server.connect().await;
    stream
        .write_all(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
        .await
        .unwrap();
    let answer = read_hello(&mut stream).await;
    assert!(!answer.contains("connection: close"), "{answer}");
    server.stop.cancel();
    stream
        .write_all(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
        .await
        .unwrap();
    let answer = read_to_end(&mut stream).await;
    assert!(answer.contains("connection: close"), "{answer}");
    server.ends().await;
}

#[tokio::test]
async fn what_does_not_end_is_cut_at_the_drain_deadline() {
    let server = start(
        Router::new().route("/", get(std::future::pending::<()>)),
        limits(),
    )
    .await;
    let mut stream = server.connect().await;
    stream
        .write_all(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
        .await
        .unwrap();
    server.stop.cancel();
    assert_eq!(read_to_end(&mut stream).await, "");
    server.ends().await;
}

#[tokio::test]
async fn http2_with_prior_knowledge_is_served_on_the_same_port_and_ends_with_goaway() {
    let server = start(hello(), Limits::default()).await;
    let client = hyper_util::client::legacy::Client::builder(hyper_util::rt::TokioExecutor::new())
        .http2_only(true)
        .build_http::<axum::body::Body>();
    let url: hyper::Uri = format!("http://{}/", server.address).parse().unwrap();
    let response = client.get(url).await.unwrap();
    assert_eq!(response.version(), hyper::Version::HTTP_2);
    drop(response);
    server.stop.cancel();
    server.ends().await;
}

#[tokio::test]
async fn an_answer_that_does_not_wait_for_the_body_reaches_the_client_nevertheless() {
    let refuse = async || StatusCode::PAYLOAD_TOO_LARGE;
    let app = Router::new().route("/", post(refuse));
    let server = start(app, Limits::default()).await;
    for size in [100_000, 1_000_000, 10_000_000] {
        for _ in 0..20 {
            let mut stream = server.connect().await;
            let head = format!("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: {size}\r\n\r\n");
            stream.write_all(head.as_bytes()).await.unwrap();
            let sent = stream.write_all(&vec![b'.'; size]).await;
            let answer = read_to_end(&mut stream).await;
            assert!(
                answer.starts_with("HTTP/1.1 413"),
                "{size}: {sent:?} {answer:?}"
            );
            assert!(answer.contains("connection: close"), "{answer}");
        }
    }
}

#[tokio::test]
async fn a_small_body_that_nobody_wants_does_not_end_the_connection() {
    let app = hello().route("/refuse", post(async || StatusCode::UNAUTHORIZED));
    let server = start(app, Limits::default()).await;
    let mut stream = server.connect().await;
    for _ in 0..20 {
        let head = b"POST /refuse HTTP/1.1\r\nHost: a\r\nContent-Length: 60000\r\n\r\n";
        stream.write_all(head).await.unwrap();
        stream.write_all(&vec![b'.'; 60_000]).await.unwrap();
        stream
            .write_all(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
            .await
            .unwrap();
        let answer = read_hello(&mut stream).await;
        assert!(answer.starts_with("HTTP/1.1 401"), "{answer}");
        assert!(!answer.contains("connection: close"), "{answer}");
    }
}

#[tokio::test]
async fn who_asks_first_whether_to_send_his_body_is_refused_without_it() {
    let app = Router::new().route("/", post(async || StatusCode::UNAUTHORIZED));
    let server = start(app, Limits::default()).await;
    let answer = server
        .exchange(b"POST / HTTP/1.1\r\nExpect: 100-continue\r\nContent-Length: 9\r\n\r\n")
        .await;
    assert!(answer.starts_with("HTTP/1.1 401"), "{answer}");
    assert!(answer.contains("connection: close"), "{answer}");
}
