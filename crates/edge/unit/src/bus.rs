//! Asking systemd, over the system's bus: units, jobs with their results, and hearing of changes. Not for what follows.

use crate::facts::Facts;
use std::{collections::BTreeMap, fs, path::Path};
use zbus::{
    MatchRule, Message,
    blocking::{Connection, MessageIterator, connection::Builder},
    message::Type,
    zvariant::{DynamicType, OwnedObjectPath, OwnedValue, Value},
};

const SYSTEMD: &str = "org.freedesktop.systemd1";
const MANAGER_PATH: &str = "/org/freedesktop/systemd1";
const MANAGER: &str = "org.freedesktop.systemd1.Manager";
const UNIT: &str = "org.freedesktop.systemd1.Unit";
const SERVICE: &str = "org.freedesktop.systemd1.Service";
const PROPERTIES: &str = "org.freedesktop.DBus.Properties";
const ADDRESS: &str = "unix:path=/run/dbus/system_bus_socket";
/// Is there if, and only if, systemd is process 1.
const BOOTED: &str = "/run/systemd/system";
/// Units whose start is the start of another one.
const PULLS: [&str; 4] = ["WantedBy", "RequiredBy", "BoundBy", "UpheldBy"];

type Properties = BTreeMap<String, OwnedValue>;
/// What a list of units says of each: name, description, load, active and sub state, what it follows, path, job.
type Listed = (
    String,
    String,
    String,
    String,
    String,
    String,
    OwnedObjectPath,
    u32,
    String,
    OwnedObjectPath,
);

/// A connection to systemd.
#[derive(Debug)]
pub(crate) struct Bus(Connection);

impl Bus {
    pub(crate) fn connect() -> Result<Self, String> {
        if !Path::new(BOOTED).is_dir() {
            return Err("systemd is not process 1 of this machine".to_owned());
        }
        let connection = Builder::address(ADDRESS).and_then(Builder::build);
        let connection = connection.map_err(|error| {
            format!("systemd cannot be asked: the system's bus does not answer: {error}")
        })?;
        let bus = Self(connection);
        // Without it there are no signals.
        bus.ask("Subscribe", &())?;
        Ok(bus)
    }

    fn ask<B>(&self, method: &str, body: &B) -> Result<Message, String>
    where
        B: serde::Serialize + DynamicType,
    {
        let answer = (self.0).call_method(Some(SYSTEMD), MANAGER_PATH, Some(MANAGER), method, body);
        answer.map_err(|error| format!("systemd: {method}: {}", reason(&error)))
    }

    /// Where a unit is, loaded if need be. One that does not exist has a place too.
    pub(crate) fn load(&self, unit: &str) -> Result<OwnedObjectPath, String> {
        let answer = self.ask("LoadUnit", &(unit,))?;
        let path = answer.body().deserialize();
        path.map_err(|error| format!("systemd: LoadUnit: {error}"))
    }

    /// All that is to be known of a unit.
    pub(crate) fn facts(&self, unit: &OwnedObjectPath) -> Result<Facts, String> {
        let all = self.properties(unit, UNIT)?;
        // Of a unit that does not exist there is nothing else.
        let service = self.properties(unit, SERVICE).unwrap_or_default();
        let pulled = PULLS.iter().flat_map(|name| texts(&all, name));
        Ok(Facts {
            load: text(&all, "LoadState"),
            active: text(&all, "ActiveState"),
            sub: text(&all, "SubState"),
            file: text(&all, "UnitFileState"),
            triggers: texts(&all, "TriggeredBy"),
            pulled_by: pulled.collect(),
            result: text(&service, "Result"),
            kind: text(&service, "Type"),
            remains: flag(&service, "RemainAfterExit"),
            pam: text(&service, "PAMName"),
            bus_name: text(&service, "BusName"),
            slice: text(&service, "Slice"),
            restart: text(&service, "Restart"),
            group: text(&service, "ControlGroup"),
        })
    }

    fn properties(&self, unit: &OwnedObjectPath, of: &str) -> Result<Properties, String> {
        let answer = (self.0).call_method(Some(SYSTEMD), unit, Some(PROPERTIES), "GetAll", &(of,));
        let answer = answer.map_err(|error| format!("systemd: {}", reason(&error)))?;
        let properties = answer.body().deserialize();
        properties.map_err(|error| format!("systemd: {of}: {error}"))
    }

    /// Has systemd read its files again.
    pub(crate) fn reload(&self) -> Result<(), String> {
        self.ask("Reload", &()).map(drop)
    }

    /// Has a job done, and returns how it ended: `done`, `failed`, `timeout`, `canceled`, `dependency`, ...
    pub(crate) fn job(&self, method: &str, unit: &str, mode: &str) -> Result<String, String> {
        let rule = MatchRule::builder()
            .msg_type(Type::Signal)
            .interface(MANAGER)
            .and_then(|rule| rule.member("JobRemoved"))
            .map_err(|error| error.to_string())?
            .build();
        // Heard from before the job is there, so that no end is missed.
        let ends = MessageIterator::for_match_rule(rule, &self.0, None);
        let ends = ends.map_err(|error| format!("systemd: {}", reason(&error)))?;
        let job = self.ask(method, &(unit, mode))?;
        let job: OwnedObjectPath = job
            .body()
            .deserialize()
            .map_err(|error| error.to_string())?;
        for end in ends {
            let end = end.map_err(|error| format!("systemd: {}", reason(&error)))?;
            let body = end.body();
            let told: Result<(u32, OwnedObjectPath, String, String), _> = body.deserialize();
            if let Ok((_, ended, _, result)) = told
                && ended == job
            {
                return Ok(result);
            }
        }
        Err("systemd: the system's bus has ended".to_owned())
    }

    /// Forgets a failure. Nothing to forget is fine.
    pub(crate) fn reset(&self, unit: &str) {
        self.ask("ResetFailedUnit", &(unit,)).ok();
    }

    /// The loaded units whose names begin so.
    pub(crate) fn list(&self, begin: &str) -> Result<Vec<String>, String> {
        let none: [&str; 0] = [];
        let patterns = [format!("{begin}*")];
        let answer = self.ask(
            "ListUnitsByPatterns",
            &(none.as_slice(), patterns.as_slice()),
        )?;
        let body = answer.body();
        let listed: Vec<Listed> = body.deserialize().map_err(|error| error.to_string())?;
        Ok(listed.into_iter().map(|unit| unit.0).collect())
    }

    /// Tells of each change of a unit, until somebody has enough or the bus ends.
    pub(crate) fn watch(
        &self,
        unit: &OwnedObjectPath,
        mut on_change: impl FnMut() -> bool,
    ) -> Result<(), String> {
        let rule = MatchRule::builder()
            .msg_type(Type::Signal)
            .interface(PROPERTIES)
            .and_then(|rule| rule.path(unit.as_ref()))
            .map_err(|error| error.to_string())?
            .build();
        let changes = MessageIterator::for_match_rule(rule, &self.0, None);
        let changes = changes.map_err(|error| format!("systemd: {}", reason(&error)))?;
        // What changed before it was listened to.
        if !on_change() {
            return Ok(());
        }
        for change in changes {
            change.map_err(|error| format!("systemd: {}", reason(&error)))?;
            if !on_change() {
                return Ok(());
            }
        }
        Err("systemd: the system's bus has ended".to_owned())
    }
}

/// What systemd says, without the error's technical name.
fn reason(error: &zbus::Error) -> String {
    match error {
        zbus::Error::MethodError(_, Some(why), _) => why.clone(),
        other => other.to_string(),
    }
}

fn text(properties: &Properties, name: &str) -> String {
    let value = properties.get(name).map(|value| &**value);
    match value {
        Some(Value::Str(text)) => text.to_string(),
        _ => String::new(),
    }
}

fn flag(properties: &Properties, name: &str) -> bool {
    matches!(
        properties.get(name).map(|value| &**value),
        Some(Value::Bool(true))
    )
}

fn texts(properties: &Properties, name: &str) -> Vec<String> {
    match properties.get(name).map(|value| &**value) {
        Some(Value::Array(all)) => {
            let texts = all.iter().filter_map(|value| match value {
                Value::Str(text) => Some(text.to_string()),
                _ => None,
            });
            texts.collect()
        }
        _ => Vec::new(),
    }
}

/// Removes the empty folders of slices that systemd never knew, by what their names begin with.
pub(crate) fn remove_folders(slices: &Path, begin: &str, except: &str) {
    let Ok(entries) = fs::read_dir(slices) else {
        return;
    };
    for entry in entries.flatten() {
        let name = entry.file_name();
        let name = name.to_string_lossy();
        if name.starts_with(begin) && name != except {
            // One that is not empty stays.
            fs::remove_dir(entry.path()).ok();
        }
    }
}
