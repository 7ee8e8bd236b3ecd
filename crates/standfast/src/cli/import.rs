//! `import`: a configuration file made of another cluster's configuration. Asks no agent and changes
//! nothing but the file that is asked for.

use super::{ImportPacemakerArgs, exit, print, simulate};
use crate::failure::Failure;
use serde::Serialize;
use standfast_import::{Imported, More, Note, Sort};
use std::{
    fmt::Write as _,
    fs::OpenOptions,
    io::{self, Write as _},
    path::Path,
};

#[derive(Serialize)]
struct Report<'i> {
    schema: &'static str,
    written: Option<String>,
    text: &'i str,
    notes: &'i [Note],
    warnings: &'i [String],
}

pub(super) fn pacemaker(args: &ImportPacemakerArgs) -> Result<(), Failure> {
    let text = simulate::read(&args.cib)?;
    let corosync = args.corosync.as_deref().map(simulate::read).transpose()?;
    let more = More {
        corosync: corosync.as_deref(),
        now: simulate::now(),
    };
    let file = if args.cib == Path::new("-") {
        "standard input".to_owned()
    } else {
        args.cib.display().to_string()
    };
    let imported = standfast_import::pacemaker(&text, &file, &more)
        .map_err(|mistake| Failure::data(mistake.to_string()))?;
    let warnings = check(&imported)?;
    if let Some(out) = &args.out {
        write_new(out, &imported.text)?;
    }
    if args.json {
        return print(&json(args, &imported, &warnings)?);
    }
    let said = said(&imported, &warnings);
    match &args.out {
        Some(out) => print(&format!("Written: {}\n{said}", out.display())),
        None => {
            print(&imported.text)?;
            io::stderr().lock().write_all(said.as_bytes()).ok();
            Ok(())
        }
    }
}

/// What is written is a configuration, or nothing is written.
fn check(imported: &Imported) -> Result<Vec<String>, Failure> {
    match standfast_config::parse(&imported.text, "cluster.toml") {
        Ok((_, warnings)) => Ok(warnings.iter().map(ToString::to_string).collect()),
        Err(mistakes) => {
            let lines: Vec<String> = mistakes.iter().map(ToString::to_string).collect();
            let lines = lines.join("\n  ");
            let text =
                format!("what was made of it is no valid configuration; this is a bug:\n  {lines}");
            Err(Failure::new(70, text))
        }
    }
}

pub(super) fn write_new(file: &Path, text: &str) -> Result<(), Failure> {
    let opened = OpenOptions::new().write(true).create_new(true).open(file);
    let written = opened.and_then(|mut file| file.write_all(text.as_bytes()));
    written.map_err(|error| {
        if error.kind() == io::ErrorKind::AlreadyExists {
            return Failure::exists(format!(
                "{} exists already; nothing was written",
                file.display()
            ));
        }
        Failure::new(
            exit::IO,
            format!("cannot write {}: {error}", file.display()),
        )
    })
}

fn json(
    args: &ImportPacemakerArgs,
    imported: &Imported,
    warnings: &[String],
) -> Result<String, Failure> {
    let report = Report {
        schema: "standfast/import/1",
        written: args.out.as_ref().map(|out| out.display().to_string()),
        text: &imported.text,
        notes: &imported.notes,
        warnings,
    };
    let line = serde_json::to_string(&report);
    let mut line = line.map_err(|error| Failure::cannot("write JSON", &error))?;
    line.push('\n');
    Ok(line)
}

/// The notes a line each, then how many of each sort there are.
fn said(imported: &Imported, warnings: &[String]) -> String {
    let mut text = String::new();
    for note in &imported.notes {
        writeln!(text, "{note}").ok();
    }
    for warning in warnings {
        writeln!(text, "{warning}").ok();
    }
    let counts: Vec<String> = SORTS.iter().map(|sort| count(imported, *sort)).collect();
    writeln!(text, "{}.", counts.join(", ")).ok();
    text
}

const SORTS: [Sort; 4] = [
    Sort::NotExpressed,
    Sort::Changed,
    Sort::ToDo,
    Sort::NotNeeded,
];

fn count(imported: &Imported, sort: Sort) -> String {
    let notes = imported.notes.iter().filter(|note| note.sort == sort);
    format!("{} {}", notes.count(), sort.name())
}

#[cfg(test)]
mod tests {
    use super::*;

    const CIB: &str = "<cib><configuration><nodes><node id='1' uname='alpha'/>\
        <node id='2' uname='beta'/><node id='3' uname='gamma'/></nodes><resources>\
        <primitive id='web' class='service' type='httpd'/></resources></configuration></cib>";

    fn imported() -> Imported {
        let more = More {
            corosync: Some("nodelist {\n node {\n ring0_addr: 10.80.1.1\n name: alpha\n }\n}\n"),
            now: 0,
        };
        standfast_import::pacemaker(CIB, "cib.xml", &more).expect("a CIB")
    }

    #[test]
    fn every_note_has_a_line_and_every_sort_is_counted() {
        let imported = imported();
        let warnings = check(&imported).expect("a configuration");
        assert_eq!(
            said(&imported, &warnings),
            "not expressed: web service:httpd: it is a script or a unit: kind = \"script\" or kind = \"systemd\"\n\
             to do: mode = \"observe\": try it beside Pacemaker; stop Pacemaker everywhere before you make it \"active\"\n\
             to do: addresses of beta, gamma: a CIB has none: write them in (192.0.2.x are examples), or give --corosync corosync.conf\n\
             1 not expressed, 0 changed, 2 to do, 0 not needed.\n"
        );
    }

    #[test]
    fn the_json_has_a_schema_and_everything_else() {
        let args = ImportPacemakerArgs {
            cib: "cib.xml".into(),
            corosync: None,
            out: Some("cluster.toml".into()),
            json: true,
        };
        let line = json(&args, &imported(), &["w".to_owned()]).expect("JSON");
        let value: serde_json::Value = serde_json::from_str(&line).expect("JSON");
        assert_eq!(value["schema"], "standfast/import/1");
        assert_eq!(value["written"], "cluster.toml");
        assert_eq!(value["warnings"][0], "w");
        assert_eq!(value["notes"][0]["sort"], "not-expressed");
        assert_eq!(value["notes"][0]["what"], "web service:httpd");
        assert!(
            value["text"]
                .as_str()
                .is_some_and(|text| text.contains("[nodes.alpha]"))
        );
    }

    #[test]
    fn a_file_that_exists_is_left_alone() {
        let folder = tempfile::tempdir().expect("folder");
        let file = folder.path().join("cluster.toml");
        write_new(&file, "one").expect("written");
        assert_eq!(
            write_new(&file, "two").map_err(|failure| failure.code),
            Err(108)
        );
        assert_eq!(std::fs::read_to_string(&file).expect("text"), "one");
    }
}
