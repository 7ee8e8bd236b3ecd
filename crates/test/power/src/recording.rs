//! A recorded program: its power is cut everywhere, with all of its flushes or without some.

use std::{
    collections::{BTreeSet, hash_map::DefaultHasher},
    fs,
    hash::{Hash as _, Hasher as _},
    os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _},
    path::Path,
    process::Command,
};

use crate::{
    disk::{Disk, Image, Kept, Step},
    trace,
};

/// So many choices of what was kept are drawn at each point.
const DRAWN: u64 = 6;
/// What is recorded: all that changes files, or says something.
const CALLS: &str = "trace=openat,open,creat,mkdir,mkdirat,write,pwrite64,writev,pwritev,pwritev2,lseek,ftruncate,truncate,\
     fallocate,fsync,fdatasync,sync,syncfs,msync,sync_file_range,rename,renameat,renameat2,unlink,unlinkat,rmdir,link,linkat,symlink,\
     symlinkat,copy_file_range,sendfile";

/// Whether a folder that a cut has left is as it has to be, after a program had said this.
pub type Check<'c> = &'c dyn Fn(&Path, &[&str]) -> Result<(), String>;

/// What a program did in a folder.
#[derive(Debug, Clone)]
pub struct Recording {
    steps: Vec<Step>,
    /// Before this one nothing differs from a recording whose power was cut before.
    from: usize,
}

impl Recording {
    /// Runs a program to its end below `strace`, and keeps what it does in the folder `root`, which is empty, and every line
    /// on its standard output that begins with `said: `. `failing` is the number of the `fdatasync` that fails, from 1 on.
    ///
    /// # Errors
    /// When there is no `strace`, the program fails, or it does something to files that is not understood here.
    pub fn of(program: &mut Command, root: &Path, failing: Option<usize>) -> Result<Self, String> {
        let root =
            fs::canonicalize(root).map_err(|error| format!("{}: {error}", root.display()))?;
        let log = tempfile::NamedTempFile::new().map_err(|error| error.to_string())?;
        let mut below = Command::new("strace");
        below
            .args(["-f", "-y", "-xx", "-s", "16777216", "-e", "signal=none"])
            .args(["-e", CALLS]);
        if let Some(number) = failing {
            let inject = format!("inject=fdatasync:error=EIO:when={number}");
            below.args(["-e", &inject]);
        }
        below.arg("-o").arg(log.path());
        below.arg(program.get_program()).args(program.get_args());
        for (name, value) in program.get_envs() {
            match value {
                Some(value) => below.env(name, value),
                None => below.env_remove(name),
            };
        }
        let output = below.output();
        let output = output.map_err(|error| format!("strace: {error}"))?;
        if !output.status.success() {
            let said = String::from_utf8_lossy(&output.stdout).into_owned();
            return Err(said + &String::from_utf8_lossy(&output.stderr));
        }
        let text = fs::read_to_string(log.path()).map_err(|error| error.to_string())?;
        let steps = trace::read(&text, &root)?;
        Ok(Self { steps, from: 0 })
    }

    /// What was flushed, each kind of call once: a file by its name, a folder with what had happened to its names.
    #[must_use]
    pub fn syncs(&self) -> BTreeSet<&str> {
        let syncs = self.steps.iter().filter_map(|step| match step {
            Step::Sync { what, .. } => Some(what.as_str()),
            _ => None,
        });
        syncs.collect()
    }

    /// How many flushes of these kinds there were before that was said.
    #[must_use]
    pub fn count_before(&self, said: &str, these: &dyn Fn(&str) -> bool) -> usize {
        let is_said = |step: &&Step| matches!(step, Step::Said(text) if text == said);
        let is_it = |step: &&Step| matches!(step, Step::Sync { what, .. } if these(what));
        let before = self.steps.iter().take_while(|step| !is_said(step));
        before.filter(is_it).count()
    }

    /// Whether a flush failed.
    #[must_use]
    pub fn has_failed(&self) -> bool {
        let failed = |step: &Step| matches!(step, Step::Sync { worked: false, .. });
        self.steps.iter().any(failed)
    }

    /// The same without some kinds of flushes, to be cut from the first of them on.
    #[must_use]
    pub fn without(&self, these: &dyn Fn(&str) -> bool) -> Self {
        let is_it = |step: &&Step| matches!(step, Step::Sync { what, .. } if these(what));
        Self {
            from: self.steps.iter().take_while(|step| !is_it(step)).count(),
            steps: self
                .steps
                .iter()
                .filter(|step| !is_it(step))
                .cloned()
                .collect(),
        }
    }

    /// Cuts the power at every point, and gives `check` each folder that may be left, with what the program had said by
    /// then. Says how many different ones that were.
    ///
    /// # Errors
    /// What `check` answered, with the point of the cut; or that a folder could not be written.
    pub fn cut_everywhere(&self, check: Check<'_>) -> Result<usize, String> {
        let (mut disk, mut said, mut seen) = (Disk::new(), Vec::new(), BTreeSet::new());
        for (number, step) in self.steps.iter().enumerate() {
            // Between writes nothing is there that cannot be there after the last of them.
            let is_point = !matches!(step, Step::Write { .. } | Step::Length { .. });
            if is_point && number >= self.from {
                cut(&disk, &said, &mut seen, check)
                    .map_err(|error| format!("cut before {}: {error}", name(number, step)))?;
            }
            disk.take(step);
            if let Step::Said(text) = step {
                said.push(text.as_str());
            }
        }
        cut(&disk, &said, &mut seen, check).map_err(|error| format!("cut at the end: {error}"))?;
        Ok(seen.len())
    }
}

fn cut(
    disk: &Disk,
    said: &[&str],
    seen: &mut BTreeSet<u64>,
    check: Check<'_>,
) -> Result<(), String> {
    let drawn = (0..DRAWN).map(Kept::Some);
    let certain = [Kept::Nothing, Kept::Everything, Kept::Names, Kept::Contents];
    for kept in certain.into_iter().chain(drawn) {
        let image = disk.after_cut(kept);
        let mut hasher = DefaultHasher::new();
        (&image, said.len()).hash(&mut hasher);
        if seen.insert(hasher.finish()) {
            let folder = folder().map_err(|error| error.to_string())?;
            write(&image, folder.path()).map_err(|error| format!("write what is left: {error}"))?;
            check(folder.path(), said)
                .map_err(|error| format!("of what was not flushed, {kept:?} is there: {error}"))?;
        }
    }
    Ok(())
}

/// In memory where that can be: what is there need not be flushed.
fn folder() -> std::io::Result<tempfile::TempDir> {
    tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir())
}

fn write(image: &Image, folder: &Path) -> std::io::Result<()> {
    for (path, contents) in image {
        let path = folder.join(path);
        match contents {
            None => fs::DirBuilder::new().mode(0o700).create(path)?,
            Some(bytes) => {
                let mut file = fs::OpenOptions::new()
                    .write(true)
                    .create_new(true)
                    .mode(0o600)
                    .open(path)?;
                std::io::Write::write_all(&mut file, bytes)?;
            }
        }
    }
    Ok(())
}

fn name(number: usize, step: &Step) -> String {
    match step {
        Step::Write { .. } | Step::Length { .. } => format!("step {number}, a write"),
        other => format!("step {number}, {other:?}"),
    }
}
