//! Places in the event log.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// A place in the event log: everything up to and including it.
///
/// The log is numbered without holes. A promoted standby or a restored backup may give numbers out again; then the
/// epoch is raised, so a position of before says whether it is still true. On the wire it is one text (`"1-42"`) that
/// clients only hand back; `"0"` is the place before everything.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Position {
    /// Which log; the number changes when numbers are given out again.
    pub epoch: i64,
    /// Which event of it.
    pub seq: i64,
}

/// Why a text is not a position.
const NOT_A_POSITION: &str =
    "must be a position as DCM wrote it, such as \"1-42\", or \"0\" for the beginning";

impl Position {
    /// The place before everything.
    pub const START: Self = Self { epoch: 0, seq: 0 };

    /// The place of event `seq` in epoch `epoch`.
    #[must_use]
    pub const fn new(epoch: i64, seq: i64) -> Self {
        Self { epoch, seq }
    }
}

impl fmt::Display for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if *self == Self::START { f.write_str("0") } else { write!(f, "{}-{}", self.epoch, self.seq) }
    }
}

impl FromStr for Position {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if text == "0" {
            return Ok(Self::START);
        }
        let number = |digits: &str| {
            let plain = !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit());
            plain.then(|| digits.parse::<i64>().ok()).flatten()
        };
        let (epoch, seq) = text.split_once('-').ok_or(NOT_A_POSITION)?;
        match (number(epoch), number(seq)) {
            (Some(epoch), Some(seq)) => Ok(Self { epoch, seq }),
            _ => Err(NOT_A_POSITION),
        }
    }
}

impl Serialize for Position {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Position {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<'_, str>::deserialize(deserializer)?;
        text.parse().map_err(serde::de::Error::custom)
    }
}

impl schemars::JsonSchema for Position {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Position".into()
    }

    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({
            "type": "string",
            "description": "A place in the event log, to be handed back as it is"
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_can_be_read() {
        for position in [Position::START, Position::new(1, 0), Position::new(3, i64::MAX)] {
            assert_eq!(position.to_string().parse(), Ok(position));
        }
        for bad in ["", "-", "1", "1-", "-1", "+1-2", "1-2-3", "1-9223372036854775808", " 1-2", "x"] {
            assert!(bad.parse::<Position>().is_err(), "{bad}");
        }
        assert!(Position::new(1, 50) < Position::new(2, 3));
    }
}
