//! Transcripts on disk to observations, and observations to batches that one request can carry.

use std::fs::File;
use std::io::{self, BufRead, BufReader};
use std::path::Path;
use std::time::Instant;

use dcm::api::ingest::Observation;
use dcm::transcript::{Hints, Parsed, Parser, Source};

use super::discover::SessionFile;

/// The most observations in one batch.
const BATCH_COUNT: usize = 500;
/// The most bytes of JSON in one batch, unless one observation alone has more.
const BATCH_BYTES: usize = 4 << 20;
/// After how many lines the time is looked at.
const LINES_BETWEEN_LOOKS: u64 = 64;

/// Reads a session's transcript and those of its sub-agents; an error of the kind `TimedOut` when that takes until
/// `deadline`.
pub(super) fn read(session: &SessionFile, deadline: Option<Instant>) -> io::Result<Parsed> {
    let stem = session.path.file_stem().map(|stem| stem.to_string_lossy().into_owned());
    let mut parser = Parser::new(Hints { session_id: stem });
    feed(&mut parser, Source::Session, &session.path, deadline)?;
    for (id, path) in &session.agents {
        if let Ok(meta) = std::fs::read_to_string(path.with_extension("meta.json")) {
            parser.feed_agent_meta(id, &meta);
        }
        feed(&mut parser, Source::Agent(id), path, deadline)?;
    }
    Ok(parser.finish())
}

/// Line by line, so that only one line is in memory at a time.
fn feed(parser: &mut Parser, source: Source<'_>, path: &Path, deadline: Option<Instant>) -> io::Result<()> {
    let mut reader = BufReader::with_capacity(1 << 18, File::open(path)?);
    let mut line = Vec::new();
    for number in 1.. {
        line.clear();
        if reader.read_until(b'\n', &mut line)? == 0 {
            break;
        }
        if number % LINES_BETWEEN_LOOKS == 0 && deadline.is_some_and(|deadline| Instant::now() >= deadline) {
            return Err(io::ErrorKind::TimedOut.into());
        }
        // Bytes that are no UTF-8 become U+FFFD: the rest of the line still says something.
        parser.feed_line(source, number, &String::from_utf8_lossy(&line));
    }
    Ok(())
}

/// Cuts observations, in their order, into batches that one request can carry.
pub(super) fn batches(observations: Vec<Observation>) -> Vec<Vec<Observation>> {
    let mut batches: Vec<Vec<Observation>> = Vec::new();
    let mut bytes = 0;
    for observation in observations {
        let size = serde_json::to_string(&observation).map_or(0, |text| text.len());
        match batches.last_mut() {
            Some(batch) if batch.len() < BATCH_COUNT && bytes + size <= BATCH_BYTES => {
                batch.push(observation);
                bytes += size;
            }
            _ => {
                batches.push(vec![observation]);
                bytes = size;
            }
        }
    }
    batches
}

#[cfg(test)]
mod tests {
    use dcm::Timestamp;

    use super::*;

    fn observation(text: &str) -> Observation {
        let at = Timestamp::from_millis(0);
        Observation::Prompt {
            key: "k".to_owned(),
            at,
            text: text.to_owned(),
            prompt_type: None,
            metadata: None,
        }
    }

    #[test]
    fn batches_keep_the_order_and_their_limits() {
        let many: Vec<Observation> = (0..1201).map(|number| observation(&number.to_string())).collect();
        let cut = batches(many.clone());
        assert_eq!(cut.iter().map(Vec::len).collect::<Vec<_>>(), [500, 500, 201]);
        assert_eq!(cut.concat(), many);

        let big = observation(&"x".repeat(BATCH_BYTES / 2));
        let cut = batches(vec![big.clone(), big.clone(), observation(&"x".repeat(BATCH_BYTES)), big]);
        assert_eq!(cut.iter().map(Vec::len).collect::<Vec<_>>(), [1, 1, 1, 1]);
        assert!(batches(Vec::new()).is_empty());
    }
}
