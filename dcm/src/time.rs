//! Time as DCM keeps it: UTC, cut to microseconds, read from a clock that tests can drive.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// What a text should have been that is no time.
pub(crate) const WANTED: &str =
    "must be a UTC time such as 2026-02-07T10:00:00.123Z, from 0001-01-01 to 9999-12-30T22:00:00Z";

/// An instant in UTC with microsecond precision.
///
/// PostgreSQL keeps microseconds, so every store compares equal. On the wire it is ISO 8601 with exactly three
/// fraction digits and `Z` (`2026-02-07T10:00:00.123Z`).
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Timestamp(i64);

impl Timestamp {
    /// The instant that lies `micros` microseconds after 1970-01-01T00:00:00Z, clamped to the years that both
    /// stores and the wire can write (0001 to 9999).
    #[must_use]
    pub fn from_micros(micros: i64) -> Self {
        // 0001-01-01T00:00:00Z and 9999-12-30T22:00:00Z, the range that jiff formats.
        Self(micros.clamp(-62_135_596_800_000_000, 253_402_207_200_000_000))
    }

    /// The instant that lies `millis` milliseconds after 1970-01-01T00:00:00Z.
    #[must_use]
    pub fn from_millis(millis: i64) -> Self {
        Self::from_micros(millis.saturating_mul(1000))
    }

    /// Microseconds since 1970-01-01T00:00:00Z.
    #[must_use]
    pub fn as_micros(self) -> i64 {
        self.0
    }

    /// Milliseconds since 1970-01-01T00:00:00Z, rounded down.
    #[must_use]
    pub fn as_millis(self) -> i64 {
        self.0.div_euclid(1000)
    }

    /// This instant moved forward by `millis` (backward when negative).
    #[must_use]
    pub fn plus_millis(self, millis: i64) -> Self {
        Self::from_micros(self.0.saturating_add(millis.saturating_mul(1000)))
    }

    /// Milliseconds from `earlier` to this instant; negative when `earlier` is later.
    #[must_use]
    pub fn millis_since(self, earlier: Self) -> i64 {
        (self.0 - earlier.0).div_euclid(1000)
    }

    /// The start of the UTC hour that holds this instant.
    #[must_use]
    pub fn start_of_hour(self) -> Self {
        const HOUR: i64 = 3_600_000_000;
        Self(self.0.div_euclid(HOUR) * HOUR)
    }

    /// Parses `YYYY-MM-DDTHH:MM:SS[.fraction]` followed by `Z` or a numeric offset.
    ///
    /// Returns `None` for anything else, and for what lies outside of the years that can be written
    /// ([`from_micros`](Self::from_micros)).
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let bytes = text.as_bytes();
        // jiff is more generous than the contract (it takes a space, or no seconds): the shape is checked here.
        let shaped = bytes.len() >= 20 && bytes.len() <= 64 && bytes[10] == b'T' && bytes[16] == b':';
        if !shaped {
            return None;
        }
        let at = text.parse::<jiff::Timestamp>().ok()?;
        let kept = Self::from(at);
        // Nothing is moved silently.
        (kept.0 == at.as_microsecond()).then_some(kept)
    }
}

impl From<jiff::Timestamp> for Timestamp {
    fn from(value: jiff::Timestamp) -> Self {
        Self::from_micros(value.as_microsecond())
    }
}

impl From<Timestamp> for jiff::Timestamp {
    fn from(value: Timestamp) -> Self {
        // `from_micros` clamps to the range in which this cannot fail.
        Self::from_microsecond(value.0).unwrap_or(Self::UNIX_EPOCH)
    }
}

/// The wire form has always this many bytes.
const WIRE_LENGTH: usize = 24;

impl Timestamp {
    /// The wire form, without a detour over the formatting machinery: a large answer holds thousands of times.
    fn to_wire(self) -> [u8; WIRE_LENGTH] {
        let millis = self.as_millis();
        let (days, in_day) = (millis.div_euclid(86_400_000), millis.rem_euclid(86_400_000));
        let (year, month, day) = civil_from_days(days);
        let mut text = *b"0000-00-00T00:00:00.000Z";
        let mut put = |at: usize, width: usize, mut number: i64| {
            for place in (at..at + width).rev() {
                text[place] = b'0' + u8::try_from(number.rem_euclid(10)).unwrap_or(0);
                number /= 10;
            }
        };
        put(0, 4, year);
        put(5, 2, month);
        put(8, 2, day);
        put(11, 2, in_day / 3_600_000);
        put(14, 2, in_day / 60_000 % 60);
        put(17, 2, in_day / 1000 % 60);
        put(20, 3, in_day % 1000);
        text
    }
}

/// Year, month and day of the proleptic Gregorian calendar for a number of days since 1970-01-01: years are counted
/// from 1 March, in eras of 400 years (the algorithm known as `civil_from_days`).
fn civil_from_days(days: i64) -> (i64, i64, i64) {
    let shifted = days + 719_468;
    let era = shifted.div_euclid(146_097);
    let day_of_era = shifted.rem_euclid(146_097);
    let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted_month = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * shifted_month + 2) / 5 + 1;
    let month = if shifted_month < 10 { shifted_month + 3 } else { shifted_month - 9 };
    (year_of_era + era * 400 + i64::from(month <= 2), month, day)
}

impl fmt::Display for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(std::str::from_utf8(&self.to_wire()).unwrap_or_default())
    }
}

impl fmt::Debug for Timestamp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl Serialize for Timestamp {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(std::str::from_utf8(&self.to_wire()).unwrap_or_default())
    }
}

impl<'de> Deserialize<'de> for Timestamp {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        Self::parse(&text).ok_or_else(|| serde::de::Error::custom(WANTED))
    }
}

impl schemars::JsonSchema for Timestamp {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "Timestamp".into()
    }

    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({
            "type": "string",
            "format": "date-time",
            "description": "ISO 8601 in UTC with exactly three fraction digits"
        })
    }
}

/// Where DCM gets the time from.
pub trait Clock: Send + Sync + fmt::Debug {
    /// The present instant.
    fn now(&self) -> Timestamp;
}

/// The clock of the machine.
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    #[expect(clippy::disallowed_methods, reason = "this is the one place that reads the machine's clock")]
    fn now(&self) -> Timestamp {
        jiff::Timestamp::now().into()
    }
}

/// A clock that stands still until it is moved; cheap to clone, all clones show the same time.
#[derive(Debug, Clone)]
pub struct ManualClock(Arc<AtomicI64>);

impl ManualClock {
    /// A clock that shows `start`.
    #[must_use]
    pub fn new(start: Timestamp) -> Self {
        Self(Arc::new(AtomicI64::new(start.as_micros())))
    }

    /// Moves the clock forward by `millis`.
    pub fn advance_millis(&self, millis: i64) {
        self.0.fetch_add(millis.saturating_mul(1000), Ordering::SeqCst);
    }
}

impl Clock for ManualClock {
    fn now(&self) -> Timestamp {
        Timestamp::from_micros(self.0.load(Ordering::SeqCst))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn three_fraction_digits_always() {
        assert_eq!(Timestamp::from_micros(0).to_string(), "1970-01-01T00:00:00.000Z");
        assert_eq!(Timestamp::from_micros(1_123_456).to_string(), "1970-01-01T00:00:01.123Z");
        assert_eq!(Timestamp::from_micros(i64::MIN).to_string(), "0001-01-01T00:00:00.000Z");
    }

    proptest::proptest! {
        #[test]
        fn the_wire_form_is_that_of_the_calendar(micros in i64::MIN..i64::MAX) {
            let time = Timestamp::from_micros(micros);
            let civil = jiff::Timestamp::from(time).to_zoned(jiff::tz::TimeZone::UTC);
            let expected = civil.strftime("%Y-%m-%dT%H:%M:%S").to_string();
            let text = time.to_string();
            proptest::prop_assert_eq!(&text[..19], expected.as_str());
            let back = Timestamp::parse(&text).unwrap();
            proptest::prop_assert_eq!(back.as_millis(), time.as_millis());
        }
    }

    #[test]
    fn parses_the_contract_form_and_nothing_looser() {
        let parsed = Timestamp::parse("2026-02-07T10:00:00.123456Z").unwrap();
        assert_eq!(parsed.to_string(), "2026-02-07T10:00:00.123Z");
        assert_eq!(parsed.as_micros() % 1000, 456);
        for bad in [
            "",
            "2026-02-07",
            "2026-02-07 10:00:00Z",
            "2026-02-07T10:00Z",
            "yesterday",
            "2026-13-07T10:00:00Z",
            // Times that a store could only keep as another time.
            "0000-12-31T23:59:59Z",
            "0001-01-01T00:30:00+01:00",
            "9999-12-30T22:00:00.001Z",
            "+012026-02-07T10:00:00Z",
        ] {
            assert_eq!(Timestamp::parse(bad), None, "{bad}");
        }
        for (written, kept) in [
            ("0001-01-01T00:00:00Z", "0001-01-01T00:00:00.000Z"),
            ("9999-12-30T22:00:00Z", "9999-12-30T22:00:00.000Z"),
            ("2026-02-07T10:00:00+02:00", "2026-02-07T08:00:00.000Z"),
        ] {
            assert_eq!(Timestamp::parse(written).map(|time| time.to_string()).as_deref(), Some(kept));
        }
    }
}
