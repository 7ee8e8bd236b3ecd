//! Settings of resources of kind `ocf`: a resource agent in the place of a command.
//!
//! What an agent's name says about it is judged here. Whether it is installed, and whether the parameters fit it, only
//! a machine that has it can know: the crate `ocf` asks there.

use crate::{
    mistake::{Mistake, Report},
    monitors, parameters,
    process::DAY_MS,
    references::Found as Names,
    section::{Found, Section},
};
use std::net::IpAddr;

use standfast_model::{
    agent::{Effects, effects, parts, silenced},
    config::{AgentConfig, CheckConfig, CheckKind, ProcessConfig},
    time::Micros,
};

/// What the values of secret parameters are called in the agent's environment.
pub(crate) const PREFIX: &str = "OCF_RESKEY_";
/// Providers are many, but an agent that is given without one is nearly always this one's.
const USUAL: &str = "ocf:heartbeat:";
/// What makes an agent safe that no keeper ends.
const FENCED: &str =
    "requires = \"fencing\" beside it, with a fence device for every node that may run it";

/// What the administrator promises of an agent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Promise {
    /// All that it does ends with its processes.
    Processes,
    /// All that it does ends with its machine's power.
    Machine,
}

/// `needs_fencing`: the resource says so.
pub(crate) fn read(
    table: &mut Section<'_>,
    report: &mut Report<'_>,
    needs_fencing: bool,
    names: &mut Names,
) -> ProcessConfig {
    let agent = table.required_string(report, "agent");
    let words = [
        ("processes", Promise::Processes),
        ("machine", Promise::Machine),
    ];
    let promise = table.choice(report, "effects", &words);
    let mut config = AgentConfig::default();
    let mut files = parameters::Values::new();
    if let Some(section) = table.section(report, "parameters") {
        (config.parameters, files) = parameters::read(&section, report, &wrong_name);
    }
    if let Some(agent) = agent {
        config.outlives = outlives(&agent.value, promise);
        let address = silenced(&agent.value, &config.parameters);
        if let Some(Ok(ip)) = &address {
            config.address = Some(*ip);
            let path = agent.path.replace(".agent", ".parameters.ip");
            let prefix = if ip.is_ipv4() { 32 } else { 128 };
            let whole = format!("{ip}/{prefix}");
            names.vip_addresses.push((whole, path, agent.at.clone()));
        }
        judge(&agent, (promise, needs_fencing), address.as_ref(), report);
        config.name = agent.value;
    }
    let mut process = ProcessConfig {
        // What outlives its processes is the machine's, not theirs.
        private_pids: !config.outlives,
        ..under_runner()
    };
    process.secret_environment = files
        .into_iter()
        .map(|(name, file)| (format!("{PREFIX}{name}"), file))
        .collect();
    if let Some(found) = table.millis(report, "promoted_monitor_interval_ms", 100..=DAY_MS) {
        config.promoted_interval = Some(found.value);
    }
    read_times(table, report, &mut process);
    let usual = process
        .health
        .as_ref()
        .map_or(Micros::ZERO, |health| health.timeout);
    config.monitors = monitors::read(table, report, usual);
    process.agent = Some(Box::new(config));
    process
}

/// A process whose first program is a runner.
pub(crate) fn under_runner() -> ProcessConfig {
    ProcessConfig {
        start_timeout: Micros::from_millis(60_000),
        stop_timeout: Micros::from_millis(60_000),
        stop_signal: 15,
        // What leaves the control group (by a session of its own) dies with the namespace all the same.
        private_pids: true,
        ..ProcessConfig::default()
    }
}

/// How long each action may take, and how often it is asked: the same for agents and scripts.
pub(crate) fn read_times(
    table: &mut Section<'_>,
    report: &mut Report<'_>,
    process: &mut ProcessConfig,
) {
    read_limits(table, report, process);
    let mut health = CheckConfig {
        probe: CheckKind::Agent,
        interval: Micros::from_millis(10_000),
        timeout: Micros::from_millis(30_000),
        failures: 1,
    };
    if let Some(found) = table.millis(report, "monitor_interval_ms", 100..=DAY_MS) {
        health.interval = found.value;
    }
    if let Some(found) = table.millis(report, "monitor_timeout_ms", 1..=DAY_MS) {
        health.timeout = found.value;
    }
    if let Some(found) = table.integer(report, "monitor_failures", 1..=1000) {
        health.failures = u32::try_from(found.value).unwrap_or(health.failures);
    }
    process.readiness = Some(CheckConfig {
        interval: Micros::from_millis(50),
        // It waits for the end of the start.
        timeout: process.start_timeout,
        failures: 1,
        ..health.clone()
    });
    process.health = Some(health);
}

/// How long a start and a stop may take.
pub(crate) fn read_limits(
    table: &mut Section<'_>,
    report: &mut Report<'_>,
    process: &mut ProcessConfig,
) {
    if let Some(found) = table.millis(report, "start_timeout_ms", 1..=DAY_MS) {
        process.start_timeout = found.value;
    }
    if let Some(found) = table.millis(report, "stop_timeout_ms", 1..=DAY_MS) {
        process.stop_timeout = found.value;
    }
}

/// Whether what an agent does goes on when its processes are killed.
fn outlives(name: &str, promise: Option<Promise>) -> bool {
    match effects(name) {
        Effects::Processes => false,
        Effects::Outlive(_) => true,
        Effects::Unknown => promise == Some(Promise::Machine),
    }
}

fn judge(
    agent: &Found<String>,
    (promise, needs_fencing): (Option<Promise>, bool),
    address: Option<&Result<IpAddr, String>>,
    report: &mut Report<'_>,
) {
    let name = agent.value.as_str();
    let mistake = |problem: String| Mistake::new(&agent.path, problem);
    let found = if parts(name).is_none() {
        let mut mistake = mistake(format!("\"{name}\" is no resource agent"))
            .allowed("\"ocf:PROVIDER:TYPE\", such as \"ocf:heartbeat:nginx\"");
        let bare = name.rsplit(':').next().unwrap_or(name);
        let whole = format!("{USUAL}{bare}");
        mistake.nearest = parts(&whole).is_some().then_some(whole);
        mistake
    } else {
        match (effects(name), promise) {
            (Effects::Processes, _) | (Effects::Unknown, Some(Promise::Processes)) => return,
            (Effects::Outlive(left), _) if left.fenced && needs_fencing => return,
            (Effects::Outlive(_), _) if matches!(address, Some(Ok(_))) => return,
            (Effects::Unknown, Some(Promise::Machine)) if needs_fencing => return,
            (Effects::Unknown, Some(Promise::Machine)) => {
                let problem = format!(
                    "what {name} does is not ended by killing its processes, so two nodes could have it at once"
                );
                mistake(problem).allowed(FENCED)
            }
            (Effects::Unknown, None) => {
                let problem = format!(
                    "it is not known whether everything that {name} does ends with its processes; a lease is ended by \
                     killing them"
                );
                mistake(problem).allowed(
                    "an agent of the list in the guide, or effects = \"processes\" beside it, which promises it",
                )
            }
            (Effects::Outlive(left), _) => {
                let guard = match address {
                    Some(Err(why)) => format!(", and the address guard cannot silence them: {why}"),
                    _ => String::new(),
                };
                let problem = format!(
                    "{name} cannot be ended by killing its processes: {}{guard}, so two nodes could have it at once",
                    left.what
                );
                let instead = left.instead;
                mistake(problem).allowed(if left.fenced {
                    format!("{FENCED}; or {instead}")
                } else {
                    instead.to_owned()
                })
            }
        }
    };
    report.mistake(agent.at.clone(), found);
}

/// Names end up as names of variables.
fn wrong_name(name: &Found<String>) -> Option<Mistake> {
    let text = name.value.as_str();
    let letter = |c: char| c.is_ascii_alphanumeric() || c == '_';
    if text.is_empty() || text.len() > 64 || !text.chars().all(letter) {
        let mistake = Mistake::new(&name.path, "is no name of a parameter");
        return Some(mistake.allowed("1 to 64 letters, digits and _"));
    }
    let meta = text.starts_with("CRM_meta_") || text == "crm_feature_set";
    meta.then(|| {
        Mistake::new(
            &name.path,
            "cannot be given: the cluster says it to the agent",
        )
    })
}

#[cfg(test)]
mod tests {
    use crate::parse;
    use standfast_model::{
        config::{CheckKind, DeepMonitor, ProcessConfig, ResourceKind},
        time::Micros,
    };

    fn text(keys: &str) -> String {
        format!(
            "[cluster]\nname = \"demo\"\n[nodes.alpha]\naddresses = [\"10.0.0.1:7400\"]\n\
             [resources.web]\nkind = \"ocf\"\n{keys}\n"
        )
    }

    fn read(keys: &str) -> ProcessConfig {
        let (config, _) = parse(&text(keys), "x").expect("no mistakes");
        assert_eq!(config.level(), 4, "older programs would start nothing");
        match config
            .resources
            .values()
            .next()
            .map(|found| found.kind.clone())
        {
            Some(ResourceKind::Process(process)) => process,
            other => panic!("{other:?}"),
        }
    }

    fn mistakes(keys: &str) -> Vec<String> {
        let found = parse(&text(keys), "x").expect_err("a mistake");
        found.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn an_agent_is_a_process_without_a_command() {
        let process = read(
            "agent = \"ocf:heartbeat:nginx\"\nmonitor_interval_ms = 5000\nstart_timeout_ms = 40000\n\
             parameters = { configfile = \"/etc/a\", port = 80, monitor_password = { secret_file = \"/etc/p\" } }",
        );
        let agent = process.agent.expect("an agent");
        assert_eq!(agent.name, "ocf:heartbeat:nginx");
        assert_eq!(agent.parameters.get("port").map(String::as_str), Some("80"));
        assert_eq!(agent.parameters.len(), 2);
        let file = process
            .secret_environment
            .get("OCF_RESKEY_monitor_password");
        assert_eq!(file.map(String::as_str), Some("/etc/p"));
        assert!(process.command.is_empty() && process.private_pids);
        let (ready, health) = (
            process.readiness.expect("one"),
            process.health.expect("one"),
        );
        assert_eq!(
            (ready.probe, ready.timeout),
            (CheckKind::Agent, Micros::from_millis(40_000))
        );
        assert_eq!(
            (health.probe, health.interval),
            (CheckKind::Agent, Micros::from_millis(5000))
        );
    }

    #[test]
    fn what_outlives_its_processes_is_refused_whatever_is_promised() {
        let promised = "agent = \"ocf:heartbeat:IPaddr\"\neffects = \"processes\"";
        assert_eq!(
            mistakes(promised),
            [
                "x:7:9: resources.web.agent: ocf:heartbeat:IPaddr cannot be ended by killing its processes: \
              addresses stay on the interface, so two nodes could have it at once; \
              allowed: requires = \"fencing\" beside it, with a fence device for every node that may run it; \
              or kind = \"vip\" holds addresses and takes them away in time"
            ]
        );
        // What goes on without power is not ended by cutting it.
        for name in ["VirtualDomain", "sg_persist", "Route", "ocivip", "CTDB"] {
            let keys = format!("agent = \"ocf:heartbeat:{name}\"\nrequires = \"fencing\"");
            let found = mistakes(&keys);
            assert!(found[0].contains("cannot be ended by killing"), "{found:?}");
            assert!(!found[0].contains("requires"), "{found:?}");
        }
    }

    #[test]
    fn what_the_machines_power_ends_is_allowed_with_fencing() {
        for name in [
            "Filesystem",
            "LVM-activate",
            "exportfs",
            "nfsserver",
            "IPaddr",
            "IPaddr2",
        ] {
            let keys = format!("agent = \"ocf:heartbeat:{name}\"");
            let found = mistakes(&keys);
            assert!(
                found[0].contains("requires = \"fencing\" beside it"),
                "{found:?}"
            );
            let process = read(&format!("{keys}\nrequires = \"fencing\""));
            assert!(process.outlives() && !process.private_pids, "{name}");
        }
        let ours = "agent = \"ocf:ours:disk\"\neffects = \"machine\"";
        let found = mistakes(ours);
        assert!(
            found[0].contains("what ocf:ours:disk does is not ended"),
            "{found:?}"
        );
        assert!(read(&format!("{ours}\nrequires = \"fencing\"")).outlives());
        // Nobody's promise makes it less than it is.
        let keys = "agent = \"ocf:heartbeat:nginx\"\neffects = \"machine\"";
        assert!(!read(keys).outlives());
    }

    #[test]
    fn an_address_that_a_guard_silences_needs_no_fencing() {
        let agent = "agent = \"ocf:heartbeat:IPaddr2\"";
        let process = read(&format!(
            "{agent}\nparameters = {{ ip = \"10.0.0.100\", cidr_netmask = 24, nic = \"eth0\" }}"
        ));
        assert_eq!(process.silenced_address(), "10.0.0.100".parse().ok());
        assert!(process.outlives() && !process.private_pids);
        let cluster = "parameters = { ip = \"10.0.0.100\", clusterip_hash = \"sourceip\" }";
        assert_eq!(
            mistakes(&format!("{agent}\n{cluster}")),
            [
                "x:7:9: resources.web.agent: ocf:heartbeat:IPaddr2 cannot be ended by killing its processes: \
              addresses stay on the interface, and the address guard cannot silence them: clusterip_hash is given, and several nodes \
              have the address at once then, so two nodes could have it at once; \
              allowed: requires = \"fencing\" beside it, with a fence device for every node that may run it; \
              or kind = \"vip\" holds addresses and takes them away in time"
            ]
        );
        let fenced = read(&format!("{agent}\n{cluster}\nrequires = \"fencing\""));
        assert_eq!(fenced.silenced_address(), None);
        // Guarding the address of a node would silence the node.
        let of_node = format!("{agent}\nparameters = {{ ip = \"10.0.0.1\" }}");
        let found = mistakes(&of_node);
        assert!(
            found[0].contains(
                "resources.web.parameters.ip: 10.0.0.1 is taken already by nodes.alpha.addresses"
            ),
            "{found:?}"
        );
        let twice = format!(
            "{agent}\nparameters = {{ ip = \"10.0.0.100\" }}\n[resources.ip]\nkind = \"vip\"\naddresses = [\"10.0.0.100/24\"]"
        );
        assert!(mistakes(&twice)[0].contains("is taken already"));
    }

    #[test]
    fn monitors_of_a_depth_have_times_of_their_own() {
        let agent = "agent = \"ocf:heartbeat:nginx\"\nmonitor_timeout_ms = 7000";
        let deep = "monitors = [{ depth = 10, interval_ms = 60000 }, \
                    { depth = 30, interval_ms = 600000, timeout_ms = 90000, failures = 2 }]";
        let process = read(&format!("{agent}\n{deep}"));
        let monitors = process.agent.expect("an agent").monitors;
        let ms = Micros::from_millis;
        let expected = [
            (10, ms(60_000), ms(7000), 1),
            (30, ms(600_000), ms(90_000), 2),
        ];
        let expected = expected.map(|(depth, interval, timeout, failures)| DeepMonitor {
            depth,
            interval,
            timeout,
            failures,
        });
        assert_eq!(monitors, expected);
    }

    #[test]
    fn an_agent_that_nobody_knows_needs_a_promise() {
        let unknown = "agent = \"ocf:ours:billing\"";
        assert!(mistakes(unknown)[0].contains("effects = \"processes\" beside it"));
        read(&format!("{unknown}\neffects = \"processes\""));
        let wrong = mistakes(&format!("{unknown}\neffects = \"none\""));
        assert!(
            wrong.len() == 2 && wrong[1].contains("unknown effects"),
            "{wrong:?}"
        );
    }

    #[test]
    fn mistakes_say_what_is_allowed() {
        assert_eq!(
            mistakes("agent = \"nginx\""),
            [
                "x:7:9: resources.web.agent: \"nginx\" is no resource agent; \
              allowed: \"ocf:PROVIDER:TYPE\", such as \"ocf:heartbeat:nginx\"; \
              did you mean \"ocf:heartbeat:nginx\"?"
            ]
        );
        assert_eq!(mistakes(""), ["x:5:1: resources.web.agent: is missing"]);
        let keys = "agent = \"ocf:heartbeat:nginx\"\nparameters = { a-b = 1, passwd = \"x\", CRM_meta_x = 1 }";
        assert_eq!(mistakes(keys).len(), 3, "{:?}", mistakes(keys));
        let keys = "agent = \"ocf:heartbeat:nginx\"\ncommand = [\"/bin/x\"]";
        assert!(mistakes(keys)[0].contains("resources.web.command: unknown key"));
    }
}
