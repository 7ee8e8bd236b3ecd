//! Secret parameters: read from their files for each act, and hidden in whatever an agent says.

use crate::error::FenceError;
use std::{
    fmt,
    fs::OpenOptions,
    io::{self, Read as _},
    os::unix::fs::{MetadataExt as _, OpenOptionsExt as _},
};

/// Largest secret, in bytes.
const MAX_SECRET: u64 = 4096;
/// A value as short as this is a common word: it cannot be replaced in a text without showing what it is.
const SHORTEST: usize = 4;
const HIDDEN: &str = "(hidden)";

/// A value that is never shown.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Secret(String);

impl Secret {
    /// For the agent's input, and nothing else.
    pub(crate) fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(HIDDEN)
    }
}

/// Reads a secret, without the newline that editors leave at the end.
///
/// # Errors
/// Which file of which parameter cannot be read, and why; never what is in it.
pub(crate) fn read(parameter: &str, path: &str) -> Result<Secret, FenceError> {
    read_file(path).map(Secret).map_err(|error| {
        let text =
            format!("cannot read the secret file {path} of the parameter {parameter}: {error}");
        FenceError::Secret(text)
    })
}

fn read_file(path: &str) -> io::Result<String> {
    let invalid = |text: &str| io::Error::new(io::ErrorKind::InvalidData, text.to_owned());
    // A pipe that nobody writes to must not keep the act waiting.
    let file = OpenOptions::new()
        .read(true)
        .custom_flags(libc::O_NONBLOCK | libc::O_CLOEXEC)
        .open(path)?;
    let metadata = file.metadata()?;
    if !metadata.is_file() {
        return Err(invalid("it is no regular file"));
    }
    if metadata.mode() & 0o007 != 0 {
        return Err(invalid(
            "every user of this machine may read or change it; chmod 600 it",
        ));
    }
    let mut text = String::new();
    file.take(MAX_SECRET + 1).read_to_string(&mut text)?;
    if u64::try_from(text.len()).unwrap_or(u64::MAX) > MAX_SECRET {
        return Err(invalid("it has more than 4 KiB"));
    }
    let value = text.strip_suffix('\n').unwrap_or(&text);
    let value = value.strip_suffix('\r').unwrap_or(value);
    if value.is_empty() {
        return Err(invalid("it is empty"));
    }
    if value.contains(['\0', '\n', '\r']) {
        return Err(invalid("it has more than one line, or a zero byte"));
    }
    Ok(value.to_owned())
}

/// What an agent said, without the secrets that it was given: not as they are, and not as a shell or a
/// program of Python would quote them.
pub(crate) fn hide(says: &str, secrets: &[Secret]) -> String {
    let mut text = says.to_owned();
    for Secret(value) in secrets {
        if value.len() < SHORTEST {
            if text.contains(value.as_str()) {
                return "what it said is not shown, because a secret would be in it".to_owned();
            }
            continue;
        }
        let quoted = value.replace('\'', r#"'"'"'"#);
        let escaped: String = value.escape_debug().collect();
        let backslashed: String = value.chars().flat_map(|c| ['\\', c]).collect();
        let doubled = value.replace('\\', r"\\");
        let once = value.replace('\'', r"\'");
        for form in [value, &quoted, &escaped, &backslashed, &doubled, &once] {
            text = text.replace(form.as_str(), HIDDEN);
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt as _;

    fn secrets(values: &[&str]) -> Vec<Secret> {
        values.iter().map(|v| Secret((*v).to_owned())).collect()
    }

    #[test]
    fn secrets_are_hidden_as_they_are_and_quoted() {
        let odd = r"it's\a";
        let says = format!("-P {odd} or 'it'\"'\"'s\\a' or 'it\\'s\\\\a' or {odd:?}");
        let shown = hide(&says, &secrets(&[odd]));
        assert!(
            !shown.contains("s\\a") && !shown.contains("s\\\\a"),
            "{shown}"
        );
        assert_eq!(hide("no word of it", &secrets(&[odd])), "no word of it");
    }

    #[test]
    fn a_short_secret_hides_the_whole_text() {
        assert!(!hide("ipmitool -P a1 failed", &secrets(&["a1"])).contains("a1"));
        assert_eq!(format!("{:?}", secrets(&["a1b2c3"])), "[(hidden)]");
    }

    #[test]
    fn a_secret_is_one_line_of_a_file_that_is_not_for_everybody() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("secret");
        let name = path.to_str().unwrap();
        let says = |text: &str, mode: u32| {
            std::fs::write(&path, text).unwrap();
            std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).unwrap();
            read("password", name).map_err(|error| error.to_string())
        };
        assert_eq!(says("geheim\n", 0o600).unwrap().reveal(), "geheim");
        assert!(says("geheim\n", 0o604).unwrap_err().contains("chmod 600"));
        assert!(says("", 0o600).unwrap_err().contains("is empty"));
        let error = says("geheim\nzweite", 0o600).unwrap_err();
        assert!(error.contains("more than one line") && !error.contains("geheim"));
        assert!(
            read("password", "/dev/null")
                .unwrap_err()
                .to_string()
                .contains("no regular file")
        );
    }
}
