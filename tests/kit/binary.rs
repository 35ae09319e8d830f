//! Where the programs under test lie, and that they are up to date.

use std::env;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

/// Set by `tests/run`, which has built the programs itself.
const BUILT: &str = "DCM_TEST_BINARIES_BUILT";

/// The program `name` of the build that the running test belongs to.
///
/// Cargo builds a package's programs for the tests of that package only, so without `tests/run` they are built here,
/// once per process: a test must not run against the program of yesterday.
pub(crate) fn program(name: &str) -> PathBuf {
    static FOLDER: OnceLock<PathBuf> = OnceLock::new();
    let folder = FOLDER.get_or_init(|| {
        let folder = build_folder();
        if env::var_os(BUILT).is_none() {
            build(&folder);
        }
        folder
    });
    let path = folder.join(name);
    assert!(
        path.is_file(),
        "{} is not there: run `tests/run`, or `cargo build --workspace --bins --all-features` before the tests",
        path.display()
    );
    path
}

/// `target/debug`, seen from `target/debug/deps/some_test-0123456789abcdef`.
fn build_folder() -> PathBuf {
    let test = env::current_exe().expect("the path of the running test");
    test.parent().and_then(Path::parent).expect("tests lie in a subfolder of the build folder").to_owned()
}

fn build(folder: &Path) {
    let profile = match folder.file_name().and_then(|name| name.to_str()) {
        Some("debug") | None => "dev",
        Some(profile) => profile,
    };
    let cargo = env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let built = Command::new(cargo)
        .current_dir(env!("CARGO_MANIFEST_DIR"))
        .args([
            "build",
            "--quiet",
            "--workspace",
            "--bins",
            "--all-features",
            "--profile",
            profile,
            "--target-dir",
        ])
        .arg(folder.parent().expect("the build folder lies in the target folder"))
        .status()
        .expect("cargo runs");
    assert!(built.success(), "the programs under test do not build");
}
