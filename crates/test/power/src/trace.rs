//! What `strace` wrote down, as steps. Not for what may come of them. A call that is not understood is an error, never
//! passed over: what is not in the model would be said to be safe.

use std::{
    collections::BTreeMap,
    path::{Component, Path, PathBuf},
};

use crate::disk::{Node, Step};

/// Reads all lines; `root` is the folder that counts, without symbolic links.
pub(crate) fn read(text: &str, root: &Path) -> Result<Vec<Step>, String> {
    let mut reader = Reader {
        root: root.to_owned(),
        nodes: BTreeMap::from([(root.to_owned(), 0)]),
        next: 1,
        offsets: BTreeMap::new(),
        changes: BTreeMap::new(),
        line: String::new(),
        steps: Vec::new(),
    };
    // Calls that another thread interrupted, by thread.
    let mut begun: BTreeMap<&str, &str> = BTreeMap::new();
    for line in text.lines() {
        let Some((thread, line)) = line.split_once(' ') else {
            continue;
        };
        let line = line.trim_start();
        if let Some(first) = line.strip_suffix("<unfinished ...>") {
            begun.insert(thread, first.trim_end());
            continue;
        }
        let whole = match line.split_once(" resumed>") {
            Some((_, rest)) if line.starts_with("<... ") => {
                begun.remove(thread).unwrap_or_default().to_owned() + rest
            }
            _ => line.to_owned(),
        };
        // Signals and ends of threads have no result.
        if whole.starts_with(['+', '-']) {
            continue;
        }
        reader
            .call(&whole)
            .ok_or_else(|| format!("a call that is not understood: {whole:.300}"))?;
    }
    Ok(reader.steps)
}

struct Reader {
    root: PathBuf,
    /// What is where now.
    nodes: BTreeMap<PathBuf, Node>,
    next: Node,
    /// Where the next `write` to a descriptor goes.
    offsets: BTreeMap<u64, usize>,
    /// What happened to the names of a folder last.
    changes: BTreeMap<Node, String>,
    /// Begun on standard output.
    line: String,
    steps: Vec<Step>,
}

impl Reader {
    fn call(&mut self, line: &str) -> Option<()> {
        let (call, result) = line.rsplit_once(" = ")?;
        let (name, arguments) = call.trim_end().strip_suffix(')')?.split_once('(')?;
        let arguments: Vec<&str> = arguments.split(", ").collect();
        let result = result.split([' ', '<']).next()?;
        let sync = matches!(name, "fsync" | "fdatasync");
        // Not yet, or not at all: nothing has happened, except that a failed flush loses what waited.
        if result.starts_with(['-', '?']) && !sync {
            return Some(());
        }
        match (name, arguments.as_slice()) {
            ("openat", [at, path, flags, ..]) => self.open(&[at, path], flags, result),
            ("mkdir", [path, ..]) => self.make(&path_of(&[path])?, true),
            ("mkdirat", [at, path, ..]) => self.make(&path_of(&[at, path])?, true),
            ("write", [file, bytes, _]) => self.write(file, bytes, None),
            ("pwrite64", [file, bytes, _, at]) => self.write(file, bytes, Some(at.parse().ok()?)),
            ("lseek", [file, ..]) => {
                self.offsets.insert(number_of(file)?, result.parse().ok()?);
                Some(())
            }
            ("ftruncate", [file, length]) => self.length(file, length.parse().ok()?, false),
            ("fallocate", [file, "0", at, length]) => {
                let end = at.parse::<usize>().ok()? + length.parse::<usize>().ok()?;
                self.length(file, end, true)
            }
            ("fsync" | "fdatasync", [file]) => self.sync(file, result == "0"),
            ("rename", [from, to]) => self.rename(&path_of(&[from])?, &path_of(&[to])?),
            ("renameat" | "renameat2", [at, from, there, to, ..]) => {
                self.rename(&path_of(&[at, from])?, &path_of(&[there, to])?)
            }
            ("link", [from, to]) => self.link(&path_of(&[from])?, &path_of(&[to])?),
            ("linkat", [at, from, there, to, ..]) => {
                self.link(&path_of(&[at, from])?, &path_of(&[there, to])?)
            }
            ("unlink" | "rmdir", [path]) => self.remove(&path_of(&[path])?),
            ("unlinkat", [at, path, ..]) => self.remove(&path_of(&[at, path])?),
            ("sync" | "syncfs", _) => None,
            // Everything else may only be about other places.
            (_, arguments) => {
                let of_file = arguments.iter().filter_map(|argument| place(argument));
                let of_name = arguments.iter().filter_map(|argument| text(argument));
                let of_name = of_name.filter_map(|bytes| String::from_utf8(bytes).ok());
                let mut paths = of_file.chain(of_name.map(PathBuf::from));
                (!paths.any(|path| path.starts_with(&self.root))).then_some(())
            }
        }
    }

    /// The file or folder behind a descriptor; none inside when it is none of ours.
    fn node(&self, file: &str) -> Option<Option<Node>> {
        let path = place(file)?;
        if !path.starts_with(&self.root) {
            return Some(None);
        }
        self.nodes.get(&path).map(|node| Some(*node))
    }

    /// Folder and name of something that is ours.
    fn named(&self, path: &Path) -> Option<Option<(Node, String)>> {
        if !path.starts_with(&self.root) || path == self.root {
            return Some(None);
        }
        let folder = self.nodes.get(path.parent()?)?;
        Some(Some((*folder, path.file_name()?.to_str()?.to_owned())))
    }

    fn open(&mut self, path: &[&str], flags: &str, result: &str) -> Option<()> {
        let path = path_of(path)?;
        let has = |wanted| flags.split('|').any(|flag| flag == wanted);
        let Some((_, _)) = self.named(&path)? else {
            return Some(());
        };
        match self.nodes.get(&path) {
            Some(node) if has("O_TRUNC") => {
                let node = *node;
                self.steps.push(Step::Length { node, length: 0 });
            }
            Some(_) => {}
            None if has("O_CREAT") => self.make(&path, false)?,
            None => return None,
        }
        // Where it begins to append is not known here.
        if has("O_APPEND") {
            self.offsets.remove(&result.parse().ok()?);
        } else {
            self.offsets.insert(result.parse().ok()?, 0);
        }
        Some(())
    }

    fn make(&mut self, path: &Path, is_folder: bool) -> Option<()> {
        let Some((folder, name)) = self.named(path)? else {
            return Some(());
        };
        let node = self.next;
        self.next += 1;
        self.nodes.insert(path.to_owned(), node);
        self.changes.insert(folder, format!("{name} was made"));
        self.steps.push(Step::Make {
            folder,
            name,
            node,
            is_folder,
        });
        Some(())
    }

    fn write(&mut self, file: &str, bytes: &str, at: Option<usize>) -> Option<()> {
        let (number, bytes) = (number_of(file)?, text(bytes)?);
        let Some(node) = self.node(file)? else {
            if number == 1 && at.is_none() {
                self.say(&String::from_utf8_lossy(&bytes));
            }
            return Some(());
        };
        let at = match at {
            Some(at) => at,
            None => {
                let at = *self.offsets.get(&number)?;
                self.offsets.insert(number, at + bytes.len());
                at
            }
        };
        self.steps.push(Step::Write { node, at, bytes });
        Some(())
    }

    fn say(&mut self, text: &str) {
        self.line.push_str(text);
        while let Some((line, rest)) = self.line.split_once('\n') {
            if let Some(said) = line.strip_prefix("said: ") {
                self.steps.push(Step::Said(said.to_owned()));
            }
            self.line = rest.to_owned();
        }
    }

    fn length(&mut self, file: &str, length: usize, only_longer: bool) -> Option<()> {
        if let Some(node) = self.node(file)? {
            let step = if only_longer {
                // Room that is reserved reads as zeros, as does what lies before a later write.
                let last = length.checked_sub(1)?;
                Step::Write {
                    node,
                    at: last,
                    bytes: vec![0],
                }
            } else {
                Step::Length { node, length }
            };
            self.steps.push(step);
        }
        Some(())
    }

    fn sync(&mut self, file: &str, worked: bool) -> Option<()> {
        let Some(node) = self.node(file)? else {
            return Some(());
        };
        let path = place(file)?;
        let path = path.strip_prefix(&self.root).ok()?.display();
        let what = match self.changes.get(&node) {
            Some(change) => format!("{path}/ after {change}"),
            None => path.to_string(),
        };
        self.steps.push(Step::Sync { node, what, worked });
        Some(())
    }

    fn rename(&mut self, from: &Path, to: &Path) -> Option<()> {
        let (Some((folder, name)), Some((there, new))) = (self.named(from)?, self.named(to)?)
        else {
            // Both elsewhere; one alone is not understood.
            return (!from.starts_with(&self.root) && !to.starts_with(&self.root)).then_some(());
        };
        if folder != there {
            return None;
        }
        let node = *self.nodes.get(from)?;
        let below = self.nodes.iter().filter(|(path, _)| path.starts_with(from));
        let below: Vec<(PathBuf, Node)> = below.map(|(path, node)| (path.clone(), *node)).collect();
        self.nodes.retain(|path, _| !path.starts_with(to));
        for (path, node) in below {
            self.nodes.remove(&path);
            let rest = path.strip_prefix(from).ok()?;
            let path = if rest.as_os_str().is_empty() {
                to.to_owned()
            } else {
                to.join(rest)
            };
            self.nodes.insert(path, node);
        }
        // Without the time that some names have.
        let plain = new.split('-').next().unwrap_or_default();
        self.changes
            .insert(folder, format!("{name} became {plain}"));
        self.steps.push(Step::Rename {
            folder,
            from: name,
            to: new,
            node,
        });
        Some(())
    }

    fn link(&mut self, from: &Path, to: &Path) -> Option<()> {
        let (Some((folder, name)), Some((there, new))) = (self.named(from)?, self.named(to)?)
        else {
            return (!from.starts_with(&self.root) && !to.starts_with(&self.root)).then_some(());
        };
        if folder != there {
            return None;
        }
        let node = *self.nodes.get(from)?;
        self.nodes.insert(to.to_owned(), node);
        // Without the time that some names have.
        let plain = new.split('-').next().unwrap_or_default();
        self.changes
            .insert(folder, format!("{name} is {plain} too"));
        self.steps.push(Step::Link {
            folder,
            name: new,
            node,
        });
        Some(())
    }

    fn remove(&mut self, path: &Path) -> Option<()> {
        if let Some((folder, name)) = self.named(path)? {
            self.nodes.remove(path);
            self.changes.insert(folder, format!("{name} was removed"));
            self.steps.push(Step::Remove { folder, name });
        }
        Some(())
    }
}

/// The number of a descriptor.
fn number_of(file: &str) -> Option<u64> {
    file.split('<').next()?.parse().ok()
}

/// What a descriptor is open on.
fn place(file: &str) -> Option<PathBuf> {
    let (_, path) = file.split_once('<')?;
    let (path, _) = path.split_once('>')?;
    Some(String::from_utf8(plain(path)?).ok()?.into())
}

/// A path, after the folder that it counts from if it has one.
fn path_of(arguments: &[&str]) -> Option<PathBuf> {
    let (path, from) = arguments.split_last()?;
    let path = PathBuf::from(String::from_utf8(text(path)?).ok()?);
    let path = match from {
        [from, ..] if path.is_relative() => place(from)?.join(path),
        _ => path,
    };
    // There are no symbolic links.
    let mut plain = PathBuf::new();
    for part in path.components() {
        match part {
            Component::ParentDir => drop(plain.pop()),
            other => plain.push(other),
        }
    }
    Some(plain)
}

/// A text in quotes; none when it was too long for `strace`.
fn text(argument: &str) -> Option<Vec<u8>> {
    plain(argument.strip_prefix('"')?.strip_suffix('"')?)
}

/// Every byte is written as `\x` with two digits.
fn plain(hex: &str) -> Option<Vec<u8>> {
    let bytes = hex.split("\\x").skip(1);
    bytes
        .map(|byte| u8::from_str_radix(byte, 16).ok())
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hex(text: &str) -> String {
        text.bytes().map(|byte| format!("\\x{byte:02x}")).collect()
    }

    #[test]
    fn calls_become_steps_and_flushes_are_named_by_what_they_are_for() {
        let (new, old, folder) = (hex("/r/a.new"), hex("/r/a"), hex("/r"));
        let said = hex("\nsaid: done\n");
        let text = format!(
            "7 openat(AT_FDCWD<{folder}>, \"{new}\", O_WRONLY|O_CREAT, 0600) = 3<{new}>\n\
             7 write(3<{new}>, \"\\x01\\x02\", 2 <unfinished ...>\n\
             8 write(2<{said}>, \"\\x01\", 1) = 1\n\
             7 <... write resumed>) = 2\n\
             7 fsync(3<{new}>) = 0\n\
             7 rename(\"{new}\", \"{old}\") = 0\n\
             7 fsync(4<{folder}>) = -1 EIO (Input/output error) (INJECTED)\n\
             7 unlink(\"{new}\") = -1 ENOENT (No such file or directory)\n\
             7 write(1<{said}>, \"{said}\", 12) = 12\n\
             7 +++ exited with 0 +++\n"
        );
        let steps = read(&text, Path::new("/r")).unwrap();
        let [made, written, flushed, renamed, failed, said] = steps.as_slice() else {
            panic!("{steps:?}")
        };
        assert!(matches!(
            made,
            Step::Make {
                node: 1,
                is_folder: false,
                ..
            }
        ));
        assert!(matches!(written, Step::Write { node: 1, at: 0, bytes } if *bytes == [1, 2]));
        assert!(matches!(flushed, Step::Sync { node: 1, what, worked: true } if what == "a.new"));
        assert!(matches!(
            renamed,
            Step::Rename {
                folder: 0,
                node: 1,
                ..
            }
        ));
        assert!(
            matches!(failed, Step::Sync { node: 0, what, worked: false } if what == "/ after a.new became a")
        );
        assert!(matches!(said, Step::Said(text) if text == "done"));
    }

    #[test]
    fn a_call_that_is_not_understood_is_not_passed_over() {
        let link = format!("7 symlink(\"{}\", \"{}\") = 0\n", hex("/r/a"), hex("/r/b"));
        assert!(read(&link, Path::new("/r")).is_err());
        assert!(read(&link, Path::new("/elsewhere")).is_ok());
        assert!(read("7 sync() = 0\n", Path::new("/r")).is_err());
    }
}
