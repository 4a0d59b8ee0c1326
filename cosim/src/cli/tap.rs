//! `cosim tap`.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use hwmodel::Device;

use super::args::{DeviceKind, TapArgs};
use super::output::Output;
use crate::addr::IfAddr;
use crate::error::Error;
use crate::host::{Host, HostConfig};
use crate::tap::Bridge;

/// Runs the command until a signal ends it.
pub fn run(args: &TapArgs) -> Result<(), Error> {
    let config = HostConfig {
        addrs: args.addr.clone(),
        ..args.host.config()
    };
    match args.host.device {
        DeviceKind::Rtl => join(args, || Host::new(&config)),
        DeviceKind::Model => join(args, || Host::with_model(&config)),
    }
}

fn join<D: Device + 'static>(
    args: &TapArgs,
    host: impl FnOnce() -> Result<Host<D>, Error>,
) -> Result<(), Error> {
    let json = Output::create(args.summary.as_deref())?;
    let mut bridge = Bridge::open(&args.tap, host)?;
    super::print(&how_to_reach(args))?;
    let summary = bridge.run()?;
    if let Some(file) = json {
        file.write(&summary.to_json())?;
    }
    super::print(&format!("\n{summary}\n"))
}

/// The commands that give this machine's end of the wire its addresses.
fn how_to_reach(args: &TapArgs) -> String {
    let mut text = format!(
        "{} is joined. Give this end of the wire its addresses, then talk:\n",
        args.tap
    );
    for addr in &args.addr {
        let Some(peer) = neighbour(*addr) else {
            text += &format!("  ip route add {} dev {}\n", addr.addr, args.tap);
            continue;
        };
        text += &format!(
            "  ip address add {peer}/{} dev {}",
            addr.prefix_len, args.tap
        );
        text += if addr.addr.is_ipv6() {
            " nodad\n"
        } else {
            "\n"
        };
    }
    text += &format!("  ip link set {} up\n", args.tap);
    if let Some(addr) = args.addr.first() {
        text += &format!("  ping {}", addr.addr);
        if let Some(port) = args.host.udp_echo.first() {
            text += &format!("\n  echo hello | nc -u -w 1 {} {port}", addr.addr);
        }
    }
    text + "\nCtrl-C ends it.\n"
}

/// Another address of the same network that a host may have: of IPv4 not the network's own nor its broadcast address (except in a
/// /31, RFC 3021), of IPv6 not the anycast address of its routers (RFC 4291 2.6.1). `None` when there is no other one.
fn neighbour(own: IfAddr) -> Option<IpAddr> {
    let (bits, len, v6) = match own.addr {
        IpAddr::V4(a) => (a.to_bits().into(), 32 - u32::from(own.prefix_len), false),
        IpAddr::V6(a) => (a.to_bits(), 128 - u32::from(own.prefix_len), true),
    };
    let hosts = 1u128.checked_shl(len).map_or(u128::MAX, |size| size - 1);
    let taken = |host: u128| len > 1 && (host == 0 || (!v6 && host == hosts));
    // The first address that is free, as people do.
    let peer = (0..=hosts.min(3)).find(|&host| host != bits & hosts && !taken(host))?;
    let peer = bits & !hosts | peer;
    Some(match v6 {
        false => Ipv4Addr::from_bits(peer as u32).into(),
        true => Ipv6Addr::from_bits(peer).into(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_other_end_has_another_address_that_a_host_may_have() {
        for (own, peer) in [
            ("10.9.0.2/24", Some("10.9.0.1")),
            ("10.9.0.1/24", Some("10.9.0.2")),
            ("10.9.0.254/24", Some("10.9.0.1")),
            ("10.9.0.3/30", Some("10.9.0.1")),
            ("10.9.0.1/30", Some("10.9.0.2")),
            ("10.9.0.0/31", Some("10.9.0.1")),
            ("10.9.0.1/31", Some("10.9.0.0")),
            ("10.9.0.1/32", None),
            ("fd00:9::2/64", Some("fd00:9::1")),
            ("fd00:9::1/64", Some("fd00:9::2")),
            ("fd00:9::1/127", Some("fd00:9::")),
            ("fd00:9::1/128", None),
            ("fd00:9::1/0", Some("::1")),
        ] {
            let found = neighbour(own.parse().unwrap()).map(|a| a.to_string());
            assert_eq!(found.as_deref(), peer, "{own}");
        }
    }
}
