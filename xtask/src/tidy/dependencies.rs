//! Who may depend on whom: bin to edge to pure to model, and what pure crates may pull in at all.
//! Read from `cargo metadata`: what is linked in, so neither dependencies of tests nor what only runs
//! while building. Licences are cargo-deny's.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::path::Path;
use std::process::Command;

use serde::Deserialize;

use super::Finding;

/// Third-party crates that pure crates may link. An addition needs a look for clocks, files, sockets,
/// threads and randomness. `allocator-api2` and `foldhash` are features of `hashbrown` that the terminal
/// view switches on; nothing pure uses a hash map. `slog` is how raft is told to log; it gets a logger that drops everything.
const PURE: &[&str] = &[
    "allocator-api2",
    "anyhow",
    "bytes",
    "equivalent",
    "erased-serde",
    "foldhash",
    "hashbrown",
    "indexmap",
    "itoa",
    "memchr",
    "ppv-lite86",
    "prost",
    "rand_chacha",
    "rand_core",
    "roxmltree",
    "serde",
    "serde_core",
    "serde_json",
    "serde_spanned",
    "slog",
    "strsim",
    "thiserror",
    "toml",
    "toml_datetime",
    "toml_parser",
    "toml_writer",
    "winnow",
    "zerocopy",
    "zmij",
];

/// What raft brings along and nothing else may reach. Looked at: `rand` and `getrandom` draw its
/// election timeouts, which `crates/pure/consensus` overwrites from the seed after every call.
const RAFT: &[&str] = &[
    "byteorder",
    "cfg-if",
    "fxhash",
    "getrandom",
    "lazy_static",
    "libc",
    "protobuf",
    "raft-proto",
    "rand",
];

/// Features that only a test crate switches on: the model checker draws random numbers. What decides gets its
/// numbers from a seed, and is built without them.
const SWITCHED_ON: (&str, &str) = ("rand_core", "getrandom");

/// The one edge that may use others: keepers are started by it, and what it has keepers start.
const EDGE_TO_EDGE: &[(&str, &str)] = &[
    ("standfast-process", "standfast-guard"),
    ("standfast-process", "standfast-ocf"),
    ("standfast-process", "standfast-unit"),
];

/// Where a package of the workspace belongs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Layer {
    Model,
    Pure,
    Edge,
    Bin,
    Test,
    Xtask,
}

/// A package with what it needs outside of tests.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Package {
    name: String,
    /// `None` for a third-party package.
    layer: Option<Layer>,
    needs: BTreeSet<String>,
}

/// All packages that are compiled for Linux, by id.
pub(crate) type Packages = BTreeMap<String, Package>;

#[derive(Deserialize)]
struct Metadata {
    packages: Vec<MetadataPackage>,
    resolve: Resolve,
}

#[derive(Deserialize)]
struct MetadataPackage {
    id: String,
    name: String,
    manifest_path: String,
    source: Option<String>,
    targets: Vec<Target>,
}

impl MetadataPackage {
    fn is_macro(&self) -> bool {
        self.targets
            .iter()
            .any(|target| target.kind.iter().any(|kind| kind == "proc-macro"))
    }
}

#[derive(Deserialize)]
struct Target {
    kind: Vec<String>,
}

#[derive(Deserialize)]
struct Resolve {
    nodes: Vec<Node>,
}

#[derive(Deserialize)]
struct Node {
    id: String,
    deps: Vec<NodeDependency>,
}

#[derive(Deserialize)]
struct NodeDependency {
    pkg: String,
    dep_kinds: Vec<DependencyKind>,
}

#[derive(Deserialize)]
struct DependencyKind {
    kind: Option<String>,
}

/// Asks cargo.
pub(crate) fn read(root: &Path) -> io::Result<Packages> {
    let output = Command::new("cargo")
        .args(["metadata", "--format-version", "1", "--locked", "--offline"])
        .args(["--filter-platform", "x86_64-unknown-linux-gnu"])
        .current_dir(root)
        .output()?;
    if !output.status.success() {
        return Err(io::Error::other(String::from_utf8_lossy(&output.stderr)));
    }
    let metadata: Metadata = serde_json::from_slice(&output.stdout)?;
    Ok(packages(metadata))
}

fn packages(metadata: Metadata) -> Packages {
    let macros: BTreeSet<&str> = metadata
        .packages
        .iter()
        .filter(|package| package.is_macro())
        .map(|package| package.id.as_str())
        .collect();
    let mut needs: BTreeMap<&str, BTreeSet<String>> = BTreeMap::new();
    for node in &metadata.resolve.nodes {
        let linked = node.deps.iter().filter(|dependency| {
            let kinds = &dependency.dep_kinds;
            kinds.iter().any(|kind| kind.kind.is_none()) && !macros.contains(&*dependency.pkg)
        });
        let linked = linked.map(|dependency| dependency.pkg.clone());
        needs.insert(&node.id, linked.collect());
    }
    let known = metadata.packages.iter().filter_map(|package| {
        let needs = needs.remove(package.id.as_str())?;
        let ours = package.source.is_none();
        let layer = ours.then(|| layer(&package.name, &package.manifest_path));
        let name = package.name.clone();
        Some((package.id.clone(), Package { name, layer, needs }))
    });
    known.collect()
}

fn layer(name: &str, manifest: &str) -> Layer {
    match name {
        "standfast-model" => Layer::Model,
        "xtask" => Layer::Xtask,
        _ if manifest.contains("/crates/pure/") => Layer::Pure,
        _ if manifest.contains("/crates/edge/") => Layer::Edge,
        _ if manifest.contains("/crates/test/") => Layer::Test,
        _ => Layer::Bin,
    }
}

/// Third-party packages that pure crates reach and that nobody has looked at.
pub(crate) fn impure(packages: &Packages) -> Vec<Finding> {
    impure_beyond(packages, PURE, RAFT)
}

fn impure_beyond(packages: &Packages, pure: &[&str], raft: &[&str]) -> Vec<Finding> {
    let mut found = Vec::new();
    for (id, package) in packages {
        let allowed: &[&[&str]] = match package.layer {
            Some(Layer::Model | Layer::Pure) => &[pure],
            None if package.name == "raft" => &[pure, raft],
            _ => continue,
        };
        let strangers: BTreeSet<&str> = closure(packages, id)
            .into_iter()
            .filter(|reached| reached.layer.is_none() && reached.name != "raft")
            .map(|reached| reached.name.as_str())
            .filter(|name| !allowed.iter().any(|list| list.contains(name)))
            .collect();
        for name in strangers {
            let what = format!("reaches {name}, which is not on the list for what decides");
            found.push(Finding::new(&package.name, what));
        }
    }
    found
}

/// Everything linked with `start`; what raft links is judged by itself.
fn closure<'a>(packages: &'a Packages, start: &'a str) -> Vec<&'a Package> {
    let mut seen = BTreeSet::new();
    let mut reached = Vec::new();
    let mut open = vec![start];
    while let Some(id) = open.pop() {
        let Some(package) = packages.get(id).filter(|_| seen.insert(id)) else {
            continue;
        };
        reached.push(package);
        if package.name != "raft" || id == start {
            let linked = package.needs.iter().filter(|need| {
                let needed = packages.get(*need).map(|needed| needed.name.as_str());
                needed.is_none_or(|needed| (package.name.as_str(), needed) != SWITCHED_ON)
            });
            open.extend(linked.map(String::as_str));
        }
    }
    reached
}

/// Direct dependencies between our packages that point the wrong way.
pub(crate) fn against_direction(packages: &Packages) -> Vec<Finding> {
    let mut found = Vec::new();
    for package in packages.values() {
        let Some(from) = package.layer else { continue };
        for needed in package.needs.iter().filter_map(|id| packages.get(id)) {
            let Some(to) = needed.layer else { continue };
            let named = (package.name.as_str(), needed.name.as_str());
            if !may_need(from, to) && !EDGE_TO_EDGE.contains(&named) {
                let what = format!("{from:?} depends on {} ({to:?})", needed.name);
                found.push(Finding::new(&package.name, what));
            }
        }
    }
    found
}

fn may_need(from: Layer, to: Layer) -> bool {
    match from {
        Layer::Model => false,
        // What tests and checks share: whether the machine was calm.
        Layer::Xtask => to == Layer::Test,
        Layer::Pure => matches!(to, Layer::Model | Layer::Pure),
        Layer::Edge => to == Layer::Model,
        Layer::Bin => matches!(to, Layer::Model | Layer::Pure | Layer::Edge),
        Layer::Test => matches!(to, Layer::Model | Layer::Pure | Layer::Edge | Layer::Test),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn package(name: &str, layer: Option<Layer>, needs: &[&str]) -> (String, Package) {
        let needs = needs.iter().map(|&need| need.to_owned()).collect();
        (
            name.to_owned(),
            Package {
                name: name.to_owned(),
                layer,
                needs,
            },
        )
    }

    #[test]
    fn a_stranger_deep_in_a_pure_closure_is_found() {
        let packages = Packages::from([
            package("core", Some(Layer::Pure), &["serde"]),
            package("storage", Some(Layer::Edge), &["rustix"]),
            package("serde", None, &["clock"]),
            package("clock", None, &[]),
            package("rustix", None, &[]),
        ]);
        let found = impure_beyond(&packages, &["serde"], &[]);
        assert_eq!(found.len(), 1, "{found:?}");
        assert!(found[0].what.contains("clock"), "{found:?}");
        assert_eq!(impure_beyond(&packages, &["serde", "clock"], &[]), []);
    }

    #[test]
    fn what_raft_brings_along_is_for_raft_only() {
        let mut packages = Packages::from([
            package("consensus", Some(Layer::Pure), &["raft"]),
            package("raft", None, &["rand"]),
            package("rand", None, &[]),
        ]);
        assert_eq!(impure_beyond(&packages, &[], &["rand"]), []);
        assert_eq!(impure_beyond(&packages, &[], &[]).len(), 1);
        packages.extend([package("core", Some(Layer::Pure), &["rand"])]);
        assert_eq!(impure_beyond(&packages, &[], &["rand"])[0].place, "core");
    }

    #[test]
    fn an_edge_that_uses_the_core_or_another_edge_is_found() {
        let packages = Packages::from([
            package("model", Some(Layer::Model), &[]),
            package("core", Some(Layer::Pure), &["model"]),
            package("storage", Some(Layer::Edge), &["model", "core"]),
            package("transport", Some(Layer::Edge), &["storage"]),
            package("standfast-guard", Some(Layer::Edge), &[]),
            package("standfast-process", Some(Layer::Edge), &["standfast-guard"]),
            package("standfast", Some(Layer::Bin), &["core", "storage", "model"]),
        ]);
        let found = against_direction(&packages);
        let places: Vec<&str> = found.iter().map(|found| found.place.as_str()).collect();
        assert_eq!(places, ["storage", "transport"]);
    }

    #[test]
    fn a_model_or_core_that_knows_an_edge_is_found() {
        let packages = Packages::from([
            package("model", Some(Layer::Model), &["core"]),
            package("core", Some(Layer::Pure), &["storage"]),
            package("storage", Some(Layer::Edge), &[]),
        ]);
        assert_eq!(against_direction(&packages).len(), 2);
    }

    #[test]
    fn what_is_not_linked_is_left_out() {
        let package = |id: &str, source: Option<&str>, kind: &str| {
            serde_json::json!({
                "id": id, "name": id, "source": source, "targets": [{"kind": [kind]}],
                "manifest_path": format!("/x/crates/edge/{id}/Cargo.toml"),
            })
        };
        let needs = |id: &str, kind: Option<&str>| serde_json::json!({"pkg": id, "dep_kinds": [{"kind": kind}]});
        let metadata = serde_json::json!({
            "packages": [
                package("a", None, "lib"),
                package("used", Some("registry"), "lib"),
                package("tempfile", Some("registry"), "lib"),
                package("derive", Some("registry"), "proc-macro"),
            ],
            "resolve": {"nodes": [
                {"id": "a", "deps": [
                    needs("used", None), needs("tempfile", Some("dev")), needs("derive", None),
                ]},
                {"id": "used", "deps": []},
            ]},
        });
        let packages = packages(serde_json::from_value(metadata).unwrap());
        assert_eq!(packages["a"].layer, Some(Layer::Edge));
        assert_eq!(packages["a"].needs, BTreeSet::from(["used".to_owned()]));
    }
}
