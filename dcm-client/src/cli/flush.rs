//! What waits is delivered before any command that speaks to the server.

use std::time::{Duration, Instant};

use super::place::{Server, client_folder};
use super::replay::{Drained, drain};
use super::spool::Spool;
use super::upload;
use super::wire::Wire;

/// How long a command may be held up by what waits.
const LONGEST: Duration = Duration::from_secs(20);
/// How long one call of it may take.
const LONGEST_CALL: Duration = Duration::from_secs(5);

/// Delivers what waits for this server. It says nothing: the command that follows says whether the server is there.
pub(super) fn before_a_command(server: &Server) {
    let Some(folder) = client_folder() else { return };
    let spool = Spool::at(folder.join("spool").join(server.folder_name()));
    let waits = !spool.is_empty();
    let todo = !upload::todos(spool.folder()).is_empty();
    if !waits && !todo {
        return;
    }
    let Some(wire) = Wire::to(server) else { return };
    let deadline = Instant::now() + LONGEST;
    let drained = drain(&spool, &wire, deadline, LONGEST_CALL, None, |_, _| {});
    if drained.is_ok_and(|drained| drained == Drained::Empty) {
        spool.resume();
        upload::catch_up(&wire, spool.folder(), None, deadline);
        upload::tidy(spool.folder());
    }
}
