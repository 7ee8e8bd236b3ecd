//! The server against clients that mean well and others, over real sockets.
#![allow(clippy::expect_used, clippy::panic, reason = "a test may panic")]

use standfast_model::request::View;
use standfast_web::{Format, Server};
use std::{
    io::{Read, Write},
    net::{SocketAddr, TcpStream},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

fn start() -> (Server, Arc<AtomicUsize>) {
    let asked = Arc::new(AtomicUsize::new(0));
    let counter = Arc::clone(&asked);
    let server = Server::start(
        "127.0.0.1:0".parse().expect("address"),
        move |question| {
            counter.fetch_add(1, Ordering::SeqCst);
            question.answer(View {
                term: 7,
                ..View::default()
            });
        },
        |view, format| match format {
            Format::Prometheus => format!("term {}\n", view.term),
            Format::OpenMetrics => format!("term {}\n# EOF\n", view.term),
        },
    );
    (server.expect("server"), asked)
}

fn connect(address: SocketAddr) -> TcpStream {
    let stream = TcpStream::connect(address).expect("connects");
    let patience = Some(Duration::from_secs(10));
    stream.set_read_timeout(patience).expect("timeout");
    stream
}

/// Everything until the server closes the connection.
fn say(address: SocketAddr, request: &[u8]) -> String {
    let mut stream = connect(address);
    // The server may have closed it before all of it was sent.
    stream.write_all(request).ok();
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).ok();
    String::from_utf8_lossy(&answer).into_owned()
}

fn get(path: &str, more: &str) -> Vec<u8> {
    format!("GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n{more}\r\n").into_bytes()
}

#[test]
fn metrics_come_in_the_format_that_is_asked_for() {
    let (server, asked) = start();
    let plain = say(server.address, &get("/metrics", ""));
    assert!(plain.starts_with("HTTP/1.1 200 OK"), "{plain}");
    assert!(plain.contains("text/plain; version=0.0.4"), "{plain}");
    assert!(plain.ends_with("\r\n\r\nterm 7\n"), "{plain}");
    let open = "Accept: application/openmetrics-text;version=1.0.0;q=0.75,text/plain\r\n";
    let open = say(server.address, &get("/metrics", open));
    assert!(open.contains("application/openmetrics-text"), "{open}");
    assert!(open.ends_with("# EOF\n"), "{open}");
    let head = b"HEAD /metrics HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n";
    let head = say(server.address, head);
    assert!(head.starts_with("HTTP/1.1 200 OK"), "{head}");
    assert!(head.ends_with("\r\n\r\n"), "{head}");
    assert!(asked.load(Ordering::SeqCst) <= 3);
}

#[test]
fn anything_else_is_refused_without_asking_the_agent() {
    let (server, asked) = start();
    for (request, status) in [
        (&get("/", "")[..], "404"),
        (&get("/metrics/../../etc/passwd", ""), "404"),
        (b"POST /metrics HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: 3\r\n\r\nabc", "405"),
        (b"\x16\x03\x01 this is TLS\r\n\r\n", "400"),
    ] {
        let answer = say(server.address, request);
        assert!(answer.starts_with(&format!("HTTP/1.1 {status}")), "{status}: {answer}");
    }
    assert_eq!(asked.load(Ordering::SeqCst), 0);
}

#[test]
fn a_request_without_end_is_cut_off() {
    let (server, asked) = start();
    let mut long = b"GET /metrics HTTP/1.1\r\nX: ".to_vec();
    long.resize(1024 * 1024, b'a');
    let answer = say(server.address, &long);
    assert!(
        answer.is_empty() || answer.starts_with("HTTP/1.1 431"),
        "{answer}"
    );
    let many: String = (0..100).map(|n| format!("X-{n}: y\r\n")).collect();
    let answer = say(server.address, &get("/metrics", &many));
    assert!(answer.starts_with("HTTP/1.1 431"), "{answer}");
    assert_eq!(asked.load(Ordering::SeqCst), 0);
}

#[test]
fn a_flood_neither_reaches_the_agent_nor_shuts_it_up_for_good() {
    let (server, asked) = start();
    let idle: Vec<TcpStream> = (0..60).map(|_| connect(server.address)).collect();
    // The first ones hold all the room there is: this one is closed at once.
    let refused = say(server.address, &get("/metrics", ""));
    assert_eq!(refused, "");
    drop(idle);
    let served = (0..200).any(|_| {
        std::thread::sleep(Duration::from_millis(20));
        say(server.address, &get("/metrics", "")).contains("term 7")
    });
    assert!(served);
    for _ in 0..100 {
        say(server.address, &get("/metrics", ""));
    }
    assert!(
        asked.load(Ordering::SeqCst) < 50,
        "answers are kept for a moment"
    );
}

#[test]
fn an_agent_that_does_not_answer_is_no_hanging_client() {
    let server = Server::start("127.0.0.1:0".parse().expect("address"), drop, |_, _| {
        String::new()
    })
    .expect("server");
    let answer = say(server.address, &get("/metrics", ""));
    assert!(answer.starts_with("HTTP/1.1 503"), "{answer}");
}
