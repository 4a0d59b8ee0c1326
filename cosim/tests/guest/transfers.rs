//! Files that go through the card, and what it did with them.

use std::time::{Duration, Instant};

use driver::Feature;

use crate::cases::Outcome;
use crate::machine::Machine;
use crate::network::{Background, GUEST, HOST};

/// Payload bytes of a full TCP segment with timestamps, over IPv4 and over IPv6.
const MSS: u64 = 1448;
const MSS6: u64 = 1428;

/// Bytes that go each way.
fn transfer() -> usize {
    crate::machine::megabytes() * 1_000_000
}

/// `len` bytes that no two positions share a pattern of, and the same every time.
pub fn payload(len: usize) -> Vec<u8> {
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let mut bytes = Vec::with_capacity(len + 8);
    while bytes.len() < len {
        // xorshift64
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        bytes.extend_from_slice(&state.to_le_bytes());
    }
    bytes.truncate(len);
    bytes
}

/// This end's web server, with `file` of so many bytes below `dir`.
pub fn httpd(m: &mut Machine, dir: &std::path::Path, len: usize) -> Result<Background, String> {
    std::fs::write(dir.join("file"), payload(len)).map_err(|e| e.to_string())?;
    let mut httpd = m.network.command(&m.busybox);
    httpd.args(["httpd", "-f", "-p", "80", "-h"]).arg(dir);
    let httpd = Background(httpd.spawn().map_err(|e| e.to_string())?);
    let wait = "for i in 1 2 3 4 5 6 7 8 9; do nc -z";
    m.run(&format!(
        "{wait} {} 80 && break; usleep 200000; done",
        HOST.0
    ))?;
    Ok(httpd)
}

pub fn download(m: &mut Machine) -> Outcome {
    fetch(m, HOST.0, transfer())
}

/// The guest fetches `len` bytes from one of this end's addresses.
fn fetch(m: &mut Machine, from: &str, len: usize) -> Outcome {
    let dir = tempfile::tempdir().map_err(|e| e.to_string())?;
    let file = dir.path().join("file");
    let _httpd = httpd(m, dir.path(), len)?;

    let started = Instant::now();
    m.run(&format!("wget -q -O /tmp/file http://{from}/file"))?;
    let took = started.elapsed();
    let there = m.run("sha256sum < /tmp/file")?;
    let here = sha256sum(m, &file)?;
    same_sum(&here, &there, len, took)
}

pub fn upload(m: &mut Machine) -> Outcome {
    send(m, GUEST.0, transfer())
}

/// This end fetches what the guest has fetched from one of the guest's addresses.
fn send(m: &mut Machine, from: &str, len: usize) -> Outcome {
    m.run("mv /tmp/file /www/file; pidof httpd || httpd -p 80 -h /www")?;
    let there = m.run("sha256sum < /www/file")?;
    let dir = tempfile::tempdir().map_err(|e| e.to_string())?;
    let file = dir.path().join("file");
    let url = format!("http://{from}/file");
    let started = Instant::now();
    let mut wget = m.network.command(&m.busybox);
    crate::network::run(wget.args(["wget", "-q", "-O"]).arg(&file).arg(url))?;
    let took = started.elapsed();
    if std::fs::read(&file).map_err(|e| e.to_string())? != payload(len) {
        return Err("other bytes than were sent".into());
    }
    let here = sha256sum(m, &file)?;
    same_sum(&here, &there, len, took)
}

/// TCP over IPv6, a tenth of the megabytes, where the card cuts and joins most segments if it may.
// shows (guest): 5.1.6.2-2
pub fn both_ways6(m: &mut Machine) -> Outcome {
    let joins = ["/nic/rx_coalesced", "/nic/rx_lro_frames"];
    let cuts = ["/nic/tx_gso", "/nic/tx_segments"];
    let counts = |m: &Machine, names: [&str; 2]| -> Result<[u64; 2], String> {
        Ok([m.stat(names[0])?, m.stat(names[1])?])
    };
    let since = |now: [u64; 2], before: [u64; 2]| [now[0] - before[0], now[1] - before[1]];
    let bits = m.stats()?["feature_bits"][1].as_u64().unwrap_or(0);
    let acknowledged = Feature::from_bits(bits);
    let len = (transfer() / 10).max(1_000_000);
    let all = len as u64 / MSS6;

    let before = counts(m, joins)?;
    let down = fetch(m, &format!("[{}]", HOST.1), len)?;
    let [joined, frames] = since(counts(m, joins)?, before);
    let joins = joined >= all / 2 && frames > 0 && frames < joined;
    if acknowledged.contains(Feature::GUEST_TSO6) && !joins {
        return Err(format!(
            "{joined} segments in {frames} frames, of {all} that came"
        ));
    }
    let before = counts(m, cuts)?;
    let up = send(m, &format!("[{}]", GUEST.1), len)?;
    let [chains, cut] = since(counts(m, cuts)?, before);
    let cuts = cut >= all / 2 && chains > 0 && chains < cut;
    if acknowledged.contains(Feature::HOST_TSO6) && !cuts {
        return Err(format!(
            "{cut} segments of {chains} chains, of {all} that went"
        ));
    }
    Ok(format!(
        "to the guest {down}, {joined} joined into {frames}; from it {up}, {cut} cut from {chains}"
    ))
}

/// What `sha256sum` says of a file of this end.
pub fn sha256sum(m: &Machine, file: &std::path::Path) -> Outcome {
    let mut sum = std::process::Command::new(&m.busybox);
    crate::network::run(sum.arg("sha256sum").arg(file))
}

fn same_sum(here: &str, there: &str, len: usize, took: Duration) -> Outcome {
    let sum = |text: &str| text.split_whitespace().next().unwrap_or("").to_string();
    let (here, there) = (sum(here), sum(there));
    if here.len() != 64 || here != there {
        return Err(format!("SHA-256 is {here} here and {there} in the guest"));
    }
    let rate = len as f64 / 1e6 / took.as_secs_f64();
    Ok(format!("SHA-256 {}…, {rate:.1} MB/s", &here[..8]))
}

/// Both transfers went through the card's checksum units.
// shows (guest): 5.1.6.2-1, 5.1.6.4.1-18
pub fn checksums(m: &mut Machine) -> Outcome {
    let filled = m.stat("/nic/tx_csum")?;
    // What is joined was verified before, and says so once only.
    let verified = m.stat("/nic/rx_csum_valid")? + m.stat("/nic/rx_coalesced")?;
    let segments = transfer() as u64 / MSS;
    if filled < segments || verified < segments {
        return Err(format!(
            "{filled} filled in, {verified} verified; sent {segments} each way"
        ));
    }
    let wrong = m.run("grep ^Tcp: /proc/net/snmp | tail -n 1")?;
    let errors = wrong.split_whitespace().last().unwrap_or("?").to_string();
    if errors != "0" {
        return Err(format!(
            "the guest counts {errors} TCP segments with a bad checksum"
        ));
    }
    Ok(format!("{filled} filled in, {verified} verified, 0 wrong"))
}

/// The guest sent and got its megabytes in pieces larger than the wire's.
// shows (guest): 5.1.6.2-2
pub fn segments(m: &mut Machine) -> Outcome {
    let (chains, cut) = (m.stat("/nic/tx_gso")?, m.stat("/nic/tx_segments")?);
    let (joined, frames) = (m.stat("/nic/rx_coalesced")?, m.stat("/nic/rx_lro_frames")?);
    if chains == 0 || cut <= chains || frames == 0 || joined <= frames {
        return Err(format!(
            "{cut} segments of {chains} chains, {joined} segments in {frames} frames"
        ));
    }
    Ok(format!(
        "{cut} segments cut from {chains} chains, {joined} joined into {frames} frames"
    ))
}
