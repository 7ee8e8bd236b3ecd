//! The reference: `crm_simulate` on the same text at the same time.

use std::{
    path::PathBuf,
    process::Command,
    sync::atomic::{AtomicU64, Ordering},
};

/// A resource that is active on a node.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Row {
    /// Resource, without the number of the instance.
    pub resource: String,
    /// Number of the instance, if it has a name of its own.
    pub instance: Option<usize>,
    /// Node.
    pub node: String,
    /// Role.
    pub role: String,
}

/// What is there in the end.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Answer {
    /// What is active where.
    pub rows: Vec<Row>,
    /// Which nodes were fenced.
    pub fenced: Vec<String>,
}

static COUNT: AtomicU64 = AtomicU64::new(0);

/// Whether the reference is installed.
#[must_use]
pub fn is_there() -> bool {
    Command::new("crm_simulate")
        .arg("--version")
        .output()
        .is_ok()
}

/// The reference's answer.
///
/// # Errors
///
/// If it does not take the text.
pub fn ask(text: &str, at: i64) -> Result<Answer, String> {
    ask_with(text, at, &[])
}

/// The reference's answer, with failures that it is to imagine: options of its own.
///
/// # Errors
///
/// If it does not take the text.
pub fn ask_with(text: &str, at: i64, options: &[String]) -> Result<Answer, String> {
    let number = COUNT.fetch_add(1, Ordering::Relaxed);
    let name = format!("standfast-differential-{}-{number}.xml", std::process::id());
    let file: PathBuf = std::env::temp_dir().join(name);
    std::fs::write(&file, text).map_err(|error| error.to_string())?;
    let output = Command::new("crm_simulate")
        .arg("-x")
        .arg(&file)
        .args(["-S", "--output-as=xml", "-t"])
        .arg(date(at))
        .args(options)
        .env("TZ", "UTC")
        .output();
    std::fs::remove_file(&file).ok();
    let output = output.map_err(|error| error.to_string())?;
    let answer = String::from_utf8_lossy(&output.stdout);
    if !output.status.success() {
        let why = String::from_utf8_lossy(&output.stderr);
        return Err(why.lines().next_back().unwrap_or("refused").to_owned());
    }
    read(&answer)
}

/// A time as the reference reads it.
fn date(at: i64) -> String {
    let (mut days, clock) = (at.div_euclid(86_400), at.rem_euclid(86_400));
    let leap = |year: i64| year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    let mut year = 1970;
    while days >= 365 + i64::from(leap(year)) {
        days -= 365 + i64::from(leap(year));
        year += 1;
    }
    let (hour, minute, second) = (clock / 3600, clock / 60 % 60, clock % 60);
    format!("{year}-{:03} {hour:02}:{minute:02}:{second:02}Z", days + 1)
}

fn read(answer: &str) -> Result<Answer, String> {
    let document = roxmltree::Document::parse(answer).map_err(|error| error.to_string())?;
    let mut all = document.descendants();
    let revised = all.find(|node| node.has_tag_name("revised_cluster_status"));
    let revised = revised.ok_or("no revised status")?;
    let mut found = Answer::default();
    for action in document
        .descendants()
        .filter(|node| node.has_tag_name("fencing_action"))
    {
        if action.attribute("op") != Some("on") {
            found
                .fenced
                .extend(action.attribute("target").map(str::to_owned));
        }
    }
    found.fenced.sort();
    found.fenced.dedup();
    for resource in revised
        .descendants()
        .filter(|node| node.has_tag_name("resource"))
    {
        let id = resource.attribute("id").unwrap_or_default();
        let (name, instance) = match id.rsplit_once(':') {
            Some((name, number)) if number.parse::<usize>().is_ok() => (name, number.parse().ok()),
            _ => (id, None),
        };
        for node in resource.children().filter(|node| node.has_tag_name("node")) {
            found.rows.push(Row {
                resource: name.to_owned(),
                instance,
                node: node.attribute("name").unwrap_or_default().to_owned(),
                role: resource.attribute("role").unwrap_or_default().to_owned(),
            });
        }
    }
    Ok(found)
}
