//! Typed identifiers: one newtype per resource, all of them UUIDs that the wire writes hyphenated in lower case.

use std::fmt;
use std::str::FromStr;
use std::sync::{Arc, Mutex, PoisonError};

use serde::{Deserialize, Deserializer, Serialize, Serializer};
use uuid::{ContextV7, Uuid};

use crate::time::Clock;

/// Why a text is not an id.
pub(crate) const NOT_A_UUID: &str = "must be a UUID such as 01890a5d-ac96-774b-bcce-b302099a8057";

/// Accepts what the contract calls a uuid: hyphenated, version 1 to 8 with the RFC 9562 variant, or all zeros.
fn parse_strict(text: &str) -> Option<Uuid> {
    if text.len() != 36 {
        return None;
    }
    let uuid = Uuid::try_parse(text).ok()?;
    let known_version =
        (1..=8).contains(&uuid.get_version_num()) && uuid.get_variant() == uuid::Variant::RFC4122;
    (uuid.is_nil() || known_version).then_some(uuid)
}

macro_rules! ids {
    ($($(#[$doc:meta])* $name:ident,)+) => {$(
        $(#[$doc])*
        #[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(Uuid);

        impl $name {
            /// Wraps a UUID that is already known to be one of these.
            #[must_use]
            pub const fn from_uuid(uuid: Uuid) -> Self {
                Self(uuid)
            }

            /// The UUID inside.
            #[must_use]
            pub const fn as_uuid(self) -> Uuid {
                self.0
            }
        }

        impl From<Uuid> for $name {
            fn from(uuid: Uuid) -> Self {
                Self(uuid)
            }
        }

        impl FromStr for $name {
            type Err = &'static str;

            fn from_str(text: &str) -> Result<Self, Self::Err> {
                parse_strict(text).map(Self).ok_or(NOT_A_UUID)
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(&self.0, f)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(&self.0, f)
            }
        }

        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                let mut buffer = Uuid::encode_buffer();
                serializer.serialize_str(self.0.hyphenated().encode_lower(&mut buffer))
            }
        }

        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let text = std::borrow::Cow::<'_, str>::deserialize(deserializer)?;
                text.parse().map_err(serde::de::Error::custom)
            }
        }

        impl schemars::JsonSchema for $name {
            fn schema_name() -> std::borrow::Cow<'static, str> {
                stringify!($name).into()
            }

            fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
                schemars::json_schema!({"type": "string", "format": "uuid"})
            }
        }
    )+};
}

ids! {
    /// One recorded tool invocation.
    ActionId,
    /// What is remembered of one agent in one project.
    AgentContextId,
    /// One "A blocks B" relation.
    BlockingId,
    /// One compiled brief.
    BriefId,
    /// One compaction of a session's context.
    CompactionId,
    /// One logical event, whatever the number of channels it is delivered on.
    EventId,
    /// One message between agents.
    MessageId,
    /// One project (a directory that agents work in).
    ProjectId,
    /// One user prompt.
    RequestId,
    /// One topic subscription of an agent.
    SubscriptionId,
    /// One piece of work of one agent.
    SubtaskId,
    /// One wave of subtasks.
    TaskId,
}

/// Where DCM gets new ids from: UUIDv7, ordered by the time of the given clock and, within one process, by
/// creation.
#[derive(Debug, Clone)]
pub struct IdSource {
    clock: Arc<dyn Clock>,
    // Held only for the few instructions that draw one id, so a std mutex.
    context: Arc<Mutex<ContextV7>>,
}

impl IdSource {
    /// A source whose ids carry the time of `clock`.
    #[must_use]
    pub fn new(clock: Arc<dyn Clock>) -> Self {
        Self { clock, context: Arc::new(Mutex::new(ContextV7::new())) }
    }

    /// A new id.
    #[must_use]
    pub fn next<Id: From<Uuid>>(&self) -> Id {
        let micros = self.clock.now().as_micros().max(0).unsigned_abs();
        let nanos = u32::try_from(micros % 1_000_000 * 1000).unwrap_or(0);
        let context = self.context.lock().unwrap_or_else(PoisonError::into_inner);
        Uuid::new_v7(uuid::Timestamp::from_unix(&*context, micros / 1_000_000, nanos)).into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::time::{ManualClock, Timestamp};

    #[test]
    fn ids_of_one_instant_keep_their_order() {
        let source = IdSource::new(Arc::new(ManualClock::new(Timestamp::from_millis(1_700_000_000_000))));
        let ids: Vec<EventId> = (0..1000).map(|_| source.next()).collect();
        assert!(ids.windows(2).all(|pair| pair[0] < pair[1]));
    }

    #[test]
    fn the_contracts_uuid_rule() {
        assert!("00000000-0000-0000-0000-000000000000".parse::<TaskId>().is_ok());
        assert!("01890A5D-AC96-774B-BCCE-B302099A8057".parse::<TaskId>().is_ok());
        for bad in [
            "",
            "11111111-1111-1111-1111-111111111111",
            "{01890a5d-ac96-774b-bcce-b302099a8057}",
            "01890a5dac96774bbcceb302099a8057",
            "not-a-uuid",
        ] {
            assert!(bad.parse::<TaskId>().is_err(), "{bad}");
        }
    }
}
