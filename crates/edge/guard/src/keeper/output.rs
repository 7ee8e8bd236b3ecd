//! The logger: a child of the keeper that copies a service's output to its file. It is a process of its own because a
//! write to a stuck disk must hold up neither the keeper's deadline nor the tree's end. Not for reading logs' meaning.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::os::fd::{BorrowedFd, OwnedFd};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use rustix::process::Pid;

use crate::spec::Output;
use crate::sys::{self, Forked};

/// Bytes copied at once; small because it is one buffer a resource.
const BUFFER_BYTES: usize = 8 * 1024;

/// Starts the logger. It ends by itself when the last process that may write is gone.
pub(crate) fn start_logger(output: &Output, reader: BorrowedFd<'_>) -> io::Result<Pid> {
    match sys::fork(None, false)? {
        Forked::Parent(pid) => Ok(pid),
        Forked::Child => {
            copy(sys::keep_only(reader), output);
            sys::exit_now(0)
        }
    }
}

/// Copies to the end. What can't be written (a full disk) is dropped, so that the service never blocks on it.
fn copy(reader: OwnedFd, output: &Output) {
    let mut reader = File::from(reader);
    let mut log = RotatingLog::new(output);
    let mut buffer = [0; BUFFER_BYTES];
    loop {
        match reader.read(&mut buffer) {
            Ok(0) => return,
            Ok(length) => log.append(buffer.get(..length).unwrap_or_default()),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(_) => return,
        }
    }
}

/// `output.log`, and `output.log.1` when the first was full.
struct RotatingLog {
    current: PathBuf,
    previous: PathBuf,
    directory: PathBuf,
    max_bytes: u64,
    open: Option<(File, u64)>,
}

impl RotatingLog {
    fn new(output: &Output) -> Self {
        Self {
            current: current_path(&output.directory),
            previous: output.directory.join("output.log.1"),
            directory: output.directory.clone(),
            max_bytes: output.max_bytes,
            open: None,
        }
    }

    fn append(&mut self, bytes: &[u8]) {
        if self.try_append(bytes).is_err() {
            self.open = None;
        }
    }

    fn try_append(&mut self, bytes: &[u8]) -> io::Result<()> {
        let length = u64::try_from(bytes.len()).map_err(io::Error::other)?;
        let (mut file, mut size) = match self.open.take() {
            Some(open) => open,
            None => self.open_current()?,
        };
        if size > 0 && size.saturating_add(length) > self.max_bytes {
            fs::rename(&self.current, &self.previous)?;
            (file, size) = self.open_current()?;
        }
        file.write_all(bytes)?;
        self.open = Some((file, size.saturating_add(length)));
        Ok(())
    }

    fn open_current(&self) -> io::Result<(File, u64)> {
        fs::create_dir_all(&self.directory)?;
        let file = OpenOptions::new()
            .append(true)
            .create(true)
            .mode(0o640)
            .open(&self.current)?;
        let size = file.metadata()?.len();
        Ok((file, size))
    }
}

fn current_path(directory: &Path) -> PathBuf {
    directory.join("output.log")
}

/// The end of `output.log`: at most `max_bytes`, from a line's start, invalid UTF-8 replaced.
pub(crate) fn read_tail(directory: &Path, max_bytes: u64) -> io::Result<String> {
    let mut file = match File::open(current_path(directory)) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(String::new()),
        opened => opened?,
    };
    let from = file.metadata()?.len().saturating_sub(max_bytes);
    file.seek(SeekFrom::Start(from))?;
    let mut tail = Vec::new();
    file.take(max_bytes).read_to_end(&mut tail)?;
    let text = String::from_utf8_lossy(&tail).into_owned();
    Ok(match text.split_once('\n') {
        Some((_, whole_lines)) if from > 0 && !whole_lines.is_empty() => whole_lines.to_owned(),
        _ => text,
    })
}
