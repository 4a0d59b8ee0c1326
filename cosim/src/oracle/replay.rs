//! One recording from its first frame to its last.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv4Addr, SocketAddr, SocketAddrV4};
use std::rc::Rc;

use stack::netfilter::conntrack::ListOptions;
use stack::netfilter::nft::NftEvent;
use stack::{IfIndex, Ps, SkBuff, SocketId, Stack, Stage, TcpSocketId, Tracer};

use super::compare::{compare_frames, compare_walks, split_fragments};
use super::conntrack::{compare_events, compare_list};
use super::difference::{Compared, Difference, Report};
use super::plan::{Step, plan};
use super::programs::{Action, Pair, to_many};
use super::recording::Recording;
use super::rename::{Drawn, Renaming};
use super::router::{CommandFailed, Router, hooks};
use super::walk::{Said, Walks, What};
use super::wire::Left;
use crate::capture::CapturedFrame;

/// Most bytes that the recordings' programs read at once.
const READ: usize = 100;

/// Runs `recording` again and compares.
///
/// # Errors
/// A command of the recording that this stack does not take.
pub fn replay(recording: &Recording) -> Result<Report, CommandFailed> {
    let mut router = Router::new(recording)?;
    let ruleset = router
        .stack
        .nft("list ruleset")
        .map_err(|e| CommandFailed {
            command: "nft list ruleset".to_owned(),
            problem: e.to_string(),
        })?;
    let hooks = hooks(&ruleset);
    let (steps, end) = plan(recording, &hooks);
    let mut run = Run::new(router, recording, &steps);
    for (at, step) in steps {
        run.until(at);
        run.step(step);
        run.settle();
    }
    run.until(end);
    Ok(run.report(&hooks))
}

/// A recording that is being run.
struct Run<'a> {
    router: Router,
    recording: &'a Recording,
    now: Ps,
    renaming: Renaming,
    /// Frames that left, by device.
    left: BTreeMap<&'static str, Vec<Left>>,
    sockets: BTreeMap<u16, (Ipv4Addr, SocketId)>,
    listeners: BTreeMap<u16, TcpSocketId>,
    connections: BTreeMap<Pair, TcpSocketId>,
    /// Connections whose program ends without having read everything.
    unread: BTreeSet<Pair>,
    /// What programs were sent and did not answer yet.
    heard: Vec<(SocketAddrV4, SocketAddrV4, Vec<u8>)>,
    differences: Vec<Difference>,
}

impl<'a> Run<'a> {
    fn new(router: Router, recording: &'a Recording, steps: &[(Ps, Step)]) -> Self {
        let unread = steps.iter().filter_map(|(_, step)| match step {
            Step::Program(Action::TcpAbort(pair)) => Some(*pair),
            _ => None,
        });
        Self {
            unread: unread.collect(),
            router,
            recording,
            now: 0,
            renaming: Renaming::default(),
            left: BTreeMap::new(),
            sockets: BTreeMap::new(),
            listeners: BTreeMap::new(),
            connections: BTreeMap::new(),
            heard: Vec::new(),
            differences: Vec::new(),
        }
    }

    fn stack(&mut self) -> &mut Stack {
        &mut self.router.stack
    }

    /// Lets time pass, with everything that is due on the way.
    fn until(&mut self, at: Ps) {
        while let Some(due) = self.router.stack.next_timer().filter(|due| *due <= at) {
            self.now = self.now.max(due);
            let now = self.now;
            self.stack().run_timers(now);
            self.settle();
        }
        self.now = self.now.max(at);
    }

    /// Works until nothing is left to do at this moment, and takes in what that shows.
    fn settle(&mut self) {
        let now = self.now;
        while self.stack().net_rx_action(now) {}
        self.read();
        while self.stack().net_rx_action(now) {}
        self.collect();
    }

    /// Takes the frames that left, and learns what they show for the first time.
    fn collect(&mut self) {
        let mut new: Vec<(&'static str, Vec<Left>)> = Vec::new();
        for (&device, (_, wire)) in &self.router.devices {
            new.push((device, std::mem::take(&mut wire.borrow_mut().outgoing)));
        }
        let looped = std::mem::take(&mut self.router.walks.borrow_mut().looped);
        new.push(("lo", looped));
        let none: &[CapturedFrame] = &[];
        for (device, frames) in new {
            let kernel = self.recording.outgoing.get(device).map_or(none, |v| v);
            let sent = self.left.entry(device).or_default();
            for frame in frames {
                if let Some(theirs) = kernel.get(sent.len()) {
                    let original = self.router.walks.borrow().original(frame.id);
                    let drawn = original.map(|original| Drawn { original });
                    let (k, h) = (&theirs.bytes, &frame.bytes);
                    self.renaming.learn(k, h, frame.made_here, drawn);
                }
                sent.push(frame);
            }
        }
    }

    /// Programs read whatever comes, and accept whoever connects.
    fn read(&mut self) {
        let sockets: Vec<SocketId> = self.sockets.values().map(|(_, id)| *id).collect();
        for id in sockets {
            while let Some(datagram) = self.stack().udp_recv_from(id) {
                if let (SocketAddr::V4(src), SocketAddr::V4(dst)) = (datagram.src, datagram.dst) {
                    self.heard.push((dst, src, datagram.payload().to_vec()));
                }
            }
        }
        let listeners: Vec<TcpSocketId> = self.listeners.values().copied().collect();
        for listener in listeners {
            while let Some(id) = self.stack().tcp_accept(listener) {
                if let Some((SocketAddr::V4(own), SocketAddr::V4(other))) =
                    self.stack().tcp_addrs(id)
                {
                    self.connections.insert((own, other), id);
                }
            }
        }
        let now = self.now;
        let connections: Vec<_> = self.connections.iter().map(|(p, id)| (*p, *id)).collect();
        for (pair, id) in connections {
            if self.unread.contains(&pair) {
                continue;
            }
            while let Ok(Some(bytes)) = self.stack().tcp_recv(id, READ, now) {
                if bytes.is_empty() {
                    break;
                }
                self.heard.push((pair.0, pair.1, bytes));
            }
        }
    }

    fn step(&mut self, step: Step) {
        match step {
            Step::Frame { device, bytes } => {
                let frame = self.renaming.translate(&bytes);
                if let Some((dev, wire)) = self.router.devices.get(device) {
                    let dev = *dev;
                    wire.borrow_mut().put(frame);
                    self.stack().napi_schedule(dev);
                }
            }
            Step::Program(action) => {
                if let Err(problem) = self.act(&action) {
                    let place = "programs of r";
                    let what = format!("{action:?}");
                    let here = problem;
                    self.differences
                        .push(Difference::new(place, what, "was done", here));
                }
            }
        }
    }

    fn act(&mut self, action: &Action) -> Result<(), String> {
        let now = self.now;
        match action {
            Action::UdpBind(port) => self.bind(Ipv4Addr::UNSPECIFIED, *port).map(|_| ()),
            Action::UdpConnect(port, to) => match self.sockets.get(port) {
                Some(&(_, id)) => {
                    // Without a route nothing is sent, either.
                    let to = SocketAddr::from(*to);
                    self.stack().udp_connect(id, to).map_err(|e| e.to_string())
                }
                None => Err(format!("port {port} is not bound")),
            },
            Action::UdpClose(port) => {
                if let Some((_, id)) = self.sockets.remove(port) {
                    self.stack().udp_close(id).map_err(|e| e.to_string())?;
                }
                Ok(())
            }
            Action::UdpSend { from, to, payload } => {
                self.check_answer(*from, *to, payload)?;
                let id = self.socket_for(*from, *to)?;
                // The kernel's socket was told too, and sent this one all the same.
                self.stack().udp_take_error(id);
                match self.stack().udp_send_to(id, (*to).into(), payload, now) {
                    // That a rule stopped it shows in its walk.
                    Ok(_) | Err(stack::StackError::Filtered) => Ok(()),
                    Err(e) => Err(e.to_string()),
                }
            }
            Action::TcpListen(port) => {
                let any = IpAddr::V4(Ipv4Addr::UNSPECIFIED);
                let id = self
                    .stack()
                    .tcp_listen(any, *port, 128)
                    .map_err(|e| e.to_string())?;
                self.listeners.insert(*port, id);
                Ok(())
            }
            Action::TcpUnlisten(port) => match self.listeners.remove(port) {
                Some(id) => self.stack().tcp_close(id, now).map_err(|e| e.to_string()),
                None => Ok(()),
            },
            Action::TcpConnect { from, to } => {
                let id = self
                    .stack()
                    .tcp_connect(from.port(), (*to).into(), now)
                    .map_err(|e| e.to_string())?;
                self.connections.insert((*from, *to), id);
                Ok(())
            }
            Action::TcpSend(pair, bytes) => {
                self.check_answer(pair.0, pair.1, bytes)?;
                let id = self.connection(pair)?;
                let sent = self
                    .stack()
                    .tcp_send(id, bytes, now)
                    .map_err(|e| e.to_string())?;
                if sent < bytes.len() {
                    return Err(format!("only {sent} bytes fit"));
                }
                Ok(())
            }
            Action::TcpClose(pair) | Action::TcpAbort(pair) => {
                let id = self.connection(pair)?;
                self.connections.remove(pair);
                self.stack().tcp_close(id, now).map_err(|e| e.to_string())
            }
            Action::Ping {
                to,
                id,
                sequence,
                payload,
            } => {
                // The first request of a program opens its socket.
                let _ = self.stack().ping_bind(*id);
                let sent = self.stack().ping_send_to(*id, *to, *sequence, payload, now);
                match sent {
                    Ok(()) | Err(stack::StackError::Filtered) => Ok(()),
                    Err(e) => Err(e.to_string()),
                }
            }
        }
    }

    fn bind(&mut self, address: Ipv4Addr, port: u16) -> Result<SocketId, String> {
        let stack = self.stack();
        let id = stack
            .udp_bind(address.into(), port)
            .map_err(|e| e.to_string())?;
        stack
            .udp_set_broadcast(id, true)
            .map_err(|e| e.to_string())?;
        self.sockets.insert(port, (address, id));
        Ok(id)
    }

    /// The socket that sends from `from`. Programs bind to all addresses; when the route would choose another source, this one did not.
    fn socket_for(&mut self, from: SocketAddrV4, to: SocketAddrV4) -> Result<SocketId, String> {
        let (bound, id) = match self.sockets.get(&from.port()) {
            Some(&socket) => socket,
            None => (
                Ipv4Addr::UNSPECIFIED,
                self.bind(Ipv4Addr::UNSPECIFIED, from.port())?,
            ),
        };
        let chosen = self
            .stack()
            .ip(&format!("route get {}", to.ip()))
            .ok()
            .and_then(|route| source(&route));
        let fits = bound == *from.ip() || (bound.is_unspecified() && chosen == Some(*from.ip()));
        // Of what goes to many the source says the device.
        if fits || (chosen.is_none() && !to_many(to)) {
            return Ok(id);
        }
        self.stack().udp_close(id).map_err(|e| e.to_string())?;
        self.bind(*from.ip(), from.port())
    }

    /// The servers of the recordings answer `R` and what they got: they must have got it here, too.
    fn check_answer(
        &mut self,
        from: SocketAddrV4,
        to: SocketAddrV4,
        payload: &[u8],
    ) -> Result<(), String> {
        let Some(asked) = payload.strip_prefix(b"R") else {
            return Ok(());
        };
        let found = self.heard.iter().position(|(own, other, bytes)| {
            own.port() == from.port() && *other == to && bytes == asked
        });
        match found {
            Some(at) => {
                self.heard.remove(at);
                Ok(())
            }
            None => Err("the program was not sent what it answered".to_owned()),
        }
    }

    fn connection(&self, pair: &Pair) -> Result<TcpSocketId, String> {
        self.connections.get(pair).copied().ok_or_else(|| {
            let there: Vec<String> = self
                .connections
                .keys()
                .map(|(own, other)| format!("{own} - {other}"))
                .collect();
            format!("there is no such connection, only [{}]", there.join(", "))
        })
    }

    fn report(mut self, hooks: &BTreeMap<String, String>) -> Report {
        let recording = self.recording;
        let walks = self.router.walks.borrow();
        let (kernel, fragments) = split_fragments(&recording.meta.packets, hooks);
        let mut differences = std::mem::take(&mut self.differences);
        differences.extend(compare_walks(&kernel, &fragments, &walks, &self.renaming));
        let mut frames = 0;
        for (&device, theirs) in &recording.outgoing {
            let ours = self.left.get(device).map_or(&[][..], |v| v);
            frames += theirs.len().max(ours.len());
            differences.extend(compare_frames(device, theirs, ours, &self.renaming));
        }
        let chains = walks
            .walks
            .iter()
            .map(|walk| walk.visits.iter().map(|v| v.chain.clone()).collect())
            .collect();
        drop(walks);
        let now = self.now;
        let conntrack = self.router.stack.conntrack_mut();
        let mut options = ListOptions::default();
        options.extended = true;
        let listed = conntrack.list_with(now, &options);
        let events: Vec<String> = conntrack
            .take_events()
            .into_iter()
            .map(|e| e.line)
            .collect();
        differences.extend(compare_list(&recording.conntrack, &listed, &self.renaming));
        differences.extend(compare_events(&recording.events, &events, &self.renaming));
        Report {
            name: recording.name.clone(),
            compared: Compared {
                packets: kernel.len(),
                visits: recording.meta.packets.iter().map(Vec::len).sum(),
                frames,
                connections: recording.conntrack.len(),
                events: recording.events.len(),
            },
            walks: chains,
            differences,
        }
    }
}

/// `src` in what `ip route get` prints.
fn source(route: &str) -> Option<Ipv4Addr> {
    let mut words = route.split_whitespace();
    words.find(|w| *w == "src")?;
    words.next()?.parse().ok()
}

/// A tracer that writes the walks.
pub fn trace(stack: &Stack, walks: Rc<RefCell<Walks>>) -> Box<dyn Tracer> {
    let names = (1..)
        .map_while(|n| Some((IfIndex(n), stack.device_name(IfIndex(n))?.to_owned())))
        .collect();
    Box::new(WalkTracer { walks, names })
}

struct WalkTracer {
    walks: Rc<RefCell<Walks>>,
    names: BTreeMap<IfIndex, String>,
}

impl WalkTracer {
    fn name(&self, dev: Option<IfIndex>) -> Option<String> {
        self.names.get(&dev?).cloned()
    }
}

impl Tracer for WalkTracer {
    fn event(&mut self, skb: &SkBuff, stage: Stage) {
        self.walks.borrow_mut().stage(skb, stage);
    }

    fn nft(&mut self, skb: &SkBuff, event: &NftEvent<'_>) {
        let what = match event {
            NftEvent::Packet(_) => What::Enter,
            NftEvent::Rule {
                rule,
                comment,
                verdict,
                ..
            } => What::Rule {
                rule: (*rule).to_owned(),
                comment: comment.map(str::to_owned),
                verdict: (*verdict).to_owned(),
            },
            NftEvent::Policy { verdict, .. } => What::Policy {
                drop: *verdict == "drop",
            },
        };
        let place = event.place();
        let said = Said {
            family: place.family.name(),
            chain: format!("{}/{}", place.table, place.chain),
            iif: self.name(place.state.iif),
            oif: self.name(place.state.oif),
            what,
        };
        self.walks.borrow_mut().said(skb, said);
    }
}
