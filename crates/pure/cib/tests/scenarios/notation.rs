//! The compact notation of scenarios, made into a CIB: see README.md beside this file.
//!
//! Also read by the differential tests. Not for deciding anything: what a CIB means is the reader's and the scheduler's business.

#![allow(
    unreachable_pub,
    dead_code,
    reason = "a module of several test programs, which need not all use everything"
)]

use std::fmt::Write as _;

/// The time at which every scenario is decided: 2023-11-14 22:13:20 UTC, a Tuesday.
pub const NOW: i64 = 1_700_000_000;

/// A scenario as written: what comes before the expected part.
pub struct Scenario {
    /// First line.
    pub title: String,
    /// The cluster as a CIB.
    pub cib: String,
    /// Everything before the expected part.
    pub given: String,
}

/// Reads a scenario.
///
/// # Panics
///
/// If a line makes no sense.
#[must_use]
pub fn read(text: &str) -> Scenario {
    let given = text.split("\nActions\n").next().unwrap_or_default();
    let lines = given
        .lines()
        .filter(|line| line.starts_with("  ") && !line.trim().starts_with('#'));
    let mut making = Making::default();
    for line in lines {
        making.take(line.trim());
    }
    Scenario {
        title: given.lines().next().unwrap_or_default().to_owned(),
        cib: making.cib(),
        given: given.trim_end().to_owned(),
    }
}

/// Words of a line, and its settings.
struct Line<'l> {
    words: Vec<&'l str>,
    settings: Vec<(&'l str, &'l str)>,
}

impl<'l> Line<'l> {
    fn of(text: &'l str) -> Self {
        let (mut words, mut settings) = (Vec::new(), Vec::new());
        for token in text.split_whitespace() {
            match token.split_once('=') {
                Some(setting) => settings.push(setting),
                None => words.push(token),
            }
        }
        Self { words, settings }
    }

    fn word(&self, at: usize) -> &'l str {
        self.words.get(at).copied().unwrap_or_default()
    }

    fn has(&self, word: &str) -> bool {
        self.words.contains(&word)
    }

    /// The word behind another one.
    fn behind(&self, word: &str) -> &'l str {
        let at = self.words.iter().position(|known| *known == word);
        let at = at.unwrap_or_else(|| panic!("'{word}' is missing in {:?}", self.words));
        self.word(at + 1)
    }

    fn setting(&self, name: &str) -> Option<&'l str> {
        let found = self.settings.iter().find(|(known, _)| *known == name);
        found.map(|(_, value)| *value)
    }

    /// The settings as XML attributes.
    fn attributes(&self) -> String {
        let written = |(name, value): &(&str, &str)| format!(" {name}=\"{value}\"");
        self.settings.iter().map(written).collect()
    }
}

#[derive(Default)]
struct Node {
    name: String,
    /// How it is: `online`, `offline`, `unclean`, `pending`, `leaving` or `unseen`.
    mood: String,
    attributes: Vec<(String, String)>,
    capacity: Vec<(String, String)>,
    transient: Vec<(String, String)>,
    /// Resources with their results.
    history: Vec<(String, Vec<String>)>,
    /// Resources that nobody has looked for here.
    unknown: Vec<String>,
}

#[derive(Default)]
struct Making {
    number: usize,
    quorum: bool,
    options: Vec<(String, String)>,
    defaults: Vec<(String, String)>,
    nodes: Vec<Node>,
    /// Names and texts of resources, in their order; what is in another one is taken out.
    resources: Vec<(String, String)>,
    /// Names of primitives, with whether they are fence devices.
    primitives: Vec<(String, bool)>,
    constraints: String,
}

impl Making {
    fn id(&mut self) -> String {
        self.number += 1;
        format!("x{}", self.number)
    }

    fn take(&mut self, text: &str) {
        let line = Line::of(text);
        match line.word(0) {
            "option" => self.options.extend(owned(&line.settings)),
            "default" => self.defaults.extend(owned(&line.settings)),
            "node" => self.node(&line),
            "primitive" | "template" | "device" => self.primitive(&line),
            "group" => self.group(&line),
            "clone" => self.clone(&line),
            "location" => self.location(text, &line),
            "colocate" => self.colocate(&line),
            "order" => self.order(&line),
            "colocate-set" | "order-set" | "location-set" => self.sets(text),
            "running" | "promoted" | "failed" | "unknown" | "starting" | "migrating" | "score"
            | "stopped" => self.status(&line),
            "without" if line.has("quorum") => self.quorum = true,
            other => panic!("no such line: {other} in '{text}'"),
        }
    }

    fn node(&mut self, line: &Line<'_>) {
        let mood = line.words.get(2).copied().unwrap_or("online");
        let (capacity, attributes) = owned(&line.settings)
            .into_iter()
            .partition(|(name, _)| name.starts_with("has-"));
        self.nodes.push(Node {
            name: line.word(1).to_owned(),
            mood: mood.to_owned(),
            attributes,
            capacity,
            ..Node::default()
        });
    }

    /// A block of names and values; nothing if there are none.
    fn block(&mut self, kind: &str, values: &[(String, String)]) -> String {
        if values.is_empty() {
            return String::new();
        }
        let mut text = format!("<{kind} id=\"{}\">", self.id());
        for (name, value) in values {
            let id = self.id();
            write!(
                text,
                "<nvpair id=\"{id}\" name=\"{name}\" value=\"{value}\"/>"
            )
            .ok();
        }
        text + &format!("</{kind}>")
    }

    fn primitive(&mut self, line: &Line<'_>) {
        let (name, device) = (line.word(1), line.word(0) == "device");
        let mut head = format!("id=\"{name}\"");
        head.push_str(&match (device, line.setting("template")) {
            (true, _) => " class=\"stonith\" type=\"fence_dummy\"".to_owned(),
            (_, Some(template)) => format!(" template=\"{template}\""),
            _ => " class=\"ocf\" provider=\"heartbeat\" type=\"Dummy\"".to_owned(),
        });
        let (mut meta, mut needs, mut operations) = (Vec::new(), Vec::new(), String::new());
        let settings = line.settings.iter().filter(|(key, _)| *key != "template");
        for (key, value) in settings {
            let value = (*value).to_owned();
            match (key.strip_prefix("needs-"), key.split_once('.')) {
                (Some(need), _) => needs.push((need.to_owned(), value)),
                (None, Some((task, what))) => {
                    operations.push_str(&self.operation(task, what, &value));
                }
                (None, None) => meta.push(((*key).to_owned(), value)),
            }
        }
        if !operations.contains("monitor") && line.setting("template").is_none() {
            let id = self.id();
            let text = format!("<op id=\"{id}\" name=\"monitor\" interval=\"10s\"/>");
            operations.push_str(&text);
        }
        let meta = self.block("meta_attributes", &meta);
        let needs = self.block("utilization", &needs);
        if !operations.is_empty() {
            operations = format!("<operations>{operations}</operations>");
        }
        let kind = if line.word(0) == "template" {
            "template"
        } else {
            self.primitives.push((name.to_owned(), device));
            "primitive"
        };
        let text = format!("<{kind} {head}>{meta}{operations}{needs}</{kind}>");
        self.resources.push((name.to_owned(), text));
    }

    fn operation(&mut self, task: &str, what: &str, value: &str) -> String {
        let interval = if task == "monitor" { "10s" } else { "0" };
        let id = self.id();
        format!("<op id=\"{id}\" name=\"{task}\" interval=\"{interval}\" {what}=\"{value}\"/>")
    }

    /// The text of a resource, which is in another one from now on.
    fn take_out(&mut self, name: &str) -> String {
        let at = self.resources.iter().position(|(known, _)| known == name);
        let at = at.unwrap_or_else(|| panic!("{name} comes after what it is in"));
        self.resources.remove(at).1
    }

    fn group(&mut self, line: &Line<'_>) {
        let members: String = line.words[2..]
            .iter()
            .map(|name| self.take_out(name))
            .collect();
        let meta = self.block("meta_attributes", &owned(&line.settings));
        let name = line.word(1);
        let text = format!("<group id=\"{name}\">{meta}{members}</group>");
        self.resources.push((name.to_owned(), text));
    }

    fn clone(&mut self, line: &Line<'_>) {
        let inner = self.take_out(line.behind("of"));
        let meta = self.block("meta_attributes", &owned(&line.settings));
        let name = line.word(1);
        let text = format!("<clone id=\"{name}\">{meta}{inner}</clone>");
        self.resources.push((name.to_owned(), text));
    }

    fn location(&mut self, text: &str, line: &Line<'_>) {
        let id = name_of(line, || format!("{}-{}", line.word(1), line.word(2)));
        let (rsc, extra) = (line.word(1), attributes_but_id(line));
        let rule = ["where", "when"]
            .iter()
            .find_map(|word| text.split_once(&format!(" {word} ")));
        let Some((_, expression)) = rule else {
            let (node, score) = (line.word(2), line.word(3));
            write!(
                self.constraints,
                "<rsc_location id=\"{id}\" rsc=\"{rsc}\" node=\"{node}\" score=\"{score}\"{extra}/>"
            )
            .ok();
            return;
        };
        let id = name_of(line, || format!("{rsc}-rule"));
        let score = line.word(2);
        let score = match score.strip_prefix('#') {
            Some(attribute) => format!("score-attribute=\"{attribute}\""),
            None => format!("score=\"{score}\""),
        };
        let role = line.setting("role").map(|role| format!(" role=\"{role}\""));
        let role = role.unwrap_or_default();
        let rule = self.rule(expression);
        write!(
            self.constraints,
            "<rsc_location id=\"{id}\" rsc=\"{rsc}\"><rule id=\"{id}-r\" {score}{role}{rule}</rule></rsc_location>"
        )
        .ok();
    }

    /// What is in a rule, behind its first attributes.
    fn rule(&mut self, expression: &str) -> String {
        let glue = if expression.contains(" or ") {
            "or"
        } else {
            "and"
        };
        let mut text = format!(" boolean-op=\"{glue}\">");
        for part in expression.split(&format!(" {glue} ")) {
            let (id, words) = (self.id(), Line::of(part));
            if let Some((from, to)) = part.trim().split_once("..") {
                let operation = match (from.is_empty(), to.is_empty()) {
                    (false, false) => format!("\"in_range\" start=\"{from}\" end=\"{to}\""),
                    (false, true) => format!("\"gt\" start=\"{from}\""),
                    _ => format!("\"lt\" end=\"{to}\""),
                };
                write!(text, "<date_expression id=\"{id}\" operation={operation}/>").ok();
            } else if words.words.is_empty() {
                let spec = words.attributes();
                write!(text, "<date_expression id=\"{id}\" operation=\"date_spec\"><date_spec id=\"{id}-s\"{spec}/></date_expression>").ok();
            } else if ["defined", "not_defined"].contains(&words.word(0)) {
                let (operation, attribute) = (words.word(0), words.word(1));
                write!(
                    text,
                    "<expression id=\"{id}\" attribute=\"{attribute}\" operation=\"{operation}\"/>"
                )
                .ok();
            } else {
                let (attribute, operation) = (words.word(0), words.word(1));
                let value = words.word(2);
                let kind = words.setting("type");
                let kind = kind.map_or(String::new(), |kind| format!(" type=\"{kind}\""));
                write!(text, "<expression id=\"{id}\" attribute=\"{attribute}\" operation=\"{operation}\" value=\"{value}\"{kind}/>").ok();
            }
        }
        text
    }

    fn colocate(&mut self, line: &Line<'_>) {
        let (one, other) = (end(line.word(1)), end(line.behind("with")));
        let id = name_of(line, || format!("{}-with-{}", one.0, other.0));
        let roles = attribute("rsc-role", one.1) + &attribute("with-rsc-role", other.1);
        let (score, extra) = (line.word(4), attributes_but_id(line));
        let ends = format!("rsc=\"{}\" with-rsc=\"{}\"", one.0, other.0);
        write!(
            self.constraints,
            "<rsc_colocation id=\"{id}\" {ends} score=\"{score}\"{roles}{extra}/>"
        )
        .ok();
    }

    fn order(&mut self, line: &Line<'_>) {
        let (first, then) = (end(line.word(1)), end(line.behind("then")));
        let id = name_of(line, || format!("{}-then-{}", first.0, then.0));
        let tasks = attribute("first-action", first.1) + &attribute("then-action", then.1);
        let extra = attributes_but_id(line);
        let ends = format!("first=\"{}\" then=\"{}\"", first.0, then.0);
        write!(
            self.constraints,
            "<rsc_order id=\"{id}\" {ends}{tasks}{extra}/>"
        )
        .ok();
    }

    fn sets(&mut self, text: &str) {
        let (head, rest) = text.split_once('{').unwrap_or((text, ""));
        let line = Line::of(head);
        let id = name_of(&line, || "set".to_owned());
        let extra = attributes_but_id(&line);
        let (kind, own) = match line.word(0) {
            "colocate-set" => ("rsc_colocation", format!(" score=\"{}\"", line.word(1))),
            "order-set" => ("rsc_order", String::new()),
            _ => {
                let (node, score) = (line.word(1), line.word(2));
                let own = format!(" node=\"{node}\" score=\"{score}\"");
                ("rsc_location", own)
            }
        };
        let mut sets = String::new();
        for set in rest.split('{') {
            let line = Line::of(set.split('}').next().unwrap_or_default());
            let (id, extra) = (self.id(), line.attributes());
            let members = line.words.iter();
            let members = members.map(|name| format!("<resource_ref id=\"{name}\"/>"));
            let members: String = members.collect();
            write!(
                sets,
                "<resource_set id=\"{id}\"{extra}>{members}</resource_set>"
            )
            .ok();
        }
        let text = format!("<{kind} id=\"{id}\"{own}{extra}>{sets}</{kind}>");
        self.constraints.push_str(&text);
    }

    fn status(&mut self, line: &Line<'_>) {
        let rsc = line.word(1);
        match line.word(0) {
            "running" => {
                let result = result(rsc, &Outcome::of("start", 10));
                self.record(rsc, line.behind("on"), result);
            }
            "stopped" => {
                let result = result(rsc, &Outcome::of("stop", 10));
                self.record(rsc, line.behind("on"), result);
            }
            "promoted" => {
                let result = result(rsc, &Outcome::of("promote", 10));
                self.record(rsc, line.behind("on"), result);
            }
            "starting" => {
                let pending = Outcome {
                    rc: "193",
                    status: "-1",
                    ..Outcome::of("start", -1)
                };
                self.record(rsc, line.behind("on"), result(rsc, &pending));
            }
            "migrating" => self.migrating(line),
            "unknown" => {
                let node = self.there(line.behind("on"));
                node.unknown.push(rsc.to_owned());
            }
            "score" => {
                let (node, score) = (line.behind("on"), line.behind("is"));
                let value = (format!("master-{rsc}"), score.to_owned());
                self.there(node).transient.push(value);
            }
            _ => self.failed(line),
        }
    }

    fn migrating(&mut self, line: &Line<'_>) {
        let (rsc, from, to) = (line.word(1), line.behind("from"), line.behind("to"));
        let ends = format!(" migrate_source=\"{from}\" migrate_target=\"{to}\"");
        let sent = Outcome {
            extra: &ends,
            suffix: "migrate_to_0",
            ..Outcome::of("migrate_to", 12)
        };
        self.record(rsc, from, result(rsc, &sent));
    }

    /// `failed RESOURCE TASK on NODE [rc=N] [count=N] [ago=SECONDS]`
    fn failed(&mut self, line: &Line<'_>) {
        let (rsc, task, node) = (line.word(1), line.word(2), line.behind("on"));
        let interval = if task == "monitor" { "10000" } else { "0" };
        let (task, interval) = match task {
            "probe" => ("monitor", "0"),
            other => (other, interval),
        };
        let ago: i64 = line.setting("ago").map_or(50, |ago| ago.parse().unwrap());
        let when = (NOW - ago).to_string();
        if let Some(count) = line.setting("count") {
            let key = format!("{rsc}#{task}_{interval}");
            let there = self.there(node);
            there
                .transient
                .push((format!("fail-count-{key}"), count.to_owned()));
            there
                .transient
                .push((format!("last-failure-{key}"), when.clone()));
        }
        let failure = Outcome {
            rc: line.setting("rc").unwrap_or("1"),
            expected: if line.word(2) == "probe" { "7" } else { "0" },
            suffix: "last_failure_0",
            interval,
            when: &when,
            ..Outcome::of(task, 12)
        };
        self.record(rsc, node, result(rsc, &failure));
    }

    fn there(&mut self, name: &str) -> &mut Node {
        let found = self.nodes.iter_mut().find(|node| node.name == name);
        found.unwrap_or_else(|| panic!("there is no node {name}"))
    }

    fn record(&mut self, rsc: &str, node: &str, result: String) {
        let history = &mut self.there(node).history;
        match history.iter_mut().find(|(known, _)| known == rsc) {
            Some((_, results)) => results.push(result),
            None => history.push((rsc.to_owned(), vec![result])),
        }
    }

    fn cib(&mut self) -> String {
        let fences = self.primitives.iter().any(|(_, device)| *device);
        let given = |name: &str| self.options.iter().any(|(known, _)| known == name);
        if !fences && !given("stonith-enabled") {
            let off = ("stonith-enabled".to_owned(), "false".to_owned());
            self.options.push(off);
        }
        let options = self.options.clone();
        let options = self.block("cluster_property_set", &options);
        let defaults = self.defaults.clone();
        let defaults = self.block("meta_attributes", &defaults);
        let nodes = std::mem::take(&mut self.nodes);
        let (mut members, mut states) = (String::new(), String::new());
        for (number, node) in nodes.iter().enumerate() {
            let head = format!("id=\"{}\" uname=\"{}\"", number + 1, node.name);
            let own = self.block("instance_attributes", &node.attributes);
            let capacity = node.capacity.iter();
            let capacity: Vec<_> = capacity
                .map(|(name, value)| (name["has-".len()..].to_owned(), value.clone()))
                .collect();
            let capacity = self.block("utilization", &capacity);
            writeln!(members, "<node {head}>{own}{capacity}</node>").ok();
            states.push_str(&self.state(&head, node));
        }
        let resources = self.resources.iter();
        let resources: String = resources.map(|(_, text)| format!("{text}\n")).collect();
        let quorum = i32::from(!self.quorum);
        let constraints = self.constraints.replace("/><rsc", "/>\n<rsc");
        format!(
            "<cib crm_feature_set=\"3.16.1\" validate-with=\"pacemaker-3.7\" epoch=\"1\" num_updates=\"0\" admin_epoch=\"0\" \
have-quorum=\"{quorum}\" dc-uuid=\"1\"><configuration><crm_config>{options}</crm_config>\n<nodes>{members}</nodes>\n\
<resources>{resources}</resources>\n<constraints>{constraints}</constraints>\n<rsc_defaults>{defaults}</rsc_defaults>\n\
</configuration>\n<status>{states}</status></cib>\n"
        )
    }

    fn state(&mut self, head: &str, node: &Node) -> String {
        let (ccm, crmd, join, expected) = match node.mood.as_str() {
            "online" => ("true", "online", "member", "member"),
            "offline" => ("false", "offline", "down", "down"),
            "unclean" => ("false", "offline", "down", "member"),
            "pending" => ("true", "online", "pending", "member"),
            "leaving" => ("true", "online", "member", "down"),
            "unseen" => return String::new(),
            other => panic!("no such state of a node: {other}"),
        };
        let mut values = node.transient.clone();
        if node.mood == "leaving" {
            values.push(("shutdown".to_owned(), (NOW - 1).to_string()));
        }
        let transient = self.block("instance_attributes", &values);
        let mut entries = String::new();
        for (name, device) in &self.primitives {
            let of = |rsc: &str| rsc == name || rsc.rsplit_once(':').is_some_and(|r| r.0 == name);
            let known = node.history.iter().filter(|(rsc, _)| of(rsc));
            let known: Vec<_> = known.collect();
            for (rsc, results) in &known {
                entries.push_str(&entry(rsc, *device, &results.concat()));
            }
            if known.is_empty() && !node.unknown.contains(name) && node.mood == "online" {
                let absent = Outcome {
                    rc: "7",
                    expected: "7",
                    ..Outcome::of("monitor", 3)
                };
                entries.push_str(&entry(name, *device, &result(name, &absent)));
            }
        }
        for (rsc, results) in &node.history {
            let base = rsc.rsplit_once(':').map_or(rsc.as_str(), |r| r.0);
            if !self.primitives.iter().any(|(name, _)| name == base) {
                entries.push_str(&entry(rsc, false, &results.concat()));
            }
        }
        format!(
            "<node_state {head} in_ccm=\"{ccm}\" crmd=\"{crmd}\" join=\"{join}\" expected=\"{expected}\">\
<transient_attributes>{transient}</transient_attributes><lrm><lrm_resources>{entries}</lrm_resources></lrm></node_state>\n"
        )
    }
}

fn owned(settings: &[(&str, &str)]) -> Vec<(String, String)> {
    let settings = settings.iter();
    settings
        .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
        .collect()
}

fn name_of(line: &Line<'_>, otherwise: impl Fn() -> String) -> String {
    line.setting("id").map_or_else(otherwise, str::to_owned)
}

fn attributes_but_id(line: &Line<'_>) -> String {
    let settings = line.settings.iter().filter(|(name, _)| *name != "id");
    settings
        .map(|(name, value)| format!(" {name}=\"{value}\""))
        .collect()
}

/// `RESOURCE` or `RESOURCE:ROLE`.
fn end(text: &str) -> (&str, Option<&str>) {
    match text.split_once(':') {
        Some((name, what)) => (name, Some(what)),
        None => (text, None),
    }
}

fn attribute(name: &str, value: Option<&str>) -> String {
    value.map_or(String::new(), |value| format!(" {name}=\"{value}\""))
}

/// The sum of no parameters at all; without it everything would be taken for changed.
const NO_PARAMETERS: &str = "f2317cad3d54cec5d7d7aa7d0bf35cf8";

/// A result, as a node records it.
struct Outcome<'o> {
    task: &'o str,
    suffix: &'o str,
    interval: &'o str,
    call: i32,
    rc: &'o str,
    expected: &'o str,
    status: &'o str,
    when: &'o str,
    extra: &'o str,
}

impl<'o> Outcome<'o> {
    fn of(task: &'o str, call: i32) -> Self {
        Self {
            task,
            suffix: "last_0",
            interval: "0",
            call,
            rc: "0",
            expected: "0",
            status: "0",
            when: "1699999000",
            extra: "",
        }
    }
}

fn result(rsc: &str, outcome: &Outcome<'_>) -> String {
    let Outcome {
        task,
        suffix,
        interval,
        call,
        rc,
        expected,
        status,
        when,
        extra,
    } = outcome;
    let sum = match suffix {
        &"last_failure_0" => String::new(),
        _ => format!(" op-digest=\"{NO_PARAMETERS}\""),
    };
    let key = format!("1:1:{expected}:11111111-2222-3333-4444-555555555555");
    format!(
        "<lrm_rsc_op id=\"{rsc}_{suffix}\" operation_key=\"{rsc}_{task}_{interval}\" operation=\"{task}\" \
crm_feature_set=\"3.16.1\" transition-key=\"{key}\" transition-magic=\"{status};{rc}:{key}\" call-id=\"{call}\" \
rc-code=\"{rc}\" op-status=\"{status}\" interval=\"{interval}\" last-rc-change=\"{when}\"{sum}{extra}/>"
    )
}

fn entry(rsc: &str, device: bool, results: &str) -> String {
    let agent = if device {
        "class=\"stonith\" type=\"fence_dummy\""
    } else {
        "class=\"ocf\" provider=\"heartbeat\" type=\"Dummy\""
    };
    format!("<lrm_resource id=\"{rsc}\" {agent}>{results}</lrm_resource>")
}
