//! How long messages take and how much memory a transport needs; one test, so that nothing else of
//! this program runs beside it.
#![allow(clippy::unwrap_used, clippy::panic, reason = "tests")]
#![allow(
    clippy::print_stdout,
    reason = "tests that measure say what they measured"
)]

mod support;

use std::time::{Duration, Instant};

use standfast_transport::{MAX_STREAM_BYTES, TransportEvent};
use support::{Node, Pki, introduce, loopback, quantile, resident_kib};

/// Sends `count` messages one after the other and gives how long each took, sorted.
fn measure(from: &Node, to: &Node, count: u32, stream: bool) -> Vec<Duration> {
    to.drain(Duration::from_millis(20));
    let mut times = Vec::new();
    for number in 0..count {
        let mut payload = number.to_be_bytes().to_vec();
        payload.resize(100, 1);
        let sent = Instant::now();
        if stream {
            from.transport
                .send_stream(&to.name, payload.clone().into())
                .unwrap();
        } else {
            from.transport
                .send_datagram(&to.name, payload.clone().into())
                .unwrap();
        }
        to.expect_message(&from.name, &payload, Duration::from_secs(5));
        times.push(sent.elapsed());
        std::thread::sleep(Duration::from_millis(1));
    }
    times.sort();
    times
}

fn show(what: &str, times: &[Duration]) {
    println!(
        "{what}: median {:?}, p99 {:?}, worst {:?}",
        quantile(times, 500),
        quantile(times, 990),
        quantile(times, 1000)
    );
}

/// CPU time of all threads named `transport` so far.
fn cpu_time() -> Duration {
    let mut nanos = 0;
    for task in std::fs::read_dir("/proc/self/task").unwrap() {
        let path = task.unwrap().path();
        let name = std::fs::read_to_string(path.join("comm")).unwrap();
        if name.trim() == "transport" {
            let stat = std::fs::read_to_string(path.join("schedstat")).unwrap();
            let ran = stat.split_whitespace().next().unwrap();
            nanos += ran.parse::<u64>().unwrap();
        }
    }
    Duration::from_nanos(nanos)
}

/// Heartbeats of everyone to everyone every 100 ms, for three seconds.
fn beat(nodes: &[&Node]) {
    for _ in 0..30 {
        for from in nodes {
            for to in nodes.iter().filter(|to| to.name != from.name) {
                let payload = vec![2; 120].into();
                from.transport.send_datagram(&to.name, payload).unwrap();
            }
        }
        std::thread::sleep(Duration::from_millis(100));
    }
}

#[test]
fn messages_are_quick_and_the_transport_is_small() {
    let pki = Pki::new("c1", "alpha");
    let credentials = ["alpha", "beta", "gamma"].map(|node| pki.credentials(node));
    let before = resident_kib();
    let [alpha, beta, gamma] = credentials.map(|own| Node::start(own, loopback(2)));
    introduce(&[&alpha, &beta, &gamma]);
    alpha.expect_links(&gamma.name, 2);
    beta.expect_links(&gamma.name, 2);
    std::thread::sleep(Duration::from_secs(2));
    println!(
        "three transports with two peers and two links each: {} KiB more",
        resident_kib() - before
    );
    let from = cpu_time();
    std::thread::sleep(Duration::from_secs(3));
    let (keep_alive, from) = (cpu_time() - from, cpu_time());
    beat(&[&alpha, &beta, &gamma]);
    let heartbeats = cpu_time() - from;
    println!(
        "CPU of one of three in a second: {:?} with keep-alives only, {:?} with heartbeats",
        keep_alive / 9,
        heartbeats / 9
    );

    let datagrams = measure(&alpha, &beta, 1000, false);
    show("datagram", &datagrams);
    let streams = measure(&alpha, &beta, 1000, true);
    show("stream message", &streams);
    std::thread::scope(|scope| {
        let load = scope.spawn(|| {
            for _ in 0..12 {
                let message = vec![0; MAX_STREAM_BYTES].into();
                alpha.transport.send_stream(&gamma.name, message).unwrap();
                alpha
                    .transport
                    .send_stream(&beta.name, vec![0; MAX_STREAM_BYTES / 4].into())
                    .unwrap();
                std::thread::sleep(Duration::from_millis(200));
            }
        });
        let mut loaded = Vec::new();
        while !load.is_finished() {
            loaded.extend(measure(&alpha, &beta, 20, false));
        }
        loaded.sort();
        show(
            "datagram beside 10 MiB of stream messages every 200 ms",
            &loaded,
        );
    });
    let all = gamma.drain(Duration::from_millis(500));
    let bulk = all
        .iter()
        .filter(|event| matches!(event, TransportEvent::Stream { .. }))
        .count();
    println!("{bulk} of 12 long messages arrived");
    drop(all);
    println!(
        "after the load: {} KiB more than at first",
        resident_kib() - before
    );
    // Generous, because tests share their cores: they are there to notice a wait that was built in.
    assert!(quantile(&datagrams, 500) < Duration::from_millis(5));
    assert!(quantile(&streams, 500) < Duration::from_millis(5));
}
