//! How the `dcm` command is linked.

#![expect(
    clippy::disallowed_methods,
    reason = "cargo tells build scripts everything through the environment"
)]

use std::env;

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    let target = |name: &str| env::var(format!("CARGO_CFG_TARGET_{name}")).unwrap_or_default();
    // `dcm hook` is started for every tool call. A program that may lie anywhere in memory has some 12,000 addresses to
    // correct each time it starts, on 50 pages that are copied for it: a tenth of the time of a hook.
    // A program without shared libraries is linked in a way of its own.
    let is_static = target("FEATURE").split(',').any(|feature| feature == "crt-static");
    let is_known = target("OS") == "linux" && target("ENV") == "gnu" && !is_static;
    if is_known && env::var_os("CARGO_FEATURE_CLI").is_some() {
        println!("cargo::rustc-link-arg-bin=dcm=-no-pie");
    }
}
