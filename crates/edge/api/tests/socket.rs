//! The server and the client over a real socket.
#![allow(clippy::expect_used, clippy::panic, reason = "a test may panic")]

use standfast_api::{Access, Client, ClientError, Incoming, MAX_CONNECTIONS, Server, ServerError};
use standfast_model::{
    config::ClusterConfig,
    request::{Request, Response, TextOf, View},
};
use std::{
    io::{Read, Write},
    os::unix::{fs::PermissionsExt, net::UnixStream},
    path::PathBuf,
    process::Command,
    sync::mpsc,
    thread,
    time::{Duration, Instant},
};

const SOON: Duration = Duration::from_secs(5);

struct Place(tempfile::TempDir);

impl Place {
    fn new() -> Self {
        Self(tempfile::tempdir().expect("folder"))
    }

    fn socket(&self) -> PathBuf {
        self.0.path().join("s")
    }
}

fn echo(incoming: Incoming) {
    let answer = match incoming.request {
        Request::View => Response::View(Box::new(View {
            node: incoming.peer.name.clone(),
            ..View::default()
        })),
        _ => Response::Done { index: 7 },
    };
    incoming.reply.send(answer);
}

fn drain() -> Request {
    Request::Drain {
        node: "beta".into(),
        drained: true,
        author: String::from("test"),
    }
}

fn send_raw(stream: &mut UnixStream, body: &[u8]) {
    let length = u32::try_from(body.len()).expect("length");
    stream.write_all(&length.to_be_bytes()).expect("length");
    stream.write_all(body).expect("body");
}

fn read_raw(stream: &mut UnixStream) -> String {
    stream.set_read_timeout(Some(SOON)).expect("timeout");
    let mut length = [0; 4];
    stream.read_exact(&mut length).expect("length");
    let mut body = vec![0; usize::try_from(u32::from_be_bytes(length)).expect("length")];
    stream.read_exact(&mut body).expect("body");
    String::from_utf8(body).expect("text")
}

#[test]
fn many_requests_on_one_connection_are_answered_in_order() {
    let place = Place::new();
    let _server = Server::bind(&place.socket(), echo).expect("server");
    let mut client = Client::connect(&place.socket()).expect("client");
    for _ in 0..100 {
        let answer = client.call(&drain(), SOON).expect("answer");
        assert_eq!(answer, Response::Done { index: 7 });
    }
    let Ok(Response::View(view)) = client.call(&Request::View, SOON) else {
        panic!("no view");
    };
    assert_eq!(view.node, "root", "the kernel says who asks");
}

#[test]
fn answers_may_come_from_another_thread_and_be_large() {
    let place = Place::new();
    let (sender, receiver) = mpsc::channel::<Incoming>();
    let core = thread::spawn(move || {
        for incoming in receiver {
            let mut view = View::default();
            view.state.config_text = "x".repeat(20 << 20);
            incoming.reply.send(Response::View(Box::new(view)));
        }
    });
    let server = Server::bind(&place.socket(), move |incoming| {
        sender.send(incoming).expect("core");
    });
    let server = server.expect("server");
    let mut client = Client::connect(&place.socket()).expect("client");
    let Ok(Response::View(view)) = client.call(&Request::View, SOON) else {
        panic!("no view");
    };
    assert_eq!(view.state.config_text.len(), 20 << 20);
    drop(server);
    core.join().expect("core");
}

#[test]
fn a_large_configuration_fits_and_a_larger_one_is_refused() {
    let place = Place::new();
    let _server = Server::bind(&place.socket(), echo).expect("server");
    let apply = |size: usize| Request::Apply {
        config: Box::default(),
        text: "x".repeat(size),
        based_on: None,
        author: String::new(),
        reason: String::new(),
        draft: None,
    };
    let mut client = Client::connect(&place.socket()).expect("client");
    assert!(client.call(&apply(3 << 20), SOON).is_ok());
    assert!(matches!(
        client.call(&apply(5 << 20), SOON),
        Err(ClientError::Protocol(_))
    ));

    let mut stream = UnixStream::connect(place.socket()).expect("stream");
    stream.write_all(&u32::MAX.to_be_bytes()).expect("length");
    assert!(read_raw(&mut stream).contains("at most 4194304"));
}

#[test]
fn nonsense_another_version_and_joins_are_answered_with_what_is_wrong() {
    let place = Place::new();
    let _server = Server::bind(&place.socket(), |_| panic!("nothing may pass")).expect("server");
    for (body, says) in [
        (&b"hello"[..], "not a request"),
        (b"{\"v\":9,\"request\":\"view\"}", "version 9"),
        (b"{\"v\":1,\"request\":\"dance\"}", "dance"),
        (
            b"{\"v\":1,\"request\":{\"join\":{\"node\":\"x\",\"addresses\":[],\"offer\":{\"key\":\"\",\"feature_level\":1,\"witness\":false}}}}",
            "token",
        ),
        (b"", "not a request"),
    ] {
        let mut stream = UnixStream::connect(place.socket()).expect("stream");
        send_raw(&mut stream, body);
        let answer = read_raw(&mut stream);
        assert!(answer.contains(says), "{answer}");
        assert!(answer.contains("malformed"), "{answer}");
    }
}

#[test]
fn a_request_that_is_dropped_is_answered_all_the_same() {
    let place = Place::new();
    let _server = Server::bind(&place.socket(), drop).expect("server");
    let mut client = Client::connect(&place.socket()).expect("client");
    assert!(matches!(
        client.call(&drain(), SOON),
        Err(ClientError::Unanswered(_))
    ));
}

#[test]
fn the_last_answer_gets_out_although_the_server_ends_at_once() {
    let place = Place::new();
    let (sender, receiver) = mpsc::channel::<Incoming>();
    let server = Server::bind(&place.socket(), move |incoming| {
        sender.send(incoming).expect("test");
    });
    let server = server.expect("server");
    let path = place.socket();
    let client = thread::spawn(move || {
        let mut client = Client::connect(&path).expect("client");
        client.call(
            &Request::Restart {
                author: String::new(),
            },
            SOON,
        )
    });
    let incoming = receiver.recv_timeout(SOON).expect("request");
    incoming.reply.send(Response::Done { index: 3 });
    drop(server);
    let answer = client.join().expect("client").expect("answer");
    assert_eq!(answer, Response::Done { index: 3 });
}

#[test]
fn a_silent_agent_is_a_timeout() {
    let place = Place::new();
    let mut kept = Vec::new();
    let _server = Server::bind(&place.socket(), move |incoming| kept.push(incoming));
    let mut client = Client::connect(&place.socket()).expect("client");
    let start = Instant::now();
    let answer = client.call(&drain(), Duration::from_millis(100));
    assert!(matches!(answer, Err(ClientError::Timeout(_))), "{answer:?}");
    assert!(start.elapsed() < SOON);
}

#[test]
fn no_agent_is_not_connected() {
    let place = Place::new();
    let answer = Client::connect(&place.socket());
    assert!(matches!(answer, Err(ClientError::NotConnected { .. })));
}

#[test]
fn the_socket_is_for_root_and_its_group_and_goes_with_the_server() {
    let place = Place::new();
    let server = Server::bind(&place.socket(), echo).expect("server");
    let mode = std::fs::metadata(place.socket())
        .expect("socket")
        .permissions()
        .mode();
    assert_eq!(mode & 0o777, 0o660);
    assert!(matches!(
        Server::bind(&place.socket(), echo),
        Err(ServerError::Taken { .. })
    ));
    drop(server);
    assert!(!place.socket().exists());
}

#[test]
fn a_socket_left_behind_is_replaced() {
    let place = Place::new();
    drop(std::os::unix::net::UnixListener::bind(place.socket()).expect("socket"));
    assert!(place.socket().exists());
    let _server = Server::bind(&place.socket(), echo).expect("server");
    assert!(Client::connect(&place.socket()).is_ok());
}

#[test]
fn connections_beyond_the_limit_are_told_so_and_the_others_live_on() {
    let place = Place::new();
    let _server = Server::bind(&place.socket(), echo).expect("server");
    let mut clients: Vec<Client> = (0..MAX_CONNECTIONS)
        .map(|_| {
            let mut client = Client::connect(&place.socket()).expect("client");
            client.call(&Request::View, SOON).expect("answer");
            client
        })
        .collect();
    let mut late = Client::connect(&place.socket()).expect("client");
    assert!(matches!(
        late.call(&Request::View, SOON),
        Err(ClientError::Busy(_))
    ));
    assert!(clients[0].call(&Request::View, SOON).is_ok());
    clients.pop();
    // The place is free as soon as the server has seen the end of the connection.
    let start = Instant::now();
    while start.elapsed() < SOON {
        let mut next = Client::connect(&place.socket()).expect("client");
        if next.call(&Request::View, SOON).is_ok() {
            return;
        }
    }
    panic!("no place became free");
}

/// Says what an unprivileged user with these groups is answered: this test's own binary, run again as that
/// user.
fn as_nobody(place: &Place, request: &str, groups: &[&str]) -> String {
    let program = std::env::current_exe().expect("program");
    // The user has to reach the program and the socket.
    let copy = place.socket().with_file_name("program");
    if !copy.exists() {
        std::fs::copy(program, &copy).expect("copy");
    }
    std::fs::set_permissions(place.0.path(), std::fs::Permissions::from_mode(0o755)).expect("mode");
    let groups = match groups {
        [] => vec![String::from("--clear-groups")],
        groups => vec![String::from("--groups"), groups.join(",")],
    };
    let output = Command::new("setpriv")
        .args(["--reuid", "65534", "--regid", "65534"])
        .args(groups)
        .arg(copy)
        .args(["--exact", "--nocapture", "asks_when_told_to"])
        .env("STANDFAST_ASK", request)
        .env("STANDFAST_SOCKET", place.socket())
        .output()
        .expect("run");
    String::from_utf8_lossy(&output.stdout).into_owned()
}

#[test]
#[allow(clippy::print_stdout, reason = "the other half of as_nobody")]
fn asks_when_told_to() {
    let Ok(request) = std::env::var("STANDFAST_ASK") else {
        return;
    };
    let socket = PathBuf::from(std::env::var("STANDFAST_SOCKET").expect("socket"));
    let ask = |request: &Request| Client::connect(&socket).and_then(|mut c| c.call(request, SOON));
    let answer = match request.as_str() {
        "view" => ask(&Request::View),
        "reveal" => ask(&Request::Text {
            of: TextOf::Present,
            reveal: true,
        }),
        "large" => {
            let config = ClusterConfig {
                name: "x".repeat(300 << 10),
                ..ClusterConfig::default()
            };
            ask(&Request::Plan {
                config: Box::new(config),
            })
        }
        "flood" => {
            let answers = (0..300).map(|_| ask(&Request::View));
            let refused = answers.filter(|answer| matches!(answer, Err(ClientError::Busy(_))));
            println!("refused: {}", refused.count());
            return;
        }
        "hoard" => {
            let mut kept = Vec::new();
            while let Ok(mut client) = Client::connect(&socket) {
                if client.call(&Request::View, SOON).is_err() {
                    break;
                }
                kept.push(client);
            }
            println!("kept: {}", kept.len());
            return;
        }
        _ => ask(&drain()),
    };
    println!("answer: {answer:?}");
}

/// A group that every Debian has, and its number.
const GROUP: (&str, &str) = ("daemon", "1");

fn serve(place: &Place, anybody_reads: bool) -> Server {
    let access = Access {
        group: Some(GROUP.0.to_owned()),
        anybody_reads,
    };
    Server::bind_for(&place.socket(), &access, echo).expect("server")
}

#[test]
fn members_of_the_group_may_change_things_and_others_not_even_look() {
    let place = Place::new();
    let _server = serve(&place, false);
    let said = as_nobody(&place, "drain", &[GROUP.1]);
    assert!(said.contains("Ok(Done { index: 7 })"), "{said}");
    for request in ["view", "drain"] {
        let said = as_nobody(&place, request, &[]);
        assert!(said.contains("may not use"), "{said}");
    }
}

#[test]
fn others_may_look_where_anybody_may_and_never_change_or_uncover_anything() {
    let place = Place::new();
    let _server = serve(&place, true);
    let said = as_nobody(&place, "view", &[]);
    assert!(said.contains("Ok(View("), "{said}");
    for request in ["drain", "reveal"] {
        let said = as_nobody(&place, request, &["2", "3"]);
        assert!(said.contains("Permission(\"nobody may look"), "{said}");
    }
    // The kernel knows all groups, also when there are many.
    let many: Vec<String> = (1..200).map(|group| group.to_string()).collect();
    let many: Vec<&str> = many.iter().map(String::as_str).collect();
    let said = as_nobody(&place, "drain", &many);
    assert!(said.contains("Ok(Done { index: 7 })"), "{said}");
}

#[test]
fn what_a_user_may_send_and_keep_is_limited_and_root_is_not_kept_out() {
    let place = Place::new();
    let _server = serve(&place, true);
    let said = as_nobody(&place, "large", &[]);
    assert!(said.contains("at most 262144 are read"), "{said}");
    let said = as_nobody(&place, "hoard", &[]);
    assert!(said.contains("kept: 16"), "{said}");
    let said = as_nobody(&place, "flood", &[]);
    let refused = said
        .split("refused: ")
        .nth(1)
        .and_then(|rest| rest.lines().next());
    let refused: u32 = refused.and_then(|n| n.parse().ok()).unwrap_or_default();
    // On a slow machine more is allowed meanwhile, but three hundred take no six seconds.
    assert!(refused > 50, "{said}");
    let mut root = Client::connect(&place.socket()).expect("client");
    for _ in 0..300 {
        assert!(root.call(&Request::View, SOON).is_ok());
    }
}
