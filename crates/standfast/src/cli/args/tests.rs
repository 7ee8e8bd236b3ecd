//! What the flags mean: defaults and places, not what commands do with them.

use super::*;
use clap::CommandFactory as _;

fn parse(line: &str) -> Cli {
    Cli::try_parse_from(line.split_whitespace()).expect("parses")
}

#[test]
fn the_definition_is_consistent() {
    Cli::command().debug_assert();
}

#[test]
fn the_socket_may_stand_anywhere() {
    for line in [
        "standfast --socket /x status",
        "standfast status --socket /x",
    ] {
        assert_eq!(parse(line).socket(), Path::new("/x"));
    }
    assert_eq!(parse("standfast status").socket(), Path::new(SOCKET));
}

#[test]
fn watching_is_every_second_unless_said_otherwise() {
    let watch = |line| match parse(line).command {
        Command::Status(args) => args.watch,
        _ => None,
    };
    assert_eq!(watch("standfast status"), None);
    assert_eq!(watch("standfast status -w"), Some(1));
    assert_eq!(watch("standfast status --watch=5"), Some(5));
    assert_eq!(watch("standfast status -w --json"), Some(1));
}

#[test]
fn a_node_has_one_address_for_each_link() {
    let line = "standfast init --name alpha --address 10.0.0.1:7400 --address 10.1.0.1:7400";
    let Command::Init(args) = parse(line).command else {
        panic!("not init");
    };
    assert_eq!(args.node.addresses.len(), 2);
    assert_eq!(args.cluster, "standfast");
    assert!(Cli::try_parse_from(["standfast", "init", "--name", "alpha"]).is_err());
}
