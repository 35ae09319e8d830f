//! Takes secrets out of recorded tool texts before they are stored (DESIGN 8).
//!
//! What is recognised: the well-known shapes of tokens (cloud keys, forge and chat tokens, model provider keys, JSON
//! web tokens), private key blocks, bearer and basic credentials, passwords inside URLs, and values that stand beside a
//! name such as `password`, `secret`, `api_key` or `token`. A secret without any such shape cannot be told from other
//! text.

use std::borrow::Cow;
use std::sync::LazyLock;

use regex::{Captures, Regex};

/// What stands where a secret was.
const REDACTED: &str = "[redacted]";

/// One expression for all, so that a text is read once. Group 1, where there is one, is kept.
static SECRETS: LazyLock<Option<Regex>> = LazyLock::new(|| {
    let shapes = [
        // Private keys.
        r"-----BEGIN [A-Z ]*PRIVATE KEY-----(?s:.*?)(?:-----END [A-Z ]*PRIVATE KEY-----|\z)",
        // AWS, GitHub, GitLab, Slack, Google, Stripe, npm, model providers, JSON web tokens.
        r"(?-u:\b)(?:AKIA|ASIA)[0-9A-Z]{16}(?-u:\b)",
        r"(?-u:\b)gh[pousr]_[A-Za-z0-9]{20,}(?-u:\b)",
        r"(?-u:\b)github_pat_[A-Za-z0-9_]{20,}(?-u:\b)",
        r"(?-u:\b)glpat-[A-Za-z0-9_-]{16,}",
        r"(?-u:\b)xox[abeprs]-[A-Za-z0-9-]{10,}",
        r"(?-u:\b)AIza[0-9A-Za-z_-]{35}(?-u:\b)",
        r"(?-u:\b)[rs]k_(?:live|test)_[0-9A-Za-z]{16,}(?-u:\b)",
        r"(?-u:\b)npm_[A-Za-z0-9]{30,}(?-u:\b)",
        r"(?-u:\b)sk-[A-Za-z0-9_-]{20,}",
        r"(?-u:\b)eyJ[A-Za-z0-9_-]{8,}\.eyJ[A-Za-z0-9_-]{8,}\.[A-Za-z0-9_-]{8,}",
        // `Authorization: Bearer …`
        r"((?i-u:\b(?:bearer|basic)[\x20\t]+))[A-Za-z0-9+/=._~-]{16,}",
        // `scheme://user:password@host`
        r"((?-u:\b)[a-z][a-z0-9+.-]{0,30}://[^\s:/@]*:)[^\s/@]+@",
        // `PASSWORD=…`, `"api_key": "…"`, also inside JSON text, where quotes are escaped.
        r#"((?i-u:(?:passw(?:or)?d|secret|(?:api|access|private)[_-]?key|(?:auth|access)[_-]?token)[a-z0-9_-]{0,20}\\?["']?[\x20\t]*[:=][\x20\t]*\\?["']?))[^\s"'\\,;&|)}]{6,}"#,
    ];
    Regex::new(&shapes.map(|shape| format!("(?:{shape})")).join("|")).ok()
});

/// `text` without the secrets that can be recognised.
#[must_use]
pub(crate) fn redact(text: &str) -> Cow<'_, str> {
    let Some(secrets) = &*SECRETS else { return Cow::Borrowed(text) };
    secrets.replace_all(text, |found: &Captures<'_>| {
        let kept = found.iter().skip(1).flatten().next().map_or("", |group| group.as_str());
        let at = if found[0].ends_with('@') { "@" } else { "" };
        format!("{kept}{REDACTED}{at}")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_go_and_the_rest_stays() {
        for (text, expected) in [
            ("export AWS_ACCESS_KEY_ID=AKIAIOSFODNN7EXAMPLE", "export AWS_ACCESS_KEY_ID=[redacted]"),
            (
                "curl -H 'Authorization: Bearer abcdefghijklmnop1234'",
                "curl -H 'Authorization: Bearer [redacted]'",
            ),
            ("psql postgres://me:hunter2hunter@db/x", "psql postgres://me:[redacted]@db/x"),
            (r#"{"command":"PASSWORD=swordfish ./run"}"#, r#"{"command":"PASSWORD=[redacted] ./run"}"#),
            (r#"{"body":"{\"api_key\": \"k-12345678\"}"}"#, r#"{"body":"{\"api_key\": \"[redacted]\"}"}"#),
            ("ghp_abcdefghijklmnopqrstuvwxyz012345 ok", "[redacted] ok"),
        ] {
            assert_eq!(redact(text), expected);
        }
        let key = "a\n-----BEGIN RSA PRIVATE KEY-----\nMIIE\n-----END RSA PRIVATE KEY-----\nb";
        assert_eq!(redact(key), "a\n[redacted]\nb");
    }

    #[test]
    fn ordinary_text_is_not_touched() {
        for text in [
            "let token = lexer.next_token();",
            "fn password_is_valid(password: &str) -> bool",
            "https://example.org/a?b=c",
            "git log --oneline -3",
            "secret: yes",
        ] {
            assert!(matches!(redact(text), Cow::Borrowed(_)), "{text}");
        }
    }
}
