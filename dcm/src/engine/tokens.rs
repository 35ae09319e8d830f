//! WebSocket tokens: `base64url(payload).hex(HMAC-SHA256(secret, payload))` (CONTRACT C.4).

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use hmac::{Hmac, KeyInit, Mac};
use serde::{Deserialize, Serialize};
use sha2::Sha256;

use crate::error::{Error, Result};
use crate::storage::Storage;
use crate::time::Timestamp;

/// How long a token is valid, in milliseconds.
const LIFETIME_MS: i64 = 3_600_000;
/// The setting that holds the generated secret, so that all nodes of a store share it.
const SETTING: &str = "ws_auth_secret";

/// What a token says; the order of the fields is that of the wire.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TokenClaims {
    /// The agent that may use it.
    pub agent_id: String,
    /// The session it belongs to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub session_id: Option<String>,
    /// When it was issued, in milliseconds since 1970.
    pub issued_at: i64,
    /// Until when it is valid, in milliseconds since 1970.
    pub expires_at: i64,
}

/// The secrets of tokens: the first signs, all are accepted.
pub(super) struct TokenSecrets(Vec<Vec<u8>>);

impl std::fmt::Debug for TokenSecrets {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "[{} secrets]", self.0.len())
    }
}

fn mac(secret: &[u8], payload: &[u8]) -> Option<Hmac<Sha256>> {
    let mut mac = Hmac::<Sha256>::new_from_slice(secret).ok()?;
    mac.update(payload);
    Some(mac)
}

fn to_hex(bytes: &[u8]) -> String {
    use std::fmt::Write as _;
    bytes.iter().fold(String::with_capacity(bytes.len() * 2), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}

fn from_hex(text: &str) -> Option<Vec<u8>> {
    if !text.is_ascii() || !text.len().is_multiple_of(2) {
        return None;
    }
    (0..text.len()).step_by(2).map(|at| u8::from_str_radix(&text[at..at + 2], 16).ok()).collect()
}

impl TokenSecrets {
    /// Takes the configured secrets; without any, the generated one of the store.
    pub(super) async fn load(store: &dyn Storage, configured: &[String]) -> Result<Self> {
        if !configured.is_empty() {
            return Ok(Self(configured.iter().map(|secret| secret.clone().into_bytes()).collect()));
        }
        #[expect(clippy::disallowed_methods, reason = "a secret must be random; it has no time in it")]
        let (one, two) = (uuid::Uuid::new_v4(), uuid::Uuid::new_v4());
        let generated = format!("{}{}", one.simple(), two.simple());
        let secret = store.setting(SETTING, &generated).await?;
        Ok(Self(vec![secret.into_bytes()]))
    }

    pub(super) fn issue(&self, agent_id: &str, session_id: Option<&str>, now: Timestamp) -> Result<String> {
        let claims = TokenClaims {
            agent_id: agent_id.to_owned(),
            session_id: session_id.map(str::to_owned),
            issued_at: now.as_millis(),
            expires_at: now.as_millis() + LIFETIME_MS,
        };
        let payload = serde_json::to_vec(&claims)
            .map_err(|error| Error::internal("claims to JSON").with_source(error))?;
        let secret = self.0.first().ok_or_else(|| Error::internal("there is no token secret"))?;
        let mac = mac(secret, &payload).ok_or_else(|| Error::internal("the token secret cannot be used"))?;
        Ok(format!("{}.{}", URL_SAFE_NO_PAD.encode(&payload), to_hex(&mac.finalize().into_bytes())))
    }

    /// What a token says, if it is genuine and not expired; compared in constant time.
    pub(super) fn verify(&self, token: &str, now: Timestamp) -> Option<TokenClaims> {
        let (payload, signature) = token.split_once('.')?;
        let payload = URL_SAFE_NO_PAD.decode(payload).ok()?;
        let signature = from_hex(signature)?;
        let genuine = self
            .0
            .iter()
            .any(|secret| mac(secret, &payload).is_some_and(|mac| mac.verify_slice(&signature).is_ok()));
        let claims: TokenClaims = serde_json::from_slice(&payload).ok().filter(|_| genuine)?;
        (claims.expires_at >= now.as_millis()).then_some(claims)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_are_hmac_sha256_and_expire() {
        let secrets = TokenSecrets(vec![b"key".to_vec()]);
        let now = Timestamp::from_millis(1_700_000_000_000);
        let token = secrets.issue("agent-1", Some("s-1"), now).unwrap();
        let (payload, signature) = token.split_once('.').unwrap();
        let payload = String::from_utf8(URL_SAFE_NO_PAD.decode(payload).unwrap()).unwrap();
        assert_eq!(
            payload,
            r#"{"agent_id":"agent-1","session_id":"s-1","issued_at":1700000000000,"expires_at":1700003600000}"#
        );
        assert_eq!(signature.len(), 64);
        assert_eq!(secrets.verify(&token, now).unwrap().agent_id, "agent-1");
        assert_eq!(secrets.verify(&token, now.plus_millis(LIFETIME_MS + 1)), None);
        assert_eq!(secrets.verify(&format!("{token}.x"), now), None);
        assert_eq!(secrets.verify(&token.replace('a', "b"), now), None);

        // The known answer of RFC 2202's idea of HMAC, for SHA-256: key "key", the usual sentence about the fox.
        let known = mac(b"key", b"The quick brown fox jumps over the lazy dog").unwrap();
        assert_eq!(
            to_hex(&known.finalize().into_bytes()),
            "f7bc83f430538424b13298e6aa6fb143ef4d59a14946175997479dbc2d1a3cd8"
        );
    }

    #[test]
    fn a_retired_secret_still_verifies() {
        let now = Timestamp::from_millis(0);
        let old = TokenSecrets(vec![b"old".to_vec()]).issue("a", None, now).unwrap();
        let both = TokenSecrets(vec![b"new".to_vec(), b"old".to_vec()]);
        assert!(both.verify(&old, now).is_some());
        assert!(TokenSecrets(vec![b"new".to_vec()]).verify(&old, now).is_none());
    }
}
