//! The join token as text, and the proofs that are made with its secret.
//!
//! Not for which tokens are alive: that is `desk`.

use std::{
    fmt,
    net::SocketAddr,
    str::FromStr,
    time::{Duration, SystemTime},
};

use base64::{Engine, engine::general_purpose::URL_SAFE_NO_PAD};
use prost::Message;
use ring::{
    hmac,
    rand::{SecureRandom, SystemRandom},
};

use super::JoinError;
use crate::pki::Fingerprint;

/// What every token starts with, so that people and scanners for secrets recognise one.
const PREFIX: &str = "sfjoin1-";
const SECRET_BYTES: usize = 16;
/// Longest token text: more addresses than a node can have.
const MAX_TEXT: usize = 1024;

/// A one-time permission to ask for membership. Its text (`Display`) is a secret; `Debug` hides it.
#[derive(Clone, PartialEq, Eq)]
pub struct JoinToken {
    pub(super) secret: [u8; SECRET_BYTES],
    /// The fingerprint of the cluster's authority.
    pub authority: Fingerprint,
    /// Where the member that made it is reached.
    pub addresses: Vec<SocketAddr>,
    /// When it ends by the clock of the member that made it, in seconds since 1970. For display
    /// only: the member itself counts on a clock that nobody sets.
    pub expires_unix_seconds: u64,
}

#[derive(Clone, PartialEq, Eq, Message)]
struct TokenMessage {
    #[prost(bytes = "vec", tag = "1")]
    secret: Vec<u8>,
    #[prost(bytes = "vec", tag = "2")]
    authority: Vec<u8>,
    #[prost(string, repeated, tag = "3")]
    addresses: Vec<String>,
    #[prost(uint64, tag = "4")]
    expires: u64,
}

/// Which side a proof is of, so that one cannot be sent back as the other.
#[derive(Debug, Clone, Copy)]
pub(super) enum Side {
    Joining,
    Member,
}

impl Side {
    fn label(self) -> &'static [u8] {
        match self {
            Self::Joining => b"standfast-join joining",
            Self::Member => b"standfast-join member",
        }
    }
}

impl JoinToken {
    pub(super) fn generate(
        authority: Fingerprint,
        addresses: Vec<SocketAddr>,
        lifetime: Duration,
    ) -> Result<Self, JoinError> {
        let mut secret = [0; SECRET_BYTES];
        SystemRandom::new()
            .fill(&mut secret)
            .map_err(|_unspecified| JoinError::System("no random numbers".to_owned()))?;
        let expires = (SystemTime::now() + lifetime)
            .duration_since(SystemTime::UNIX_EPOCH)
            .unwrap_or_default();
        Ok(Self {
            secret,
            authority,
            addresses,
            expires_unix_seconds: expires.as_secs(),
        })
    }

    fn context(side: Side, session: &[u8], request: &[u8]) -> Vec<u8> {
        let mut context = side.label().to_vec();
        context.extend_from_slice(session);
        context.extend_from_slice(request);
        context
    }

    /// Proves knowledge of the secret for one TLS session (`session`: its exported keying material,
    /// of fixed length) and one signing request.
    pub(super) fn prove(&self, side: Side, session: &[u8; 32], request: &[u8]) -> Vec<u8> {
        let key = hmac::Key::new(hmac::HMAC_SHA256, &self.secret);
        let context = Self::context(side, session, request);
        hmac::sign(&key, &context).as_ref().to_vec()
    }

    /// Whether `proof` is what [`Self::prove`] gives; takes the same time whatever is wrong.
    pub(super) fn verify(
        &self,
        side: Side,
        session: &[u8; 32],
        request: &[u8],
        proof: &[u8],
    ) -> bool {
        let key = hmac::Key::new(hmac::HMAC_SHA256, &self.secret);
        let context = Self::context(side, session, request);
        hmac::verify(&key, &context, proof).is_ok()
    }
}

impl fmt::Display for JoinToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let message = TokenMessage {
            secret: self.secret.to_vec(),
            authority: self.authority.0.to_vec(),
            addresses: self.addresses.iter().map(ToString::to_string).collect(),
            expires: self.expires_unix_seconds,
        };
        let encoded = URL_SAFE_NO_PAD.encode(message.encode_to_vec());
        write!(f, "{PREFIX}{encoded}")
    }
}

impl fmt::Debug for JoinToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("JoinToken")
            .field("authority", &self.authority)
            .field("addresses", &self.addresses)
            .finish_non_exhaustive()
    }
}

impl FromStr for JoinToken {
    type Err = JoinError;

    fn from_str(text: &str) -> Result<Self, JoinError> {
        let text = text.trim();
        let bad = |why: &str| JoinError::NotAToken(why.to_owned());
        if text.len() > MAX_TEXT {
            return Err(bad("too long"));
        }
        let encoded = text
            .strip_prefix(PREFIX)
            .ok_or_else(|| bad("it does not start with sfjoin1-"))?;
        let bytes = URL_SAFE_NO_PAD
            .decode(encoded)
            .map_err(|_unspecified| bad("it is cut short or mistyped"))?;
        let message = TokenMessage::decode(bytes.as_slice())
            .map_err(|_unspecified| bad("it is cut short or mistyped"))?;
        let addresses: Option<Vec<SocketAddr>> = message
            .addresses
            .iter()
            .map(|address| address.parse().ok())
            .collect();
        match (
            message.secret.try_into(),
            message.authority.try_into(),
            addresses,
        ) {
            (Ok(secret), Ok(authority), Some(addresses)) if !addresses.is_empty() => Ok(Self {
                secret,
                authority: Fingerprint(authority),
                addresses,
                expires_unix_seconds: message.expires,
            }),
            _ => Err(bad("it is cut short or mistyped")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn token() -> JoinToken {
        let addresses = vec![
            "10.0.0.1:7400".parse().unwrap(),
            "[fd00::1]:7400".parse().unwrap(),
        ];
        JoinToken::generate(Fingerprint([7; 32]), addresses, Duration::from_secs(60)).unwrap()
    }

    #[test]
    fn text_comes_back_whole_and_damage_is_noticed() {
        let token = token();
        let text = token.to_string();
        assert_eq!(text.parse::<JoinToken>().unwrap(), token);
        assert!(text[..text.len() - 9].parse::<JoinToken>().is_err());
        assert!("hello".parse::<JoinToken>().is_err());
    }

    #[test]
    fn debug_output_holds_no_secret() {
        let token = token();
        let shown = format!("{token:?}");
        assert!(!shown.contains("secret"), "{shown}");
        assert!(!shown.contains(&format!("{:?}", token.secret)), "{shown}");
    }

    #[test]
    fn a_proof_is_worth_something_only_for_its_side_session_and_request() {
        let token = token();
        let proof = token.prove(Side::Joining, &[1; 32], b"request");
        assert!(token.verify(Side::Joining, &[1; 32], b"request", &proof));
        assert!(!token.verify(Side::Member, &[1; 32], b"request", &proof));
        assert!(!token.verify(Side::Joining, &[2; 32], b"request", &proof));
        assert!(!token.verify(Side::Joining, &[1; 32], b"another", &proof));
    }
}
