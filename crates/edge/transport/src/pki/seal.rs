//! The authority's private key on disk: encrypted with a key derived from this machine's identity
//! (`/etc/machine-id`) and a random salt.
//!
//! What it is good for: the state folder alone (a backup of it, a disk that held nothing else, an
//! archive for support) opens nothing on another machine. What it is not good for: whoever is root
//! here, or has the whole system disk, can do what the agent does without anybody's help. And
//! whoever has the key can still let nobody in: members are known by their own keys.

use std::path::Path;

use base64::{Engine, engine::general_purpose::STANDARD};
use prost::Message;
use ring::{
    aead::{AES_256_GCM, Aad, LessSafeKey, NONCE_LEN, Nonce, UnboundKey},
    hkdf,
    rand::{SecureRandom, SystemRandom},
};

use super::{CA_KEY, PkiError, files};

const MACHINE_ID: &str = "/etc/machine-id";
const SALT_LEN: usize = 32;
const PURPOSE: &[u8] = b"standfast ca.key 1";

/// `ca.key` on disk.
#[derive(Clone, PartialEq, Message)]
struct Sealed {
    /// Version of this format.
    #[prost(uint32, tag = "1")]
    sealed: u32,
    /// Whether this machine had an identity to encrypt it with.
    #[prost(bool, tag = "2")]
    bound: bool,
    #[prost(bytes = "vec", tag = "3")]
    salt: Vec<u8>,
    #[prost(bytes = "vec", tag = "4")]
    nonce: Vec<u8>,
    #[prost(bytes = "vec", tag = "5")]
    text: Vec<u8>,
}

/// This machine's identity; empty when it has none.
fn machine_id() -> String {
    let id = std::fs::read_to_string(MACHINE_ID).unwrap_or_default();
    id.trim().to_owned()
}

fn broken(why: &str) -> PkiError {
    PkiError::Malformed {
        what: CA_KEY.to_owned(),
        why: why.to_owned(),
    }
}

fn key_of(secret: &str, salt: &[u8]) -> Result<LessSafeKey, PkiError> {
    let secret = hkdf::Salt::new(hkdf::HKDF_SHA256, salt).extract(secret.as_bytes());
    let derived = secret
        .expand(&[PURPOSE], &AES_256_GCM)
        .map_err(|_unspecified| broken("no key can be derived"))?;
    Ok(LessSafeKey::new(UnboundKey::from(derived)))
}

fn seal(secret: &str, pem: &str) -> Result<Sealed, PkiError> {
    let random = SystemRandom::new();
    let (mut salt, mut nonce) = (vec![0; SALT_LEN], [0; NONCE_LEN]);
    random
        .fill(&mut salt)
        .and_then(|()| random.fill(&mut nonce))
        .map_err(|_unspecified| PkiError::Crypto("no random numbers".to_owned()))?;
    let mut text = pem.as_bytes().to_vec();
    key_of(secret, &salt)?
        .seal_in_place_append_tag(
            Nonce::assume_unique_for_key(nonce),
            Aad::from(PURPOSE),
            &mut text,
        )
        .map_err(|_unspecified| broken("cannot be encrypted"))?;
    Ok(Sealed {
        sealed: 1,
        bound: !secret.is_empty(),
        salt,
        nonce: nonce.to_vec(),
        text,
    })
}

fn open(secret: &str, sealed: Sealed) -> Result<String, PkiError> {
    if sealed.sealed != 1 {
        return Err(broken("was encrypted by a newer program"));
    }
    let secret = if sealed.bound { secret } else { "" };
    let nonce = Nonce::try_assume_unique_for_key(&sealed.nonce)
        .map_err(|_unspecified| broken("is damaged"))?;
    let mut text = sealed.text;
    let pem = key_of(secret, &sealed.salt)?
        .open_in_place(nonce, Aad::from(PURPOSE), &mut text)
        .map_err(|_unspecified| {
            broken(
                "was encrypted on another machine, or /etc/machine-id has changed since, or it is damaged: \
                 let this node join again (`standfast destroy`, then `standfast join`)",
            )
        })?;
    String::from_utf8(pem.to_vec()).map_err(|_error| broken("is damaged"))
}

/// Writes an authority's key, encrypted.
pub(super) fn write(dir: &Path, file: &str, pem: &str) -> Result<(), PkiError> {
    let sealed = seal(&machine_id(), pem)?;
    let text = format!("{}\n", STANDARD.encode(sealed.encode_to_vec()));
    files::write_private(dir, file, text.as_bytes())
}

/// Reads an authority's key.
pub(super) fn read(dir: &Path, file: &str) -> Result<String, PkiError> {
    let text = files::read_private(dir, file)?;
    let no_key = "is not the encrypted key of an authority";
    let bytes = STANDARD
        .decode(text.trim())
        .map_err(|_error| broken(no_key))?;
    let sealed = Sealed::decode(bytes.as_slice()).map_err(|_error| broken(no_key))?;
    open(&machine_id(), sealed)
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    #[test]
    fn only_the_machine_that_sealed_it_opens_it() {
        let sealed = || seal("one", "the key").unwrap();
        assert_eq!(open("one", sealed()).unwrap(), "the key");
        let why = open("two", sealed()).unwrap_err().to_string();
        assert!(why.contains("encrypted on another machine"), "{why}");
        let mut damaged = sealed();
        damaged.text[3] ^= 1;
        assert!(open("one", damaged).is_err());
        let mut newer = sealed();
        newer.sealed = 2;
        assert!(open("one", newer).is_err());
    }

    #[test]
    fn nothing_of_it_is_on_the_disk_and_no_two_are_alike() {
        let dir = tempfile::tempdir().unwrap();
        write(dir.path(), CA_KEY, "BEGIN PRIVATE KEY").unwrap();
        let first = std::fs::read_to_string(dir.path().join(CA_KEY)).unwrap();
        assert!(!first.contains("PRIVATE"));
        assert_eq!(read(dir.path(), CA_KEY).unwrap(), "BEGIN PRIVATE KEY");
        write(dir.path(), CA_KEY, "BEGIN PRIVATE KEY").unwrap();
        assert_ne!(
            first,
            std::fs::read_to_string(dir.path().join(CA_KEY)).unwrap()
        );
    }

    #[test]
    fn a_machine_without_an_identity_says_so_in_the_file() {
        let sealed = seal("", "the key").unwrap();
        assert!(!sealed.bound);
        assert_eq!(open("one", sealed).unwrap(), "the key");
    }
}
