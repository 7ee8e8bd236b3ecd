//! Manual pages and shell completions, from the one definition of the flags: what `make deb` packs. Not for
//! what the pages say beside the flags: that is in the documents.

mod manual;

use super::{Cli, exit};
use crate::failure::Failure;
use clap::{Command, CommandFactory as _};
use clap_complete::Shell;
use clap_mangen::Man;
use std::{fs, io, path::Path};

/// Of section 8: only an administrator runs it, and through the service.
const SECTION_8: &[&str] = &["agent"];
/// What the description of the configuration is made from.
const CONFIGURATION: &str = include_str!("../../../../docs/configuration.md");

/// Writes `man/man1`, `man/man5`, `man/man8` and `completions` into a folder.
pub(super) fn write(folder: &Path) -> Result<(), Failure> {
    write_all(folder).map_err(|error| {
        let folder = folder.display();
        Failure::new(
            exit::IO,
            format!("cannot write the pages into {folder}: {error}"),
        )
    })
}

fn write_all(folder: &Path) -> io::Result<()> {
    let mut cli = Cli::command().disable_help_subcommand(true);
    cli.build();
    let man = folder.join("man");
    for section in ["man1", "man5", "man8"] {
        fs::create_dir_all(man.join(section))?;
    }
    command_pages(&man, &cli)?;
    let page = manual::page("standfast-cluster.toml", 5, CONFIGURATION);
    fs::write(man.join("man5/standfast-cluster.toml.5"), page)?;
    let completions = folder.join("completions");
    fs::create_dir_all(&completions)?;
    for shell in [Shell::Bash, Shell::Zsh, Shell::Fish] {
        clap_complete::generate_to(shell, &mut Cli::command(), "standfast", &completions)?;
    }
    Ok(())
}

/// One page for each command that is not hidden, and for those below it.
fn command_pages(man: &Path, command: &Command) -> io::Result<()> {
    let shown = command.get_subcommands().filter(|sub| !sub.is_hide_set());
    for below in shown {
        command_pages(man, below)?;
    }
    let section = if SECTION_8.contains(&command.get_name()) {
        "8"
    } else {
        "1"
    };
    let name = command.get_display_name().unwrap_or(command.get_name());
    let page = Man::new(command.clone())
        .section(section)
        .source(format!("Standfast {}", env!("CARGO_PKG_VERSION")))
        .manual("Standfast");
    let mut text = Vec::new();
    page.render(&mut text)?;
    text.extend_from_slice(see_also(command, section).as_bytes());
    let file = format!("man{section}/{name}.{section}");
    fs::write(man.join(file), text)
}

/// Every page leads to the overview, and the overview to the pages that no command has.
fn see_also(command: &Command, section: &str) -> String {
    let others = match (command.get_name(), section) {
        ("standfast", _) => "standfast\\-agent(8), standfast\\-cluster.toml(5)",
        (_, "8") => "standfast(1), standfast\\-cluster.toml(5), systemd.service(5)",
        _ => "standfast(1)",
    };
    format!(".SH \"SEE ALSO\"\n{others}\n")
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::PathBuf;

    fn written(name: &str) -> PathBuf {
        let folder = std::env::temp_dir().join(format!("standfast-{name}-{}", std::process::id()));
        write(&folder).expect("pages are written");
        folder
    }

    #[test]
    fn every_command_has_its_page_and_hidden_ones_have_none() {
        let folder = written("pages");
        let has = |file: &str| folder.join("man").join(file).exists();
        assert!(has("man1/standfast.1"));
        assert!(has("man1/standfast-status.1"));
        assert!(has("man1/standfast-node-drain.1"));
        assert!(has("man8/standfast-agent.8") && !has("man1/standfast-agent.1"));
        assert!(!has("man1/standfast-keeper.1") && !has("man1/standfast-pages.1"));
        let drain = fs::read_to_string(folder.join("man/man1/standfast-node-drain.1"));
        assert!(drain.expect("a page").contains("standfast node drain"));
        let bash = fs::read_to_string(folder.join("completions/standfast.bash"));
        assert!(bash.expect("completions").contains("switchover"));
        fs::remove_dir_all(folder).expect("removed");
    }

    #[test]
    fn the_page_of_the_configuration_has_its_keys() {
        let page = manual::page("standfast-cluster.toml", 5, CONFIGURATION);
        assert!(page.contains("stop_timeout_ms"));
        assert!(!page.contains("| `"), "a table was left as it is");
    }
}
