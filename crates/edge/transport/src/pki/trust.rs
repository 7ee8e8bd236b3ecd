//! Another authority takes the place of the present one, on this node: prepared, trusted beside it, used, and the
//! old one forgotten. Each step may be repeated, and may be interrupted anywhere.
//!
//! The moment at which this node uses the new authority is the renaming of `node.crt`: whoever signed that is its
//! authority, whatever else lies beside it. Not for deciding when (the cluster).

use std::{collections::BTreeSet, fs, io, path::Path, time::Duration};

use rcgen::{KeyPair, PublicKeyData};
use rustls::pki_types::{CertificateDer, pem::PemObject};
use x509_parser::prelude::{FromDer, X509Certificate};

use super::{
    Authority, CA_CERTIFICATE, CA_KEY, Credentials, Fingerprint, PkiError,
    authority::pem,
    credentials::{renew_alone, validity},
    files, seal,
};

/// Certificates of authorities that are trusted besides the one in `ca.crt`.
pub const TRUSTED: &str = "trusted.crt";
/// Length of what is left of a fingerprint in a file's name.
const SHORT: usize = 16;

/// An authority that nobody trusts yet. Its key is on this node's disk, encrypted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Prepared {
    /// Fingerprint of its certificate.
    pub fingerprint: String,
    /// Its certificate, PEM.
    pub certificate: String,
    /// Fingerprint of the authority that signed this node's certificate.
    pub old: String,
    /// When that authority's certificate ends, seconds since 1970.
    pub old_until: u64,
}

/// File of the key of an authority to come.
fn key_file(fingerprint: &str) -> String {
    let short: String = fingerprint.chars().take(SHORT).collect();
    format!("ca-{short}.key")
}

fn malformed(what: &str, why: impl Into<String>) -> PkiError {
    PkiError::Malformed {
        what: what.to_owned(),
        why: why.into(),
    }
}

/// Certificates trusted besides `ca.crt`, in no order that matters.
pub(super) fn read_trusted(dir: &Path) -> Result<Vec<CertificateDer<'static>>, PkiError> {
    if !dir.join(TRUSTED).exists() {
        return Ok(Vec::new());
    }
    let text = files::read(dir, TRUSTED)?;
    CertificateDer::pem_slice_iter(text.as_bytes())
        .collect::<Result<_, _>>()
        .map_err(|error| malformed(TRUSTED, error.to_string()))
}

/// Everybody trusted: `ca.crt` first.
pub(super) fn read_all(dir: &Path) -> Result<Vec<CertificateDer<'static>>, PkiError> {
    let text = files::read(dir, CA_CERTIFICATE)?;
    let first = CertificateDer::from_pem_slice(text.as_bytes())
        .map_err(|error| malformed(CA_CERTIFICATE, error.to_string()))?;
    let mut all = vec![first];
    for other in read_trusted(dir)? {
        if !all.contains(&other) {
            all.push(other);
        }
    }
    Ok(all)
}

fn write_trusted(dir: &Path, all: &[CertificateDer<'_>]) -> Result<(), PkiError> {
    let text: String = all.iter().map(pem).collect();
    files::write_private(dir, TRUSTED, text.as_bytes())
}

/// Whether a private key belongs to a certificate.
pub(super) fn fits(certificate: &CertificateDer<'_>, key: &KeyPair) -> bool {
    X509Certificate::from_der(certificate)
        .is_ok_and(|(_, parsed)| parsed.public_key().raw == key.subject_public_key_info())
}

fn shown(certificate: &CertificateDer<'_>) -> String {
    Fingerprint::of(certificate).to_string()
}

/// Makes another authority for this node's cluster. Nobody trusts it yet.
///
/// # Errors
/// The files cannot be read or written.
pub fn prepare_authority(dir: &Path) -> Result<Prepared, PkiError> {
    let _alone = files::writing();
    let present = Credentials::load(dir)?;
    let next = Authority::generate(present.cluster())?;
    let fingerprint = next.fingerprint().to_string();
    seal::write(dir, &key_file(&fingerprint), next.key_pem())?;
    Ok(Prepared {
        fingerprint,
        certificate: pem(next.certificate()),
        old: present.authority_fingerprint().to_string(),
        old_until: validity(present.authority()).1,
    })
}

/// Takes away the key of an authority that the cluster did not want.
///
/// # Errors
/// The file cannot be removed.
pub fn forget_authority(dir: &Path, fingerprint: &str) -> Result<(), PkiError> {
    let path = dir.join(key_file(fingerprint));
    match fs::remove_file(&path) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(PkiError::Io {
            path,
            source: error,
        }),
        Ok(()) | Err(_) => Ok(()),
    }
}

/// Trusts an authority besides the present one. True: it did not before.
///
/// # Errors
/// The certificate is not the one of that fingerprint; the files cannot be read or written.
pub fn trust(dir: &Path, certificate: &str, fingerprint: &str) -> Result<bool, PkiError> {
    let _alone = files::writing();
    let certificate = parse(certificate, fingerprint)?;
    if read_all(dir)?.contains(&certificate) {
        return Ok(false);
    }
    let mut others = read_trusted(dir)?;
    others.push(certificate);
    write_trusted(dir, &others)?;
    Ok(true)
}

fn parse(text: &str, fingerprint: &str) -> Result<CertificateDer<'static>, PkiError> {
    let what = "the certificate of the new authority";
    let certificate = CertificateDer::from_pem_slice(text.as_bytes())
        .map_err(|error| malformed(what, error.to_string()))?;
    if shown(&certificate) != fingerprint {
        return Err(malformed(
            what,
            "it is another one than the cluster agreed on",
        ));
    }
    Ok(certificate)
}

/// The key (PEM) of the authority of that fingerprint, when this node has it: the one to come, or the present one.
#[must_use]
pub fn authority_key(dir: &Path, fingerprint: &str) -> Option<String> {
    let file = key_file(fingerprint);
    if dir.join(&file).exists() {
        return seal::read(dir, &file).ok();
    }
    let present = Authority::load(dir).ok()?;
    (present.fingerprint().to_string() == fingerprint).then(|| present.key_pem().to_owned())
}

/// Keeps the key of the authority to come, as another member gave it.
///
/// # Errors
/// It is not the key of that certificate; the file cannot be written.
pub fn keep_authority_key(
    dir: &Path,
    certificate: &str,
    fingerprint: &str,
    key: &str,
) -> Result<(), PkiError> {
    let _alone = files::writing();
    let certificate = parse(certificate, fingerprint)?;
    let pair = KeyPair::from_pem(key).map_err(|error| PkiError::Crypto(error.to_string()))?;
    if !fits(&certificate, &pair) {
        return Err(malformed(
            "the key of the new authority",
            "it is another one",
        ));
    }
    seal::write(dir, &key_file(fingerprint), key)
}

/// Takes a certificate from the new authority, which is trusted already and whose key is here; from now on this
/// node renews its certificate with it. The old one stays trusted.
///
/// # Errors
/// The new authority or its key is not here; the files cannot be read or written.
pub fn use_authority(
    dir: &Path,
    fingerprint: &str,
    life: Duration,
) -> Result<Credentials, PkiError> {
    let _alone = files::writing();
    let all = read_all(dir)?;
    let next = all
        .iter()
        .find(|certificate| shown(certificate) == fingerprint)
        .ok_or_else(|| malformed(TRUSTED, "the new authority is not trusted here yet"))?;
    // The old one is kept beside it before anything else changes.
    write_trusted(dir, &all)?;
    if dir.join(key_file(fingerprint)).exists() {
        files::rename(dir, &key_file(fingerprint), CA_KEY)?;
    }
    if Authority::load(dir)?.fingerprint().to_string() != fingerprint {
        return Err(malformed(
            CA_KEY,
            "the key of the new authority is not here yet",
        ));
    }
    files::write_private(dir, CA_CERTIFICATE, pem(next).as_bytes())?;
    let present = Credentials::load(dir)?;
    if present.authority_fingerprint().to_string() == fingerprint {
        return Ok(present);
    }
    renew_alone(dir, life)
}

/// Forgets authorities that nobody uses any more, and their keys. True: something was trusted before. The one that
/// signed this node's own certificate stays.
///
/// # Errors
/// The files cannot be read or written.
pub fn distrust(dir: &Path, retired: &[String]) -> Result<bool, PkiError> {
    if retired.is_empty() || !dir.join(TRUSTED).exists() {
        return Ok(false);
    }
    let _alone = files::writing();
    let retired: BTreeSet<&str> = retired.iter().map(String::as_str).collect();
    let present = Credentials::load(dir)?;
    let own = present.authority();
    let before = read_trusted(dir)?;
    let mut after = before.clone();
    after.retain(|other| other == own || !retired.contains(shown(other).as_str()));
    for gone in before.iter().filter(|other| !after.contains(other)) {
        forget_authority(dir, &shown(gone))?;
    }
    if after.iter().all(|other| other == own) {
        let path = dir.join(TRUSTED);
        fs::remove_file(&path).map_err(|source| PkiError::Io { path, source })?;
    } else if after.len() != before.len() {
        write_trusted(dir, &after)?;
    }
    Ok(after.len() != before.len())
}

/// Certificates (PEM) and fingerprints of everybody that this node trusts, for a machine that joins.
///
/// # Errors
/// The files cannot be read.
pub fn trusted(dir: &Path) -> Result<Vec<(String, String)>, PkiError> {
    let all = read_all(dir)?;
    Ok(all.iter().map(|one| (shown(one), pem(one))).collect())
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;
    use crate::pki::testing::node;

    const LIFE: Duration = Duration::from_secs(3600);

    fn load(dir: &tempfile::TempDir) -> Credentials {
        Credentials::load(dir.path()).unwrap()
    }

    fn authority_of(dir: &tempfile::TempDir) -> String {
        load(dir).authority_fingerprint().to_string()
    }

    #[test]
    fn the_new_authority_is_prepared_trusted_used_and_the_old_one_forgotten() {
        let (dir, before) = node();
        let path = dir.path();
        let next = prepare_authority(path).unwrap();
        assert_eq!(next.old, before.authority_fingerprint().to_string());
        assert_eq!(load(&dir).trusted().len(), 1, "nobody trusts it yet");
        assert!(use_authority(path, &next.fingerprint, LIFE).is_err());
        assert!(
            trust(path, &next.certificate, &next.old).is_err(),
            "another one"
        );
        for first in [true, false] {
            assert_eq!(
                trust(path, &next.certificate, &next.fingerprint).unwrap(),
                first
            );
        }
        assert_eq!(
            (load(&dir).trusted().len(), authority_of(&dir)),
            (2, next.old.clone())
        );
        for _ in 0..2 {
            let after = use_authority(path, &next.fingerprint, LIFE).unwrap();
            assert_eq!(after.authority_fingerprint().to_string(), next.fingerprint);
            assert_eq!(after.key_fingerprint(), before.key_fingerprint());
            assert_eq!(after.trusted().len(), 2);
        }
        // What others retired long ago is no reason to forget the own one.
        assert!(!distrust(path, std::slice::from_ref(&next.fingerprint)).unwrap());
        for first in [true, false] {
            assert_eq!(
                distrust(path, std::slice::from_ref(&next.old)).unwrap(),
                first
            );
        }
        assert_eq!(
            (load(&dir).trusted().len(), authority_of(&dir)),
            (1, next.fingerprint.clone())
        );
        // Renewal goes on with the new one, and it can be replaced in its turn.
        super::super::renew(path, LIFE).unwrap();
        assert_eq!(authority_of(&dir), next.fingerprint);
        let third = prepare_authority(path).unwrap();
        trust(path, &third.certificate, &third.fingerprint).unwrap();
        use_authority(path, &third.fingerprint, LIFE).unwrap();
        distrust(path, &[next.old, next.fingerprint]).unwrap();
        assert_eq!(
            (load(&dir).trusted().len(), authority_of(&dir)),
            (1, third.fingerprint)
        );
    }

    #[test]
    fn wherever_it_is_interrupted_the_node_can_be_loaded_and_it_goes_on() {
        let (dir, _) = node();
        let path = dir.path();
        let next = prepare_authority(path).unwrap();
        trust(path, &next.certificate, &next.fingerprint).unwrap();
        let all = read_all(path).unwrap();
        write_trusted(path, &all).unwrap();
        let check = |when: &str| {
            assert_eq!(authority_of(&dir), next.old, "{when}");
            assert_eq!(load(&dir).trusted().len(), 2, "{when}");
        };
        check("after the list");
        files::rename(path, &key_file(&next.fingerprint), CA_KEY).unwrap();
        check("after the key");
        assert!(authority_key(path, &next.fingerprint).is_some());
        files::write_private(path, CA_CERTIFICATE, next.certificate.as_bytes()).unwrap();
        check("after the certificate");
        use_authority(path, &next.fingerprint, LIFE).unwrap();
        assert_eq!(authority_of(&dir), next.fingerprint);
    }

    #[test]
    fn a_key_is_kept_only_for_its_own_certificate_and_never_in_plain_text() {
        let (one, _) = node();
        let (other, _) = node();
        let next = prepare_authority(one.path()).unwrap();
        let key = authority_key(one.path(), &next.fingerprint).unwrap();
        let wrong = KeyPair::generate().unwrap().serialize_pem();
        let keep =
            |key: &str| keep_authority_key(other.path(), &next.certificate, &next.fingerprint, key);
        assert!(keep(&wrong).is_err());
        assert!(authority_key(other.path(), &next.fingerprint).is_none());
        keep(&key).unwrap();
        assert_eq!(authority_key(other.path(), &next.fingerprint).unwrap(), key);
        let text = fs::read_to_string(other.path().join(key_file(&next.fingerprint))).unwrap();
        assert!(!text.contains("PRIVATE"));
        forget_authority(other.path(), &next.fingerprint).unwrap();
        forget_authority(other.path(), &next.fingerprint).unwrap();
        assert!(authority_key(other.path(), &next.fingerprint).is_none());
    }
}
