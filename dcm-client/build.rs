//! How the `dcm` command is linked.

use std::env;

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    let target = |name: &str| env::var(format!("CARGO_CFG_TARGET_{name}")).unwrap_or_default();
    // `dcm hook` is started for every tool call. A program that may lie anywhere in memory has some 12,000 addresses to
    // correct each time it starts, on 50 pages that are copied for it: a tenth of the time of a hook.
    if target("OS") == "linux" && target("ENV") == "gnu" && env::var_os("CARGO_FEATURE_CLI").is_some() {
        println!("cargo::rustc-link-arg-bin=dcm=-no-pie");
    }
}
