//! The MAC's testbenches with one seed each; `cargo run -p testbenches` runs others.

use testbenches::{Options, mac};

fn run(name: &str) {
    let testbench = mac::TESTBENCHES
        .iter()
        .find(|testbench| testbench.name == name)
        .expect("in the table");
    let options = Options::default();
    match (testbench.run)(&options) {
        Ok(report) => println!("{name}, seed {}: {report}", options.seed),
        Err(error) => panic!("{name}: {error}"),
    }
}

#[test]
fn crc32() {
    run("mac_crc32");
}

#[test]
fn rx() {
    run("mac_rx");
}

#[test]
fn tx() {
    run("mac_tx");
}

#[test]
fn rx_of_tx() {
    run("mac_loop");
}

#[test]
fn control_rx() {
    run("mac_control_rx");
}

#[test]
fn pause_tx() {
    run("mac_pause_tx");
}

#[test]
fn xoff() {
    run("mac_xoff");
}
