//! GRO, segmentation offload and segmentation in software, as a kernel was seen to do them: a router between two veth devices, recorded
//! with its offloads in four positions (tests/data/oracle/gso). The recordings say how long each packet was; the bytes are made here.

use etherparse::{PacketBuilder, SlicedPacket, TcpHeader, TcpOptionElement, TransportSlice};
use stack::{
    CsumState, Gso, GsoType, NetDeviceOps, NetFeatures, PagePool, SkBuff, Stack, StackConfig,
};
use std::cell::RefCell;
use std::collections::VecDeque;
use std::rc::Rc;

const ROUTER: [u8; 6] = [2, 0, 0, 0, 0, 1];
const HOST: [u8; 6] = [2, 0, 0, 0, 0, 2];
/// Ethernet, IPv4, TCP with timestamps.
const HEADERS: usize = 14 + 20 + 32;

/// A device that hands packets over as they are.
struct Veth {
    rx: VecDeque<SkBuff>,
    tx: Vec<SkBuff>,
    features: NetFeatures,
    pool: PagePool,
}

impl NetDeviceOps for Veth {
    fn start_xmit(&mut self, skb: SkBuff) -> Result<(), SkBuff> {
        self.tx.push(skb);
        Ok(())
    }
    fn flush(&mut self) {}
    fn poll(&mut self, budget: usize, rx: &mut Vec<SkBuff>) -> usize {
        let n = budget.min(self.rx.len());
        rx.extend(self.rx.drain(..n));
        n
    }
    fn complete(&mut self) -> bool {
        self.rx.is_empty()
    }
    fn link_up(&self) -> bool {
        true
    }
    fn mtu(&self) -> u16 {
        1500
    }
    fn mac(&self) -> [u8; 6] {
        ROUTER
    }
    fn features(&self) -> NetFeatures {
        self.features
    }
    fn tx_pool(&self) -> PagePool {
        self.pool.clone()
    }
}

/// What the recordings tell of a packet that is handed to a driver.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Xmit {
    len: usize,
    gso_size: u16,
    gso_segs: u16,
    ip_summed: u8,
}

/// One line of a recording: `dev=eth_s len=1514 …`.
struct Event<'a> {
    name: &'a str,
    line: &'a str,
}

impl<'a> Event<'a> {
    fn parse(line: &'a str) -> Option<Self> {
        let mut words = line.split_whitespace();
        words.next()?.parse::<f64>().ok()?;
        let name = words.nth(3)?;
        Some(Self { name, line })
    }

    fn value(&self, key: &str) -> &'a str {
        self.line
            .split_whitespace()
            .find_map(|word| word.strip_prefix(key)?.strip_prefix('='))
            .unwrap_or_else(|| panic!("no {key} in {:?}", self.line))
    }

    fn number<T: std::str::FromStr>(&self, key: &str) -> T {
        self.value(key).parse().ok().expect("a number")
    }

    fn xmit(&self) -> Xmit {
        Xmit {
            len: self.number("len"),
            gso_size: self.number("gso_size"),
            gso_segs: self.number("gso_segs"),
            ip_summed: self.number("ip_summed"),
        }
    }

    fn is(&self, name: &str, dev: &str) -> bool {
        self.name == name && self.value("dev") == dev
    }
}

/// A router that received, in polls, what a recording's router received.
struct Recording {
    text: String,
    /// What the router received, in polls.
    polls: Vec<Vec<Xmit>>,
    /// What it handed to the driver of `eth_s`.
    sent: Vec<Xmit>,
    gro: bool,
}

impl Recording {
    fn read(name: &str) -> Self {
        let path = format!(
            "{}/tests/data/oracle/gso/{name}.txt",
            env!("CARGO_MANIFEST_DIR")
        );
        let text = std::fs::read_to_string(path).expect("recording");
        let gro = text.contains("napi_gro_receive_entry eth_c");
        let (mut polls, mut poll, mut sent) = (Vec::new(), Vec::new(), Vec::new());
        for event in text.lines().filter_map(Event::parse) {
            let data = |event: &Event| event.number::<usize>("len") > 100;
            if gro && event.is_gro_entry() && data(&event) {
                poll.push(Xmit {
                    len: event.number::<usize>("len") + 14,
                    gso_size: event.number("gso_size"),
                    gso_segs: 0,
                    ip_summed: event.number("ip_summed"),
                });
            } else if event.name == "napi_poll" && event.line.contains("device eth_c") {
                polls.push(std::mem::take(&mut poll));
            } else if !gro && event.is("net_dev_start_xmit", "eth0") && data(&event) {
                polls.push(vec![event.xmit()]);
            } else if event.name == "net_dev_start_xmit"
                && event.value("dev") == "eth_s"
                && data(&event)
            {
                sent.push(event.xmit());
            }
        }
        polls.retain(|poll| !poll.is_empty());
        assert!(!polls.is_empty() && !sent.is_empty());
        Self {
            text,
            polls,
            sent,
            gro,
        }
    }

    /// `ethtool -k` of a device.
    fn features(&self, dev: &str) -> NetFeatures {
        let line = self
            .text
            .lines()
            .find(|l| l.starts_with(&format!("[r:{dev}]")))
            .expect("features");
        let on = |feature: &str| line.contains(&format!("{feature}: on"));
        NetFeatures {
            hw_csum: on("tx-checksumming"),
            rx_csum: on("rx-checksumming"),
            sg: on("scatter-gather"),
            tso4: on("tcp-segmentation-offload"),
            gro: on("generic-receive-offload"),
            ..NetFeatures::default()
        }
    }
}

impl Event<'_> {
    fn is_gro_entry(&self) -> bool {
        self.name == "napi_gro_receive_entry" && self.value("dev") == "eth_c"
    }
}

/// A TCP sender in `c`, as far as its packets go.
struct Sender {
    seq: u32,
    id: u16,
    stream: Vec<u8>,
}

impl Sender {
    fn packet(&mut self, shape: Xmit) -> SkBuff {
        let len = shape.len - HEADERS;
        let payload: Vec<u8> = (0..len)
            .map(|i| (self.stream.len() + i * 3) as u8)
            .collect();
        let mut tcp = TcpHeader::new(40000, 80, self.seq, 500);
        (tcp.ack, tcp.acknowledgment_number) = (true, 9);
        tcp.set_options(&[
            TcpOptionElement::Noop,
            TcpOptionElement::Noop,
            TcpOptionElement::Timestamp(1, 2),
        ])
        .expect("options");
        let mut ip = etherparse::Ipv4Header::new(
            0,
            64,
            etherparse::IpNumber::TCP,
            [10, 0, 1, 2],
            [10, 0, 2, 2],
        )
        .expect("header");
        (ip.identification, ip.dont_fragment) = (self.id, true);
        let mut frame = Vec::new();
        PacketBuilder::ethernet2(HOST, ROUTER)
            .ip(etherparse::IpHeaders::Ipv4(ip.clone(), Default::default()))
            .tcp_header(tcp)
            .write(&mut frame, &payload)
            .expect("written");
        // The sender left the checksum to its device, and veth did not fill it in.
        let mut pseudo = 6 + (len + 32) as u32;
        for pair in frame[26..34].chunks(2) {
            pseudo += u32::from(u16::from_be_bytes([pair[0], pair[1]]));
        }
        frame[50..52].copy_from_slice(&((pseudo % 0xffff) as u16).to_be_bytes());
        let mut skb = SkBuff::from_vec(frame);
        assert_eq!(shape.ip_summed, 3);
        skb.csum = CsumState::Partial {
            start: 34,
            offset: 16,
        };
        if shape.gso_size > 0 {
            skb.gso = Gso {
                kind: GsoType::TcpV4,
                size: shape.gso_size,
                segs: shape.gso_segs,
                ..Gso::default()
            };
        }
        self.seq = self.seq.wrapping_add(len as u32);
        self.id = self.id.wrapping_add(shape.gso_segs.max(1));
        self.stream.extend(payload);
        skb
    }
}

fn replay(name: &str) -> Recording {
    let recording = Recording::read(name);
    let mut stack = Stack::new(StackConfig {
        ip_forward: true,
        ipv6: false,
        ..StackConfig::default()
    });
    let mut devices = Vec::new();
    for (name, net) in [("eth_c", 1), ("eth_s", 2)] {
        let veth = Rc::new(RefCell::new(Veth {
            rx: VecDeque::new(),
            tx: Vec::new(),
            features: recording.features(name),
            pool: PagePool::heap(256, 4096),
        }));
        let dev = stack.add_device(name, Box::new(Rc::clone(&veth)));
        stack
            .add_addr(dev, format!("10.0.{net}.1/24").parse().expect("cidr"))
            .expect("address");
        stack.add_neighbour(dev, format!("10.0.{net}.2").parse().expect("address"), HOST);
        devices.push((dev, veth));
    }
    let mut sender = Sender {
        seq: 0xffff_0000,
        id: 0xfff0,
        stream: Vec::new(),
    };
    for poll in &recording.polls {
        for &shape in poll {
            let skb = sender.packet(shape);
            devices[0].1.borrow_mut().rx.push_back(skb);
        }
        stack.napi_schedule(devices[0].0);
        while stack.net_rx_action(0) {}
    }
    let out = devices[1].1.borrow();
    let sent: Vec<Xmit> = out
        .tx
        .iter()
        .map(|skb| Xmit {
            len: skb.len(),
            gso_size: skb.gso.size,
            gso_segs: skb.gso.segs,
            ip_summed: match skb.csum {
                CsumState::None => 0,
                CsumState::Unnecessary => 1,
                CsumState::Complete(_) => 2,
                CsumState::Partial { .. } => 3,
            },
        })
        .collect();
    assert_eq!(sent, recording.sent, "{name}");
    // And nothing of the stream was lost or swapped on the way.
    let mut stream = Vec::new();
    for skb in &out.tx {
        let bytes = skb.to_vec();
        let packet = SlicedPacket::from_ethernet(&bytes).expect("parsed");
        let Some(TransportSlice::Tcp(tcp)) = packet.transport else {
            panic!("no TCP");
        };
        assert_eq!(
            tcp.sequence_number(),
            0xffff_0000u32.wrapping_add(stream.len() as u32)
        );
        stream.extend_from_slice(tcp.payload());
    }
    assert!(stream == sender.stream);
    let stats = stack.stats();
    let ended = stats.consumed + stats.dropped + stats.stolen + stats.transmitted + stats.held;
    assert_eq!(stats.received + stats.built, ended, "{stats:?}");
    assert_eq!(stats.dropped, 0);
    recording
}

#[test]
fn large_packets_cross_the_router_whole() {
    let recording = replay("T6_tso_default");
    assert!(recording.sent.iter().all(|sent| sent.gso_segs > 1));
}

#[test]
fn a_device_without_tso_gets_segments() {
    let recording = replay("T6_tso_off_egress");
    assert!(recording.sent.len() > recording.polls.len());
}

#[test]
fn single_packets_are_merged_and_leave_as_one() {
    let recording = replay("T6_sender_tso_off_router_gro_on");
    assert!(recording.gro);
    assert_eq!(recording.sent.len(), recording.polls.len());
}

#[test]
fn without_offloads_every_packet_goes_on_its_own() {
    let recording = replay("T6_all_off");
    assert_eq!(recording.sent.len(), 64);
}

#[test]
fn features_are_switched_as_ethtool_does() {
    let mut stack = Stack::new(StackConfig::default());
    let all = NetFeatures {
        hw_csum: true,
        sg: true,
        tso4: true,
        gro: true,
        ..NetFeatures::default()
    };
    let dev = stack.add_device(
        "eth0",
        Box::new(Veth {
            rx: VecDeque::new(),
            tx: Vec::new(),
            features: all,
            pool: PagePool::heap(4, 2048),
        }),
    );
    assert_eq!(stack.features(dev), Some(all));
    // Segmentation does not work without gathering; what the device lacks stays off.
    let wanted = NetFeatures {
        sg: false,
        uso: true,
        ..all
    };
    let expected = NetFeatures {
        sg: false,
        tso4: false,
        ..all
    };
    assert_eq!(stack.set_features(dev, wanted), Ok(expected));
    assert_eq!(stack.set_features(dev, all), Ok(all));
}
