//! A router with a bit of everything, between the devices `eth_c` and `eth_s`.

use super::common::{SEC, Wire};
use stack::{CsumState, IfIndex, NetFeatures, Ps, SocketId, Stack, StackConfig, TcpSocketId};
use std::cell::RefCell;
use std::rc::Rc;

/// `ip`, `tc` and `sysctl` lines of [`Router::new`].
const SETUP: &str = include_str!("../data/setup.txt");
/// Its rules.
const RULES: &str = include_str!("../data/rules.nft");
/// The programs of the tests of `xdp`.
const LAYERING: &[u8] = include_bytes!("../../tests/data/bpf/layering.o");
const MAPS: &[u8] = include_bytes!("../../tests/data/bpf/maps.o");

/// What the first byte of an input chooses.
#[derive(Clone, Copy, Debug)]
pub struct Settings(pub u8);

impl Settings {
    const ROUTER: u8 = 1;
    const RULES: u8 = 2;
    const TC: u8 = 4;
    const GRO: u8 = 8;
    const OFFLOADS: u8 = 16;
    const XDP_LAYERING: u8 = 32;
    const XDP_MAPS: u8 = 64;
    const SMALL_RING: u8 = 128;

    fn has(self, bit: u8) -> bool {
        self.0 & bit != 0
    }

    /// Whether a program may make frames longer than the link takes.
    pub fn may_grow(self) -> bool {
        self.has(Self::XDP_MAPS)
    }
}

/// A host, the wires of its devices and its sockets.
pub struct Router {
    pub stack: Stack,
    pub devs: [IfIndex; 2],
    pub wires: [Rc<RefCell<Wire>>; 2],
    pub now: Ps,
    udp: [SocketId; 2],
    listener: TcpSocketId,
    connections: Vec<TcpSocketId>,
}

impl Router {
    pub fn new(settings: Settings) -> Self {
        let router = settings.has(Settings::ROUTER);
        let mut stack = Stack::new(StackConfig {
            ip_forward: router,
            ipv6_forward: router,
            // So that a queue that never drains shows.
            frag_high_thresh: 256 << 10,
            ..StackConfig::default()
        });
        let wires = [1, 2].map(|net| {
            let wire = Wire::new([2, 0, 0, 0, net, 1]);
            let on = settings.has(Settings::OFFLOADS);
            wire.borrow_mut().features = NetFeatures {
                gro: settings.has(Settings::GRO),
                gro_udp_fwd: settings.has(Settings::GRO),
                rx_csum: true,
                hw_csum: on,
                sg: on,
                tso4: on,
                tso6: on,
                uso: on,
                ..NetFeatures::default()
            };
            if settings.has(Settings::SMALL_RING) {
                wire.borrow_mut().tx_room = 3;
            }
            wire
        });
        let devs = ["eth_c", "eth_s"].map(|name| {
            let wire = &wires[usize::from(name == "eth_s")];
            stack.add_device(name, Box::new(Rc::clone(wire)))
        });
        stack
            .tc_add_object("xdp.o", LAYERING, "tc")
            .expect("the program loads");
        for line in SETUP.lines() {
            if line.starts_with("tc") && !settings.has(Settings::TC) {
                continue;
            }
            let result = match line.split(' ').next() {
                Some("ip") => stack.ip(line),
                Some("tc") => stack.tc(line),
                Some("sysctl") => stack.sysctl(line),
                _ => continue,
            };
            result.unwrap_or_else(|e| panic!("{line}: {e}"));
        }
        if settings.has(Settings::RULES) {
            stack.nft(RULES).expect("the rules are right");
        }
        for (bit, elf) in [
            (Settings::XDP_LAYERING, LAYERING),
            (Settings::XDP_MAPS, MAPS),
        ] {
            if settings.has(bit) {
                stack
                    .xdp_attach(devs[0], elf, "xdp")
                    .expect("the program loads");
            }
        }
        if settings.has(Settings::XDP_MAPS) {
            fill_maps(&mut stack, devs);
        }
        let udp = [("0.0.0.0", 9), ("::", 9)].map(|(address, port)| {
            let address = address.parse().expect("an address");
            stack.udp_bind(address, port).expect("a free port")
        });
        stack.udp_set_gro(udp[0], true).expect("it is open");
        let any = "0.0.0.0".parse().expect("an address");
        let listener = stack.tcp_listen(any, 80, 4).expect("a free port");
        Self {
            stack,
            devs,
            wires,
            now: 0,
            udp,
            listener,
            connections: Vec::new(),
        }
    }

    /// A frame stands in the device's ring.
    pub fn arrive(&mut self, dev: usize, frame: Vec<u8>, csum: CsumState) {
        self.wires[dev].borrow_mut().rx.push_back((frame, csum));
        self.stack.napi_schedule(self.devs[dev]);
    }

    /// Everything that can happen now happens.
    pub fn work(&mut self) {
        while self.stack.net_rx_action(self.now) {}
    }

    /// The applications: UDP is echoed, TCP too.
    pub fn answer(&mut self) {
        for socket in self.udp {
            while let Some(datagram) = self.stack.udp_recv_from(socket) {
                let (bytes, from) = (datagram.payload().to_vec(), datagram.src);
                drop(datagram);
                // There may be no way back.
                let _ = self.stack.udp_send_to(socket, from, &bytes, self.now);
            }
        }
        while let Some(connection) = self.stack.tcp_accept(self.listener) {
            self.connections.push(connection);
        }
        for &connection in &self.connections {
            if let Ok(Some(bytes)) = self.stack.tcp_recv(connection, 4096, self.now) {
                let _ = self.stack.tcp_send(connection, &bytes, self.now);
            }
        }
        self.work();
    }

    /// What was sent is gone, and there is room again.
    pub fn sent(&mut self) -> Vec<Vec<u8>> {
        let mut all = Vec::new();
        for (wire, dev) in self.wires.iter().zip(self.devs) {
            let mut wire = wire.borrow_mut();
            wire.tx_room = wire.tx_room.max(3);
            all.append(&mut wire.tx);
            self.stack.napi_schedule(dev);
        }
        self.work();
        all
    }

    /// Time passes, with all timers on the way.
    pub fn wait(&mut self, time: Ps) {
        let until = self.now + time;
        while let Some(at) = self.stack.next_timer().filter(|at| *at <= until) {
            self.now = self.now.max(at);
            self.stack.run_timers(self.now);
            self.work();
            self.sent();
        }
        self.now = until;
    }

    /// Every packet has ended exactly once or is waiting somewhere.
    pub fn assert_balanced(&self) {
        let s = self.stack.stats();
        let ended = s.consumed + s.dropped + s.stolen + s.transmitted + s.held;
        assert_eq!(s.received + s.built, ended, "{s:?}");
        let reasons: u64 = s.drops().map(|(_, n)| n).sum();
        assert_eq!(s.dropped, reasons, "a packet was dropped without a reason");
    }

    /// Sockets close and all timers run out: nothing is left.
    pub fn end(mut self) {
        for socket in self.udp {
            self.stack.udp_close(socket).expect("it is open");
        }
        for connection in std::mem::take(&mut self.connections) {
            let _ = self.stack.tcp_close(connection, self.now);
        }
        self.stack
            .tcp_close(self.listener, self.now)
            .expect("it is open");
        for wire in &self.wires {
            wire.borrow_mut().tx_room = usize::MAX;
        }
        self.sent();
        self.wait(3600 * SEC);
        // An established connection is remembered for five days.
        self.wait(6 * 86_400 * SEC);
        self.assert_balanced();
        let stats = self.stack.stats();
        assert_eq!(stats.held, 0, "{stats:?}");
        let left = self.stack.conntrack().list(self.now);
        assert_eq!(left, "", "connections that never end");
        for wire in &self.wires {
            wire.borrow_mut().tx.clear();
            let pool = wire.borrow().pool.clone();
            assert_eq!(pool.available(), pool.count(), "a buffer is lost");
        }
    }
}

/// Slots of the programs' maps that name devices and sockets.
fn fill_maps(stack: &mut Stack, devs: [IfIndex; 2]) {
    let maps = stack.xdp_maps(devs[0]).expect("it was attached");
    for map in maps.borrow_mut().iter_mut() {
        if map.spec().name == "devices" {
            for (slot, dev) in devs.iter().enumerate() {
                map.update(&(slot as u32).to_le_bytes(), &dev.0.to_le_bytes(), 0)
                    .expect("a slot");
            }
        }
    }
}
