//! The one sentence of a pair, from real pairs: each of the classic ones is brought about, and at every moment `status` and its
//! JSON say exactly one. And what follows when an operator forces a primary.
#![allow(
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    reason = "a test may panic, and says what it measured"
)]

mod machines;

use machines::{Machine, power::Power, runs_on, watch::Watch};
use std::{
    fs,
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::Duration,
};

/// Every sentence that these pairs may say, by its word in JSON.
const SENTENCES: &[(&str, &str)] = &[
    (
        "normal",
        "The pair runs normally: alpha is primary, beta is secondary and in sync.",
    ),
    (
        "normal",
        "The pair runs normally: beta is primary, alpha is secondary and in sync.",
    ),
    (
        "secondary-down",
        "Primary alpha is up, secondary beta is down: the service continues, and can survive no loss.",
    ),
    (
        "undecided",
        "Primary alpha runs on, secondary beta is not seen: changes are refused, until its power is confirmed off.",
    ),
    (
        "undecided",
        "Primary alpha runs on, secondary beta is not seen: changes are refused, because fencing failed and releases nothing.",
    ),
    (
        "catching-up",
        "Primary alpha is up; secondary beta is there and not in sync yet.",
    ),
    (
        "catching-up",
        "Primary beta is up; secondary alpha is there and not in sync yet.",
    ),
    (
        "primary-down",
        "Secondary beta is up, primary alpha is down: not failed over yet, until its power is confirmed off.",
    ),
    (
        "primary-down",
        "Secondary beta is up, primary alpha is down: not failed over yet, because fencing failed and releases nothing.",
    ),
    (
        "took-over",
        "Secondary beta took over, primary alpha is down: the service continues, and can survive no loss.",
    ),
    (
        "needs-recovery",
        "Secondary beta took over; alpha is back and not in sync yet: it needs recovery.",
    ),
    ("changing", "alpha and beta are changing roles."),
    (
        "waiting",
        "alpha started and does not see beta: nobody is primary until beta is back or an operator says so.",
    ),
    (
        "waiting",
        "beta started and does not see alpha: nobody is primary until alpha is back or an operator says so.",
    ),
    (
        "starting",
        "alpha has just started and does not know yet how the pair is.",
    ),
    (
        "starting",
        "beta has just started and does not know yet how the pair is.",
    ),
    (
        "no-primary",
        "alpha and beta see each other and nobody is primary: they are agreeing on one.",
    ),
];

/// Those of the appliances (requirement A7).
const CLASSIC: [&str; 5] = [
    "normal",
    "secondary-down",
    "primary-down",
    "took-over",
    "needs-recovery",
];

/// The sentence in a text: exactly one, or what is wrong.
fn sentence_in(text: &str) -> Result<(&'static str, &'static str), String> {
    let found: Vec<_> = SENTENCES
        .iter()
        .filter(|(_, sentence)| text.contains(sentence))
        .collect();
    match found.as_slice() {
        [one] => Ok(**one),
        others => Err(format!("{others:?} in {text}")),
    }
}

/// Who said which word and which sentence.
type Heard = (String, &'static str, &'static str);

/// Asks two machines again and again, and keeps what `status` and its JSON say; wrong is whatever says none, or two.
struct Listener {
    ends: Arc<AtomicBool>,
    heard: Arc<Mutex<Vec<Heard>>>,
    wrong: Arc<Mutex<Vec<String>>>,
    thread: Option<thread::JoinHandle<()>>,
}

impl Listener {
    fn new(machines: &[&Machine]) -> Self {
        let asked: Vec<(String, String)> = machines
            .iter()
            .map(|machine| (machine.name.clone(), machine.path("run/standfast.sock")))
            .collect();
        let (ends, heard, wrong): (Arc<AtomicBool>, _, _) =
            (Arc::default(), Arc::default(), Arc::default());
        let listener = Self {
            ends: Arc::clone(&ends),
            heard: Arc::clone(&heard),
            wrong: Arc::clone(&wrong),
            thread: None,
        };
        let thread = thread::spawn(move || {
            while !ends.load(Ordering::Relaxed) {
                for (name, socket) in &asked {
                    for json in [false, true] {
                        let mut words = vec!["--socket", socket.as_str(), "status"];
                        words.extend(json.then_some("--json"));
                        let said = machines::run(&words, "");
                        // Not while its agent is away, nor before it knows of the pair.
                        if said.out.is_empty() {
                            continue;
                        }
                        let judged = judge(&said.out, json).map(|(state, sentence)| {
                            let one = (name.clone(), state, sentence);
                            let mut heard = heard.lock().expect("heard");
                            if !heard.contains(&one) {
                                heard.push(one);
                            }
                        });
                        if let Err(text) = judged {
                            wrong.lock().expect("wrong").push(format!("{name}: {text}"));
                        }
                    }
                }
                thread::sleep(Duration::from_millis(50));
            }
        });
        Self {
            thread: Some(thread),
            ..listener
        }
    }

    fn end(&mut self) -> Vec<Heard> {
        self.ends.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            thread.join().expect("listener");
        }
        let wrong = self.wrong.lock().expect("wrong");
        assert!(wrong.is_empty(), "{}", wrong.join("\n"));
        self.heard.lock().expect("heard").clone()
    }
}

/// The text begins with it; in JSON word and sentence belong together.
fn judge(text: &str, json: bool) -> Result<(&'static str, &'static str), String> {
    if !json {
        return sentence_in(text.lines().next().unwrap_or_default());
    }
    let document: serde_json::Value =
        serde_json::from_str(text).map_err(|error| error.to_string())?;
    let of_pair = |key: &str| document.pointer(&format!("/pair/{key}"));
    let said = of_pair("sentence").and_then(serde_json::Value::as_str);
    let (state, sentence) = sentence_in(said.unwrap_or_default())?;
    if of_pair("state").and_then(serde_json::Value::as_str) != Some(state) || said != Some(sentence)
    {
        return Err(text.to_owned());
    }
    Ok((state, sentence))
}

fn boot(machine: &mut Machine, number: u32) {
    let id = format!("{}-{number}", machine.name);
    machine.environment = vec![("STANDFAST_BOOT_ID".to_owned(), id)];
    machine.start();
}

fn both_normal(machines: [&Machine; 2]) {
    for machine in machines {
        machine.wait_for_status("The pair runs normally");
    }
}

fn pair(test: &str, arbiter: &str, power: Option<&Power>) -> [Machine; 2] {
    let [mut alpha, mut beta] = ["alpha", "beta"].map(|name| Machine::new(test, name));
    let init = [
        "init",
        "--cluster",
        "demo",
        "--pair",
        "beta",
        "--arbiter",
        arbiter,
    ];
    alpha.set_up(&init, "").ok("init");
    boot(&mut alpha, 1);
    alpha.wait_for_status("The pair has one node so far");
    let token = alpha.ok(&["token"]);
    beta.set_up(&["join", "--token-file", "-"], &token)
        .ok("join");
    boot(&mut beta, 1);
    both_normal([&alpha, &beta]);
    if let Some(power) = power {
        power.note(&alpha);
        power.note(&beta);
    }
    configure(&alpha, &config([&alpha, &beta], arbiter, power));
    runs_on(&alpha, "alpha");
    both_normal([&alpha, &beta]);
    [alpha, beta]
}

fn configure(machine: &Machine, text: &str) {
    let file = machine.path("cluster.toml");
    fs::write(&file, text).expect("file");
    machine.ok(&["apply", &file]);
}

fn config(machines: [&Machine; 2], arbiter: &str, power: Option<&Power>) -> String {
    let mut text = String::from("[cluster]\nname = \"demo\"\nprofile = \"wan\"\n");
    for machine in machines {
        let (name, address) = (&machine.name, &machine.address);
        text.push_str(&format!("[nodes.{name}]\naddresses = [\"{address}\"]\n"));
    }
    text.push_str(&format!(
        "[pair]\narbiter = \"{arbiter}\"\nkeep_alive_ms = 500\nmisses = 4\ndowntime_ms = 4000\n"
    ));
    if let Some(power) = power {
        text.push_str("fence_delay_ms = 500\nfence_random_delay_ms = 0\nfence_retry_ms = 1000\n");
        for machine in machines {
            let name = &machine.name;
            text.push_str(&power.device(&format!("ipmi-{name}"), name, "board"));
            text.push_str(&format!(
                "nodes = [\"{name}\"]\ntimeout_ms = 15000\nretries = 0\n"
            ));
        }
    }
    text.push_str("[groups.site]\nmembers = [\"web\"]\n[resources.web]\nkind = \"process\"\ncommand = [\"/bin/sleep\", \"100000\"]\n");
    text
}

/// A program in front of the agent that makes each durable write of its take longer.
fn slow_disk() -> Vec<String> {
    let words = "strace -D -f --seccomp-bpf -qq -o /dev/null -e trace=fsync,fdatasync -e inject=fsync,fdatasync:delay_enter=600000";
    words.split(' ').map(str::to_owned).collect()
}

#[test]
fn each_classic_sentence_is_said_and_never_two_or_none() {
    let mut power = Power::new();
    for name in ["alpha", "beta"] {
        power.outlet(name, "board");
    }
    let [mut alpha, mut beta] = pair("sentences", "fence", Some(&power));
    let mut listener = Listener::new(&[&alpha, &beta]);
    let watch = Watch::new(&[&alpha, &beta]);

    beta.power_off();
    alpha.wait_for_status("Primary alpha is up, secondary beta is down: the service continues");
    boot(&mut beta, 2);
    power.note(&beta);
    both_normal([&alpha, &beta]);

    // The board of alpha is lost with its power, and confirms nothing.
    power.kill_board("alpha", "board");
    alpha.power_off();
    beta.wait_for_status("not failed over yet, until its power is confirmed off");
    beta.wait_for_status("not failed over yet, because fencing failed and releases nothing");
    beta.ok(&["fence", "confirm", "alpha", "--yes"]);
    beta.wait_for_status("Secondary beta took over, primary alpha is down");
    runs_on(&beta, "beta");

    // It is back, with a disk that takes its time.
    alpha.before = slow_disk();
    boot(&mut alpha, 2);
    let text = "Secondary beta took over; alpha is back and not in sync yet: it needs recovery.";
    beta.wait_for_status(text);
    both_normal([&alpha, &beta]);
    runs_on(&alpha, "beta");

    let heard = listener.end();
    for (by, state, sentence) in &heard {
        println!("{by}: {state}: {sentence}");
    }
    for classic in CLASSIC {
        assert!(
            heard.iter().any(|(_, state, _)| *state == classic),
            "{classic}: {heard:?}"
        );
    }
    assert_eq!(watch.most(), 1, "never on both");
}

#[test]
fn the_map_of_a_pair_is_proven_by_a_drill() {
    let mut power = Power::new();
    for name in ["alpha", "beta"] {
        power.outlet(name, "board");
    }
    let [alpha, mut beta] = pair("drill", "fence", Some(&power));
    let said = thread::scope(|scope| {
        let alpha = &alpha;
        let drill = scope.spawn(|| alpha.ask(&["fence", "test", "beta", "--cut", "--yes"]));
        beta.wait_for_end();
        boot(&mut beta, 2);
        power.note(&beta);
        drill.join().expect("the drill")
    });
    println!("{}", said.out);
    let history = alpha.ok(&["fence", "history"]);
    assert_eq!(said.code, 0, "{said:?}\n{history}");
    assert_eq!(power.switched("beta", "board"), "off on ", "{history}");
    both_normal([&alpha, &beta]);
    runs_on(&alpha, "alpha");
}

#[test]
fn who_is_forced_keeps_both_histories_until_an_operator_chooses() {
    let [mut alpha, mut beta] = pair("forced", "none", None);
    let config = |alpha: &Machine, beta: &Machine, value: u16| {
        let text = config([alpha, beta], "none", None);
        format!("{text}stop_timeout_ms = {value}\n")
    };

    // alpha is alone for a while, and does something that beta never hears of.
    beta.power_off();
    alpha.wait_for_status("Primary alpha is up, secondary beta is down: the service continues");
    configure(&alpha, &config(&alpha, &beta, 9001));
    runs_on(&alpha, "alpha");
    alpha.power_off();
    boot(&mut beta, 2);
    beta.wait_for_status(
        "beta started and does not see alpha: nobody is primary until alpha is back",
    );

    // Not by accident: neither without the word, nor where nobody can be asked.
    let said = beta.ask(&["pair", "force-primary", "--yes"]);
    assert_eq!(said.code, 2, "{said:?}");
    assert!(said.err.contains("--accept-data-loss"), "{said:?}");
    let said = beta.ask(&["pair", "force-primary", "--accept-data-loss"]);
    assert_eq!(said.code, 107, "{said:?}");
    for words in [
        "becomes primary with what it has (generation",
        "this node does not have is lost",
    ] {
        assert!(said.out.contains(words), "{words}: {said:?}");
    }
    beta.wait_for_status("nobody is primary");
    beta.ok(&["pair", "force-primary", "--accept-data-loss", "--yes"]);
    runs_on(&beta, "beta");
    configure(&beta, &config(&alpha, &beta, 9002));
    let history = beta.ok(&["history"]);
    assert!(
        history.contains("root@beta forced it: what alpha confirmed"),
        "{history}"
    );

    // Back, each says so, and nothing is thrown away.
    boot(&mut alpha, 2);
    let both = "alpha and beta each have writes that the other one lacks: choose one, and rebuild the other.";
    alpha.wait_for_status(both);
    beta.wait_for_status(both);
    runs_on(&beta, "beta");
    assert_eq!(alpha.services(), 0, "{}", alpha.status());
    let said = alpha.ask(&["pair", "promote"]);
    assert_ne!(said.code, 0, "{said:?}");
    let has = |machine: &Machine, value: &str| {
        let text = machine.ok(&["config", "show"]);
        assert!(text.contains(value), "{}: no {value}: {text}", machine.name);
    };
    has(&alpha, "stop_timeout_ms = 9001");
    has(&beta, "stop_timeout_ms = 9002");
    alpha.ok(&["pair", "rebuild"]);
    both_normal([&alpha, &beta]);
    has(&alpha, "stop_timeout_ms = 9002");
    let kept = fs::read_dir(alpha.state()).expect("state").flatten();
    let names: Vec<String> = kept
        .map(|entry| entry.file_name().to_string_lossy().into_owned())
        .collect();
    println!("kept: {names:?}");
    assert!(
        names.iter().any(|name| name.starts_with("state.redb.")),
        "{names:?}"
    );
}
