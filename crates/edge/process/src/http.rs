//! The least of HTTP that a check needs: one GET, and the status code of the answer (RFC 9112,
//! sections 3 and 4). Not a client for anything else.

use std::{
    io::{Read, Write},
    net::{SocketAddr, TcpStream, ToSocketAddrs},
    sync::mpsc::channel,
    thread,
    time::{Duration, Instant},
};

/// As for checks: locked memory.
const STACK_BYTES: usize = 256 * 1024;
/// A status line is never longer; the rest of the answer is not read.
const MOST: usize = 1024;

/// Asks `url` (`http://host[:port]/path`). Healthy is 200 to 399.
///
/// # Errors
/// What is wrong, as a sentence.
pub(crate) fn check(url: &str, timeout: Duration) -> Result<(), String> {
    // What follows may be secret.
    let shown = url.split(['?', '#']).next().unwrap_or_default();
    let rest = url
        .strip_prefix("http://")
        .ok_or_else(|| format!("{shown} is not an http:// URL"))?;
    let (authority, path) = match rest.find(['/', '?']) {
        Some(at) => rest.split_at(at),
        None => (rest, "/"),
    };
    let slash = if path.starts_with('/') { "" } else { "/" };
    let address = if authority
        .rsplit_once(':')
        .is_some_and(|(_, port)| port.parse::<u16>().is_ok())
    {
        authority.to_owned()
    } else {
        format!("{authority}:80")
    };
    let until = Instant::now() + timeout;
    let mut stream = connect(&address, timeout)?;
    let request = format!(
        "GET {slash}{path} HTTP/1.1\r\nHost: {authority}\r\nUser-Agent: standfast-check\r\nConnection: close\r\n\r\n"
    );
    limit(&stream, until)?;
    stream
        .write_all(request.as_bytes())
        .map_err(|error| format!("{shown}: {error}"))?;
    let code = status_code(&mut stream, until).map_err(|why| format!("{shown}: {why}"))?;
    if (200..400).contains(&code) {
        Ok(())
    } else {
        Err(format!("{shown} answered {code}"))
    }
}

/// Opens a TCP connection within the time.
///
/// # Errors
/// What is wrong, as a sentence.
pub(crate) fn connect(address: &str, timeout: Duration) -> Result<TcpStream, String> {
    let until = Instant::now() + timeout;
    let mut last = format!("{address} has no address");
    for target in resolve(address, timeout)? {
        let left = until
            .saturating_duration_since(Instant::now())
            .max(Duration::from_millis(1));
        match TcpStream::connect_timeout(&target, left) {
            Ok(stream) => return Ok(stream),
            Err(error) => last = format!("{address}: {error}"),
        }
    }
    Err(last)
}

/// The addresses of a host. Asking for a name may take the system longer than a check has: it is
/// then left to a thread that ends when the system answers.
fn resolve(address: &str, timeout: Duration) -> Result<Vec<SocketAddr>, String> {
    if let Ok(plain) = address.parse() {
        return Ok(vec![plain]);
    }
    let (answer, answered) = channel();
    let name = address.to_owned();
    thread::Builder::new()
        .name("resolve".to_owned())
        .stack_size(STACK_BYTES)
        .spawn(move || drop(answer.send(name.to_socket_addrs().map(Iterator::collect))))
        .map_err(|error| format!("{address}: {error}"))?;
    match answered.recv_timeout(timeout) {
        Ok(Ok(found)) => Ok(found),
        Ok(Err(error)) => Err(format!("{address}: {error}")),
        Err(_) => Err(format!("{address}: its name was not resolved in time")),
    }
}

fn limit(stream: &TcpStream, until: Instant) -> Result<(), String> {
    let left = until
        .saturating_duration_since(Instant::now())
        .max(Duration::from_millis(1));
    stream
        .set_read_timeout(Some(left))
        .and_then(|()| stream.set_write_timeout(Some(left)))
        .map_err(|error| error.to_string())
}

fn status_code(stream: &mut TcpStream, until: Instant) -> Result<u16, String> {
    let mut line = Vec::new();
    let mut piece = [0; 256];
    while !line.contains(&b'\n') && line.len() < MOST {
        if Instant::now() >= until {
            return Err("no answer in time".to_owned());
        }
        limit(stream, until)?;
        let read = stream
            .read(&mut piece)
            .map_err(|error| match error.kind() {
                std::io::ErrorKind::WouldBlock | std::io::ErrorKind::TimedOut => {
                    "no answer in time".to_owned()
                }
                _ => error.to_string(),
            })?;
        if read == 0 {
            break;
        }
        line.extend(piece.iter().take(read));
    }
    let text = String::from_utf8_lossy(&line);
    let mut words = text.lines().next().unwrap_or_default().split(' ');
    let version = words.next().unwrap_or_default();
    match words.next().and_then(|code| code.parse().ok()) {
        Some(code) if version.starts_with("HTTP/1.") => Ok(code),
        _ => Err("the answer is not HTTP".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::TcpListener;

    fn server(answer: &'static str) -> String {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            let mut request = [0; 512];
            let _ = stream.read(&mut request).unwrap();
            stream.write_all(answer.as_bytes()).unwrap();
            thread::sleep(Duration::from_millis(300));
        });
        format!("http://{address}/health")
    }

    #[test]
    fn an_answer_of_200_is_healthy() {
        let url = server("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
        assert_eq!(check(&url, Duration::from_secs(1)), Ok(()));
    }

    #[test]
    fn a_secret_in_a_url_is_not_shown() {
        let url = server("HTTP/1.1 500 Oops\r\n\r\n").replace("/health", "?token=hunter2");
        let why = check(&url, Duration::from_secs(1)).unwrap_err();
        assert!(why.contains("500") && !why.contains("hunter2"), "{why}");
    }

    #[test]
    fn a_name_is_resolved() {
        let url = server("HTTP/1.1 204 No Content\r\n\r\n").replace("127.0.0.1", "localhost");
        assert_eq!(check(&url, Duration::from_secs(5)), Ok(()));
    }

    #[test]
    fn an_answer_of_503_is_not() {
        let url = server("HTTP/1.1 503 Service Unavailable\r\n\r\n");
        assert!(
            check(&url, Duration::from_secs(1))
                .unwrap_err()
                .contains("503")
        );
    }

    #[test]
    fn half_an_answer_is_a_timeout() {
        let url = server("HTTP/1.1 20");
        let began = Instant::now();
        assert!(check(&url, Duration::from_millis(100)).is_err());
        assert!(
            began.elapsed() < Duration::from_millis(280),
            "the server ends after 300 ms"
        );
    }

    #[test]
    fn what_is_not_http_is_refused() {
        let url = server("SSH-2.0-OpenSSH_9.2\r\n");
        assert!(
            check(&url, Duration::from_secs(1))
                .unwrap_err()
                .contains("not HTTP")
        );
    }

    #[test]
    fn nobody_there_is_an_error() {
        assert!(check("http://127.0.0.1:1/", Duration::from_millis(200)).is_err());
    }
}
