//! Tells the program which compiler builds it.

use std::env;
use std::process::Command;

fn main() {
    let compiler = env::var("RUSTC").unwrap_or_else(|_| "rustc".to_string());
    let version = Command::new(compiler).arg("--version").output();
    let version = version.map(|output| String::from_utf8_lossy(&output.stdout).trim().to_string());
    println!("cargo::rustc-env=BENCH_COMPILER={}", version.unwrap_or_else(|_| "rustc".to_string()));
    println!("cargo::rerun-if-changed=build.rs");
}
