//! Reading and writing the files of the PKI: atomically, for their owner only.
//!
//! Not for any other state; that is the storage crate's.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, Read, Write},
    os::unix::fs::{OpenOptionsExt, PermissionsExt},
    path::Path,
    sync::{Mutex, MutexGuard, PoisonError},
};

use super::PkiError;

/// More than any key or certificate of ours; what is longer is not one.
const MAX_FILE_BYTES: u64 = 64 * 1024;

/// Whoever changes a node's own files does so alone: its renewal and the change of its key may meet.
static WRITING: Mutex<()> = Mutex::new(());

/// Waits until nobody else in this process changes a node's own files.
pub(super) fn writing() -> MutexGuard<'static, ()> {
    WRITING.lock().unwrap_or_else(PoisonError::into_inner)
}

fn io_error(path: &Path, source: io::Error) -> PkiError {
    PkiError::Io {
        path: path.to_owned(),
        source,
    }
}

/// Writes `name` in `dir` with mode 0600: afterwards, also after a crash, it is either the old or
/// the new one, whole.
pub(super) fn write_private(dir: &Path, name: &str, contents: &[u8]) -> Result<(), PkiError> {
    let path = dir.join(name);
    let temporary = dir.join(format!(".{name}.new"));
    write_and_rename(dir, &temporary, &path, contents).map_err(|source| io_error(&path, source))
}

fn write_and_rename(dir: &Path, temporary: &Path, path: &Path, contents: &[u8]) -> io::Result<()> {
    match fs::remove_file(temporary) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        Ok(()) | Err(_) => {}
    }
    let mut file = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(temporary)?;
    file.write_all(contents)?;
    file.sync_all()?;
    fs::rename(temporary, path)?;
    File::open(dir)?.sync_all()
}

/// Moves one file in the place of another. One that is gone was moved before an interruption.
pub(super) fn rename(dir: &Path, from: &str, to: &str) -> Result<(), PkiError> {
    let (from, to) = (dir.join(from), dir.join(to));
    let result = match fs::rename(&from, &to) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(error),
        Ok(()) => File::open(dir).and_then(|dir| dir.sync_all()),
    };
    result.map_err(|source| io_error(&to, source))
}

/// Makes `dir` (mode 0700) when it is not there, so that its name outlives a power cut. What it is in is the storage's.
pub(super) fn make_directory(dir: &Path) -> Result<(), PkiError> {
    use std::os::unix::fs::DirBuilderExt;
    fs::DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(dir)
        .and_then(|()| File::open(dir.join(".."))?.sync_all())
        .map_err(|source| io_error(dir, source))
}

/// Reads a file as text.
pub(super) fn read(dir: &Path, name: &str) -> Result<String, PkiError> {
    let path = dir.join(name);
    let mut text = String::new();
    File::open(&path)
        .and_then(|file| file.take(MAX_FILE_BYTES).read_to_string(&mut text))
        .map_err(|source| io_error(&path, source))?;
    Ok(text)
}

/// Reads a private file; refuses one that others may read.
pub(super) fn read_private(dir: &Path, name: &str) -> Result<String, PkiError> {
    let path = dir.join(name);
    let mode = fs::metadata(&path)
        .map_err(|source| io_error(&path, source))?
        .permissions()
        .mode();
    if mode & 0o077 != 0 {
        return Err(PkiError::TooOpen(path));
    }
    read(dir, name)
}
