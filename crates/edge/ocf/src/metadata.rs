//! What an agent says of itself: the XML that it prints for `meta-data`. Not for judging settings against it.

use crate::find::find;
use rustix::{
    event::{PollFd, PollFlags, Timespec, poll},
    io::Errno,
    process::{Pid, Signal, kill_process_group},
};
use std::{
    collections::BTreeSet,
    os::{fd::OwnedFd, unix::process::CommandExt as _},
    path::Path,
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

/// Printing a text takes no longer, on any machine that works.
const TIMEOUT: Duration = Duration::from_secs(20);
/// The longest that is read; real ones have some ten KiB.
const LONGEST: usize = 256 * 1024;
/// More elements than any has.
const MAX_NODES: u32 = 20_000;

/// An agent's parameters and actions.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Metadata {
    /// The version of OCF that it says it follows; 0.0 where it says none.
    pub version: (u32, u32),
    /// Its parameters, deprecated ones included.
    pub parameters: Vec<Parameter>,
    /// Actions that it knows, with the time in milliseconds that it recommends for each.
    pub actions: Vec<(String, Option<u64>)>,
}

/// One parameter.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Parameter {
    /// Its name.
    pub name: String,
    /// What it accepts.
    pub kind: Kind,
    /// It has to be given.
    pub required: bool,
    /// No two resources may give it the same value.
    pub unique: bool,
    /// The agent can take over another value while its resource runs.
    pub reloadable: bool,
    /// What holds when it is not given.
    pub default: Option<String>,
    /// It is not to be used any more.
    pub deprecated: bool,
    /// What it means, in a few words.
    pub text: String,
}

/// What a parameter accepts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Kind {
    /// Any text.
    Text,
    /// A whole number.
    Integer,
    /// Yes or no.
    Boolean,
    /// One of these.
    Choice(Vec<String>),
}

impl Metadata {
    /// Reads the XML.
    ///
    /// # Errors
    /// What is wrong with it, as a sentence.
    pub fn parse(xml: &str) -> Result<Self, String> {
        let options = roxmltree::ParsingOptions {
            // Most agents name a document type; what it says is not read.
            allow_dtd: true,
            nodes_limit: MAX_NODES,
            ..roxmltree::ParsingOptions::default()
        };
        let document = roxmltree::Document::parse_with_options(xml.trim_start(), options)
            .map_err(|error| error.to_string())?;
        let root = document.root_element();
        let outermost = root.tag_name().name();
        if outermost != "resource-agent" {
            return Err(format!(
                "its outermost element is <{outermost}>, not <resource-agent>"
            ));
        }
        let elements = |name: &'static str| {
            root.descendants()
                .filter(move |node| node.has_tag_name(name))
        };
        let actions = elements("action").filter_map(|node| {
            let timeout = node.attribute("timeout").and_then(milliseconds);
            Some((node.attribute("name")?.to_owned(), timeout))
        });
        let version = root
            .children()
            .find(|node| node.has_tag_name("version"))
            .and_then(|node| node.text());
        Ok(Self {
            version: version.and_then(numbers).unwrap_or_default(),
            parameters: elements("parameter").filter_map(parameter).collect(),
            actions: actions.collect(),
        })
    }

    /// The parameter of this name.
    #[must_use]
    pub fn find(&self, name: &str) -> Option<&Parameter> {
        self.parameters.iter().find(|found| found.name == name)
    }

    /// Parameters that it can take over while its resource runs, by its action `reload-agent`. Only OCF 1.1 knows that: what older
    /// agents have as `reload` has the service read its own files again.
    #[must_use]
    pub fn reloadable(&self) -> BTreeSet<String> {
        let has_action = self.actions.iter().any(|(name, _)| name == "reload-agent");
        if !has_action || self.version < (1, 1) {
            return BTreeSet::new();
        }
        let parameters = self.parameters.iter().filter(|p| p.reloadable);
        parameters.map(|p| p.name.clone()).collect()
    }

    /// The time in milliseconds that it recommends for an action.
    #[must_use]
    pub fn timeout(&self, action: &str) -> Option<u64> {
        let mut actions = self.actions.iter();
        actions.find(|(name, _)| name == action)?.1
    }
}

fn parameter(node: roxmltree::Node<'_, '_>) -> Option<Parameter> {
    let child = |name: &str| node.children().find(|child| child.has_tag_name(name));
    let content = child("content");
    let is_set = |name: &str| matches!(node.attribute(name), Some("1" | "true"));
    let attribute = |name: &str| content.and_then(|content| content.attribute(name));
    let kind = match attribute("type").unwrap_or("string") {
        "integer" => Kind::Integer,
        "boolean" => Kind::Boolean,
        "select" => Kind::Choice(options(content)),
        _ => Kind::Text,
    };
    Some(Parameter {
        name: node.attribute("name")?.to_owned(),
        kind,
        required: is_set("required"),
        unique: is_set("unique"),
        reloadable: is_set("reloadable"),
        default: attribute("default")
            .filter(|default| !default.is_empty())
            .map(str::to_owned),
        deprecated: is_set("deprecated") || child("deprecated").is_some(),
        text: child("shortdesc")
            .and_then(|found| found.text())
            .unwrap_or_default()
            .trim()
            .to_owned(),
    })
}

fn options(content: Option<roxmltree::Node<'_, '_>>) -> Vec<String> {
    let children = content.iter().flat_map(roxmltree::Node::children);
    children
        .filter_map(|option| option.attribute("value"))
        .map(str::to_owned)
        .collect()
}

/// `1.1`.
fn numbers(version: &str) -> Option<(u32, u32)> {
    let version = version.trim();
    let (major, minor) = version.split_once('.').unwrap_or((version, "0"));
    Some((major.parse().ok()?, minor.parse().ok()?))
}

/// `40`, `40s`, `1m`, `500ms`; without a unit it is seconds.
fn milliseconds(text: &str) -> Option<u64> {
    let text = text.trim();
    let end = text
        .find(|c: char| !c.is_ascii_digit())
        .unwrap_or(text.len());
    let (number, unit) = text.split_at(end);
    let factor = match unit.trim() {
        "" | "s" | "sec" => 1000,
        "ms" | "msec" => 1,
        "m" | "min" => 60_000,
        "h" | "hr" => 3_600_000,
        _ => return None,
    };
    number.parse::<u64>().ok()?.checked_mul(factor)
}

/// What an agent of this machine says of itself.
///
/// # Errors
/// It is not installed here, or does not say it; as a sentence.
pub fn metadata(root: &Path, name: &str) -> Result<Metadata, String> {
    let program = find(root, name)?;
    let wrong = |what: String| format!("{name} describes no parameters: {what}");
    let mut child = Command::new(&program)
        .arg("meta-data")
        .env_clear()
        .env(
            "PATH",
            "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
        )
        .env("OCF_ROOT", root)
        .env("OCF_RESOURCE_INSTANCE", "meta-data")
        .current_dir("/")
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .process_group(0)
        .spawn()
        .map_err(|error| wrong(error.to_string()))?;
    let read = read_all(&mut child, Instant::now() + TIMEOUT);
    // Whoever it left behind goes too.
    let _gone = kill_process_group(Pid::from_child(&child), Signal::KILL);
    drop(child.kill());
    drop(child.wait());
    let text = read.map_err(wrong)?;
    Metadata::parse(&String::from_utf8_lossy(&text)).map_err(wrong)
}

/// Its output, once it has ended with success.
fn read_all(child: &mut Child, until: Instant) -> Result<Vec<u8>, String> {
    let pipe = child.stdout.take().map(OwnedFd::from);
    let pipe = pipe.ok_or("it has no output")?;
    rustix::io::ioctl_fionbio(&pipe, true).map_err(|error| error.to_string())?;
    let mut text = Vec::new();
    let mut open = true;
    loop {
        open = open && read_some(&pipe, &mut text)?;
        match child.try_wait().map_err(|error| error.to_string())? {
            Some(status) if status.success() => {
                read_some(&pipe, &mut text)?;
                return Ok(text);
            }
            Some(status) => return Err(status.to_string()),
            None if Instant::now() >= until => return Err("it does not end".to_owned()),
            None => {}
        }
        let look = Timespec {
            tv_sec: 0,
            tv_nsec: 10_000_000,
        };
        if open {
            // Interrupted or not: it is looked at again.
            let _ready = poll(&mut [PollFd::new(&pipe, PollFlags::IN)], Some(&look));
        } else {
            std::thread::sleep(Duration::from_millis(2));
        }
    }
}

/// What there is; false when nothing more can come.
fn read_some(pipe: &OwnedFd, text: &mut Vec<u8>) -> Result<bool, String> {
    let mut buffer = [0_u8; 4096];
    loop {
        match rustix::io::read(pipe, &mut buffer) {
            Ok(0) => return Ok(false),
            Ok(length) => text.extend_from_slice(buffer.get(..length).unwrap_or_default()),
            Err(Errno::INTR) => {}
            Err(Errno::AGAIN) => return Ok(true),
            Err(error) => return Err(error.to_string()),
        }
        if text.len() > LONGEST {
            return Err(format!("it prints more than {LONGEST} bytes"));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const XML: &str = r#"<?xml version="1.0"?>
<!DOCTYPE resource-agent SYSTEM "ra-api-1.dtd">
<resource-agent name="x" version="1.0"><parameters>
 <parameter name="file" unique="1" required="1"><shortdesc lang="en"> Its file </shortdesc><content type="string"/></parameter>
 <parameter name="port"><content type="integer" default="80"/></parameter>
 <parameter name="old" deprecated="1"><content type="boolean"/></parameter>
 <parameter name="mode"><content type="select"><option value="a"/><option value="b"/></content></parameter>
</parameters><actions>
 <action name="start" timeout="40s"/><action name="monitor" timeout="1m" interval="10s"/><action name="stop"/>
</actions></resource-agent>"#;

    #[test]
    fn parameters_and_actions_are_read() {
        let found = Metadata::parse(XML).unwrap();
        let file = found.find("file").unwrap();
        assert!(file.unique && file.required && file.text == "Its file");
        assert_eq!(found.find("port").unwrap().kind, Kind::Integer);
        assert!(found.find("old").unwrap().deprecated);
        let choices = vec!["a".to_owned(), "b".to_owned()];
        assert_eq!(found.find("mode").unwrap().kind, Kind::Choice(choices));
        assert_eq!(found.timeout("start"), Some(40_000));
        assert_eq!(found.timeout("monitor"), Some(60_000));
        assert_eq!(found.timeout("stop"), None);
    }

    #[test]
    fn only_agents_of_ocf_1_1_with_the_action_can_take_parameters_over() {
        let said = |version: &str, action: &str| {
            let xml = format!(
                r#"<resource-agent name="x">{version}<parameters>
 <parameter name="a" reloadable="1"/><parameter name="b" reloadable="0"/><parameter name="c" unique="0"/>
</parameters><actions><action name="{action}"/></actions></resource-agent>"#
            );
            let names = Metadata::parse(&xml).unwrap().reloadable();
            names.into_iter().collect::<Vec<_>>().join(" ")
        };
        for version in ["1.1", " 1.2 ", "2", "1.10"] {
            let text = format!("<version>{version}</version>");
            assert_eq!(said(&text, "reload-agent"), "a", "{version}");
            assert_eq!(said(&text, "reload"), "", "{version}");
        }
        for text in ["<version>1.0</version>", "", "<version>new</version>"] {
            assert_eq!(said(text, "reload-agent"), "", "{text}");
        }
    }

    #[test]
    fn what_is_no_metadata_is_refused_with_a_reason() {
        assert!(Metadata::parse("usage: x").is_err());
        assert!(Metadata::parse("<html/>").unwrap_err().contains("html"));
        let bomb = "<!DOCTYPE r [<!ENTITY a \"aaaaaaaaaa\"><!ENTITY b \"&a;&a;&a;&a;&a;&a;&a;&a;&a;&a;\">\
            <!ENTITY c \"&b;&b;&b;&b;&b;&b;&b;&b;&b;&b;\"><!ENTITY d \"&c;&c;&c;&c;&c;&c;&c;&c;&c;&c;\">\
            <!ENTITY e \"&d;&d;&d;&d;&d;&d;&d;&d;&d;&d;\"><!ENTITY f \"&e;&e;&e;&e;&e;&e;&e;&e;&e;&e;\">\
            <!ENTITY g \"&f;&f;&f;&f;&f;&f;&f;&f;&f;&f;\">]><resource-agent>&g;</resource-agent>";
        assert!(Metadata::parse(bomb).is_err(), "entities grow without end");
    }
}
