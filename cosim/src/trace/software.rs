//! The kernel path's stages in words.

use stack::skb::CsumState;
use stack::{SkBuff, Stage};

use super::Layer;

/// Where a stage happens, its name, and what is worth knowing of the packet there.
pub fn words(skb: &SkBuff, stage: Stage) -> (Layer, String, String) {
    let (layer, detail) = match stage {
        Stage::NapiPoll => {
            let place = skb
                .dma_addr()
                .map_or("on the heap".into(), |a| format!("at {a:#x}"));
            let csum = match skb.csum {
                CsumState::Unnecessary => "verified by the NIC",
                CsumState::Complete(_) => "summed by the NIC",
                CsumState::Partial { .. } => "never left the machine",
                CsumState::None => "not verified yet",
            };
            let detail = format!("skb {place}, {} bytes, checksum {csum}", skb.len());
            (Layer::Driver, detail)
        }
        Stage::Xmit => {
            let csum = match skb.csum {
                CsumState::Partial { .. } => "left to the NIC",
                _ => "complete",
            };
            (
                Layer::Driver,
                format!("{} bytes, checksum {csum}", skb.len()),
            )
        }
        Stage::Recv => (Layer::App, format!("{} bytes", skb.len())),
        Stage::Send => (Layer::Kernel, format!("{} bytes", skb.len())),
        Stage::NetifReceive => {
            let vlan = skb
                .vlan
                .map_or(String::new(), |v| format!(", vlan {}", v.id()));
            (
                Layer::Kernel,
                format!("ethertype {:#06x}, {:?}{vlan}", skb.protocol, skb.pkt_type),
            )
        }
        Stage::TcClassify(_) => (Layer::Kernel, format!("mark {:#x}", skb.mark)),
        Stage::RouteInput | Stage::RouteOutput => {
            let route = skb.dst.as_ref().map_or(String::new(), |route| {
                let via = route.gateway.map_or(String::new(), |g| format!(" via {g}"));
                format!("{:?}, device {}{via}", route.kind, route.oif)
            });
            (Layer::Kernel, route)
        }
        _ => (Layer::Kernel, String::new()),
    };
    (layer, stage.to_string(), detail)
}
