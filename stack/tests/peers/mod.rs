//! Tests that compare with something outside of this project (the machine's kernel, tshark, QEMU …), and when they may go without.
//!
//! The environment variable `WIREPATH_PEERS` names what is there, with commas between: `netns,tun,tshark`. A test that skips although all
//! that it needs is named fails, so that no test is lost unnoticed where it can run. `required` names everything. `.ci/run` sets it
//! to what it found.

/// Says that a test does not run here, and why. `needs`: what it needs, as in `WIREPATH_PEERS`: programs by their name, `netns`
/// (the right to make network namespaces), `tun` (TAP devices), `ifb` (ifb and veth devices), `bpf` (programs loaded into the kernel, with
/// libbpf), `guest` (what `make guest` fetches).
///
/// # Panics
/// Where all of that is there.
pub fn skip(needs: &[&str], reason: &str) {
    let there = std::env::var("WIREPATH_PEERS").unwrap_or_default();
    assert!(
        !required(&there, needs),
        "WIREPATH_PEERS={there}, but {reason}"
    );
    println!("skipped: {reason}");
}

/// Whether a test with these needs has to run.
fn required(there: &str, needs: &[&str]) -> bool {
    let there: Vec<&str> = there.split(',').map(str::trim).collect();
    there.contains(&"required") || needs.iter().all(|need| there.contains(need))
}

#[test]
fn what_is_there_is_required() {
    assert!(required("required", &["netns", "tun"]));
    assert!(required("nft, netns,tun", &["netns", "tun"]));
    assert!(!required("nft,netns", &["netns", "tun"]));
    assert!(!required("", &["netns"]));
}
