//! What a runner calls, one process each: `start`, `stop`, `status`; and `watch`, which `start` leaves running and which
//! ends when the unit does. Not for how long any of them may take.

use crate::{
    Order,
    bus::{Bus, remove_folders},
    dropin,
    examine::EXAMINE,
    facts::{Facts, judge},
    slices_of,
};
use std::{
    io::{self, BufRead as _, BufReader, Write as _},
    process::{Command, Stdio},
    thread,
    time::{Duration, Instant},
};

/// Another try on this machine would end the same (OCF and LSB: not installed).
const REFUSED: u8 = 5;
/// How `status` answers, as the status of a script would.
const FAILED: u8 = 1;
const NOT_RUNNING: u8 = 3;
/// A unit that is ending by itself has this long until it counts as ended.
const ENDS_WITHIN: Duration = Duration::from_secs(1);
/// Between two attempts to reach the bus.
const AGAIN: Duration = Duration::from_millis(200);
/// What `watch` says as soon as it listens.
const LISTENS: &str = "listens";

/// Does what the word says and returns the exit code. Why something failed is on the error output.
#[must_use]
pub fn run(order: &Order, word: &str) -> u8 {
    let done = match word {
        "start" => start(order),
        "stop" => stop(order).map(|()| 0),
        "status" => status(order),
        "watch" => watch(order).map(|()| 0),
        EXAMINE => judge_here(&order.unit).map(|()| 0),
        _ => Err(format!("{word}: no such action")),
    };
    done.unwrap_or_else(|why| {
        writeln!(io::stderr(), "{why}").ok();
        FAILED
    })
}

fn judge_here(unit: &str) -> Result<(), String> {
    let bus = Bus::connect()?;
    judge(unit, &bus.facts(&bus.load(unit)?)?)
}

fn start(order: &Order) -> Result<u8, String> {
    let bus = Bus::connect()?;
    let unit = bus.load(&order.unit)?;
    let before = bus.facts(&unit)?;
    let ours = slices_of(&order.resource);
    if let Err(why) = judge(&order.unit, &before) {
        writeln!(io::stderr(), "{why}").ok();
        return Ok(REFUSED);
    }
    if before.runs() && before.is_below(&ours) {
        bus.job("StopUnit", &order.unit, "ignore-dependencies")?;
    } else if before.runs() {
        let unit = &order.unit;
        return Err(format!(
            "{unit} runs already, outside of the cluster: systemctl disable --now {unit}"
        ));
    }
    dropin::write(order)?;
    bus.reload()?;
    // Of earlier runs that ended by force. From here on nothing is put into them any more.
    for slice in bus.list(&ours)? {
        if slice != order.slice {
            bus.job("StopUnit", &slice, "replace")?;
        }
    }
    remove_folders(&order.slices, &ours, &order.slice);
    let ready = bus.facts(&unit)?;
    if ready.slice != order.slice || ready.restart != "no" {
        return Err(format!(
            "{} cannot be put into {}: it says Slice={} and Restart={}; another drop-in wins over the cluster's",
            order.unit, order.slice, ready.slice, ready.restart
        ));
    }
    let result = bus.job("StartUnit", &order.unit, "replace")?;
    let now = bus.facts(&unit)?;
    if result != "done" || !now.runs() {
        return Err(format!("its start: {result}; it is {}", now.describe()));
    }
    if !now.is_below(&order.slice) {
        return Err(format!(
            "systemd has put it into {} instead of {}",
            now.group, order.slice
        ));
    }
    leave_watch(order)?;
    Ok(0)
}

/// Starts `watch` as a process of its own and returns when it listens.
fn leave_watch(order: &Order) -> Result<(), String> {
    let failed = |error: io::Error| format!("its end cannot be watched: {error}");
    // This very program, also when its file has been replaced; with the words that it was given, but for the last.
    let own = "/proc/self/exe";
    let mut words: Vec<_> = std::env::args_os().skip(1).collect();
    words.pop();
    let mut watch = Command::new(own);
    watch.args(words).arg("watch");
    let child = watch.stdin(Stdio::null()).stdout(Stdio::piped()).spawn();
    let mut child = child.map_err(failed)?;
    let mut line = String::new();
    if let Some(output) = child.stdout.take() {
        BufReader::new(output)
            .read_line(&mut line)
            .map_err(failed)?;
    }
    match line.trim() {
        LISTENS => Ok(()),
        _ => Err(format!("{} ended as soon as it had started", order.unit)),
    }
}

fn stop(order: &Order) -> Result<(), String> {
    let bus = Bus::connect()?;
    let unit = bus.load(&order.unit)?;
    let found = bus.facts(&unit)?;
    // What is not ours is not touched.
    if found.runs() && (found.is_below(&order.slice) || found.slice == order.slice) {
        // The order of the machine's shutdown waits for the agent, and so for this.
        let result = bus.job("StopUnit", &order.unit, "ignore-dependencies")?;
        let now = bus.facts(&unit)?;
        if now.runs() {
            return Err(format!("its stop: {result}; it is {}", now.describe()));
        }
    }
    if dropin::remove(order)? {
        bus.reset(&order.unit);
        bus.reload()?;
    }
    if bus.list(&order.slice)?.contains(&order.slice) {
        bus.job("StopUnit", &order.slice, "replace")?;
    }
    remove_folders(&order.slices, &order.slice, "");
    Ok(())
}

fn status(order: &Order) -> Result<u8, String> {
    let bus = Bus::connect()?;
    let facts = bus.facts(&bus.load(&order.unit)?)?;
    let code = code(order, &facts);
    if code != 0 {
        writeln!(io::stderr(), "{}", facts.describe()).ok();
    }
    Ok(code)
}

fn code(order: &Order, facts: &Facts) -> u8 {
    match facts.active.as_str() {
        "active" | "reloading" if facts.is_below(&order.slice) => 0,
        "inactive" => NOT_RUNNING,
        _ => FAILED,
    }
}

/// Until the unit is not active any more. A bus that is restarted is waited for.
fn watch(order: &Order) -> Result<(), String> {
    let mut told = false;
    loop {
        let ended = follow(order, &mut told);
        match ended {
            Ok(()) => return Ok(()),
            Err(why) if !told => return Err(why),
            Err(_) => thread::sleep(AGAIN),
        }
    }
}

fn follow(order: &Order, told: &mut bool) -> Result<(), String> {
    let bus = Bus::connect()?;
    let unit = bus.load(&order.unit)?;
    let (mut lost, mut ending) = (None, false);
    bus.watch(&unit, || {
        let facts = match bus.facts(&unit) {
            Ok(facts) => facts,
            Err(why) => {
                lost = Some(why);
                return false;
            }
        };
        if code(order, &facts) != 0 {
            ending = facts.runs();
            return false;
        }
        if !*told {
            *told = true;
            writeln!(io::stdout(), "{LISTENS}").ok();
        }
        true
    })?;
    if let Some(why) = lost {
        return Err(why);
    }
    // What it does after its main process has ended (ExecStopPost) is still under the lease.
    let until = Instant::now() + ENDS_WITHIN;
    while ending && Instant::now() < until {
        thread::sleep(Duration::from_millis(5));
        ending = bus.facts(&unit)?.runs();
    }
    Ok(())
}
