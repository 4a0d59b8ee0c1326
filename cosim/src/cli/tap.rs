//! `cosim tap`.

use hwmodel::Device;

use super::args::{DeviceKind, TapArgs};
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
    let mut bridge = Bridge::open(&args.tap, host)?;
    super::print(&how_to_reach(args))?;
    let summary = bridge.run()?;
    if let Some(path) = &args.summary {
        summary.write_json(path)?;
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
        let peer = neighbour(addr.addr);
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

/// Another address of the same network: the last bit but one or the last is changed.
fn neighbour(addr: std::net::IpAddr) -> std::net::IpAddr {
    match addr {
        std::net::IpAddr::V4(a) => {
            std::net::Ipv4Addr::from_bits(other(a.to_bits().into()) as u32).into()
        }
        std::net::IpAddr::V6(a) => std::net::Ipv6Addr::from_bits(other(a.to_bits())).into(),
    }
}

fn other(bits: u128) -> u128 {
    if bits & 3 == 2 { bits ^ 3 } else { bits ^ 1 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_other_end_has_another_address() {
        for (own, peer) in [
            ("10.9.0.2", "10.9.0.1"),
            ("10.9.0.1", "10.9.0.0"),
            ("fd00:9::2", "fd00:9::1"),
        ] {
            assert_eq!(neighbour(own.parse().unwrap()).to_string(), peer);
        }
    }
}
