//! Metrics of a real agent, read by the parser that Prometheus itself ships for Python.
#![allow(clippy::expect_used, clippy::panic, reason = "a test may panic")]

mod support;

use std::{
    fs,
    io::{Read, Write},
    net::TcpStream,
    process::{Command, Stdio},
    time::Duration,
};
use support::{Node, SITE};

const OPEN: &str = "\
import sys
from prometheus_client.openmetrics.parser import text_string_to_metric_families as parse
for family in parse(sys.stdin.read()):
    for s in family.samples: print(s.name, sorted(s.labels.items()), float(s.value))
";
const PLAIN: &str = "\
import sys
from prometheus_client.parser import text_string_to_metric_families as parse
for family in parse(sys.stdin.read()):
    for s in family.samples: print(s.name, sorted(s.labels.items()), float(s.value))
";

/// Debian's Python, where Debian's packages are.
fn parse(program: &str, text: &str) -> String {
    let child = Command::new("/usr/bin/python3")
        .args(["-c", program])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn();
    let mut child = child.expect("python3");
    let mut stdin = child.stdin.take().expect("stdin");
    stdin.write_all(text.as_bytes()).expect("written");
    drop(stdin);
    let output = child.wait_with_output().expect("output");
    assert!(output.status.success(), "the parser refuses:\n{text}");
    String::from_utf8(output.stdout).expect("text")
}

fn get(address: &str, accept: &str) -> String {
    let mut stream = TcpStream::connect(address).expect("connects");
    let patience = Some(Duration::from_secs(10));
    stream.set_read_timeout(patience).expect("timeout");
    let request = format!(
        "GET /metrics HTTP/1.1\r\nHost: x\r\nConnection: close\r\nAccept: {accept}\r\n\r\n"
    );
    stream.write_all(request.as_bytes()).expect("written");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).expect("answer");
    let (head, body) = answer.split_once("\r\n\r\n").expect("head");
    assert!(head.starts_with("HTTP/1.1 200"), "{head}");
    body.to_owned()
}

fn address(node: &Node) -> String {
    let log = fs::read_to_string(node.path("log")).expect("log");
    let line = log.lines().find(|line| line.contains("metrics are served"));
    let line = line.expect("metrics are served");
    line.split_once("address=").expect("address").1.to_owned()
}

#[test]
fn what_the_agent_serves_is_what_its_users_parse() {
    let mut node = Node::new("metrics");
    node.start();
    let file = node.write("cluster.toml", SITE);
    node.ok(&["apply", &file]);
    node.wait_for("running group", Node::runs);
    let address = address(&node);

    let drained = node.ask(&["node", "drain", "alpha", "--force"]);
    assert_eq!(drained.code, 0, "{drained:?}");
    node.ok(&["node", "resume", "alpha"]);
    node.wait_for("running group", Node::runs);

    node.wait_for("outage in the metrics", |_| {
        let text = get(&address, "application/openmetrics-text");
        let read = parse(OPEN, &text);
        read.contains(
            "standfast_group_outage_seconds_count [('cause', 'planned'), ('group', 'site')] 1.0",
        )
    });
    let plain = parse(PLAIN, &get(&address, "text/plain"));
    for line in [
        "standfast_health [('state', 'ok')] 1.0",
        "standfast_group_running [('group', 'site'), ('node', 'alpha')] 1.0",
        "standfast_node_role [('node', 'alpha'), ('role', 'leader')] 1.0",
        "standfast_certificate_expiry_timestamp_seconds [('file', 'node.crt'), ('node', 'alpha')]",
    ] {
        assert!(plain.contains(line), "{line} is not in\n{plain}");
    }
    let history = node.ok(&["history"]);
    assert!(
        history.contains("restored    site is served by alpha again after"),
        "{history}"
    );
    let empty = node.write("empty.toml", "");
    node.ok(&["apply", &empty]);
    node.wait_for("end of the group", |node| {
        !node.ask(&["status"]).out.contains("site")
    });
}
