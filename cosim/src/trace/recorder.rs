//! Puts together what hardware and software saw of each packet.
//!
//! Software stages come with the packet itself. Hardware knows no packets: a burst on the bus belongs to
//! the packet whose buffer it touches, and frames on the wire are in the order of the rings.

use std::collections::{BTreeMap, HashMap, VecDeque};

use hwmodel::DmaRecord;
use stack::{PacketId, SkBuff, Stage};

use super::bus::{BusLog, TxBuffer};
use super::{Journey, Layer, PacketKey, Ps, describe, journey_text};

/// The stage of a frame that went in and did not come out of the receive ring, and what is known of it by itself.
const LOST: &str = "lost";
const NOT_POLLED: &str = "did not reach the kernel path";

/// A frame given to the wire that no poll has shown yet.
struct OnTheWay {
    key: PacketKey,
    at: Ps,
    end: Ps,
    bytes: Vec<u8>,
}

/// An interrupt that was taken, until the poll that it caused has been seen.
#[derive(Clone, Copy)]
struct Interrupt {
    message: Ps,
    taken: Ps,
    vector: u16,
}

/// Journeys of all packets of a run. Memory grows with their number: made only when asked for.
#[derive(Default)]
pub struct Recorder {
    journeys: BTreeMap<PacketKey, Journey>,
    keys: HashMap<PacketId, PacketKey>,
    on_the_way: VecDeque<OnTheWay>,
    sent: VecDeque<TxBuffer>,
    bus: BusLog,
    interrupt: Option<Interrupt>,
    cause: Option<PacketKey>,
    made: u64,
    /// Received frames that no poll showed.
    lost: Vec<PacketKey>,
}

impl Recorder {
    /// A frame was given to the wire: it begins at `at` and ends at `end`. `number`: its number in the
    /// capture or in order of arrival, from 1.
    pub fn wire_in(&mut self, number: u64, at: Ps, end: Ps, bytes: &[u8]) {
        let key = PacketKey::In(number);
        let mut journey = Journey::new(key, None, bytes.len(), describe(bytes));
        journey.push(at, Layer::Wire, "first byte", "into the NIC".into());
        journey.push(end, Layer::Wire, "last byte", "FCS good".into());
        self.journeys.insert(key, journey);
        self.on_the_way.push_back(OnTheWay {
            key,
            at,
            end,
            bytes: bytes.to_vec(),
        });
    }

    /// A frame left the NIC.
    pub fn wire_out(&mut self, at: Ps, end: Ps, bytes: &[u8]) {
        // Padding is added and checksums are filled in on the way: the addresses must agree.
        let Some(place) = self
            .sent
            .iter()
            .position(|tx| bytes.starts_with(&tx.addresses))
        else {
            return;
        };
        let Some(tx) = self.sent.drain(..=place).next_back() else {
            return;
        };
        let Some(journey) = self.journeys.get_mut(&tx.key) else {
            return;
        };
        self.bus.transmit_events(&tx, journey);
        journey.push(at, Layer::Wire, "first byte", "out of the NIC".into());
        journey.push(
            end,
            Layer::Wire,
            "last byte",
            format!("{} bytes and FCS", bytes.len()),
        );
    }

    /// Bursts of the NIC on the bus, in the order in which they ended.
    pub fn bursts(&mut self, bursts: Vec<DmaRecord>) {
        for burst in bursts {
            self.bus.push(burst);
        }
    }

    /// The driver rang the doorbell of `queue`.
    pub fn doorbell(&mut self, at: Ps, queue: u16) {
        self.bus.doorbell(at, queue);
    }

    /// The CPU took the interrupt of a message at `taken`; the message was sent at `message`.
    pub fn interrupt(&mut self, message: Ps, taken: Ps, vector: u16) {
        self.interrupt = Some(Interrupt {
            message,
            taken,
            vector,
        });
    }

    /// Packets made from now on without a parent of their own are caused by `cause`.
    pub fn set_cause(&mut self, cause: Option<PacketId>) {
        self.cause = cause.and_then(|id| self.keys.get(&id).copied());
    }

    /// The stack saw `skb` at `stage`.
    pub fn software(&mut self, at: Ps, skb: &SkBuff, stage: Stage) {
        if matches!(stage, Stage::NapiPoll) {
            self.received(at, skb);
        }
        let key = self.key_of(skb);
        if matches!(stage, Stage::Xmit) {
            // A frame that the driver did not take comes again.
            self.sent.retain(|tx| tx.key != key);
            self.sent.push_back(TxBuffer::new(key, at, skb));
        }
        if let Some(journey) = self.journeys.get_mut(&key) {
            match stage {
                Stage::Xmit => (journey.len, journey.what) = (skb.len(), describe(skb.data())),
                Stage::Defrag => (journey.len, journey.what) = (skb.len(), "whole datagram".into()),
                _ => {}
            }
            let (mut layer, name, detail) = super::software::words(skb, stage);
            if matches!(stage, Stage::Send) && self.cause.is_some() {
                layer = Layer::App;
            }
            journey.push(at, layer, name, detail);
        }
    }

    /// The packet's name; a new one when it has none, then it was made by this host.
    fn key_of(&mut self, skb: &SkBuff) -> PacketKey {
        if let Some(key) = self.keys.get(&skb.id) {
            return *key;
        }
        self.made += 1;
        let key = PacketKey::Made(self.made);
        let cause = self.keys.get(&skb.parent).copied().or(self.cause);
        self.keys.insert(skb.id, key);
        self.journeys
            .insert(key, Journey::new(key, cause, 0, String::new()));
        key
    }

    /// A packet comes out of the receive ring: it is the oldest frame on its way with these bytes;
    /// older ones were lost in the NIC.
    fn received(&mut self, polled: Ps, skb: &SkBuff) {
        let Some(place) = self.on_the_way.iter().position(|f| f.bytes == skb.data()) else {
            return;
        };
        let older: Vec<_> = self.on_the_way.drain(..place).collect();
        for frame in &older {
            self.lost(frame);
        }
        let Some(frame) = self.on_the_way.pop_front() else {
            return;
        };
        self.keys.insert(skb.id, frame.key);
        let Some(journey) = self.journeys.get_mut(&frame.key) else {
            return;
        };
        let used = self.bus.receive_events(skb, frame.at, polled, journey);
        // The message speaks for everything that was used before it.
        if let Some(irq) = self
            .interrupt
            .filter(|irq| used.is_none_or(|used| used <= irq.message))
        {
            journey.push(
                irq.message,
                Layer::Irq,
                "MSI-X message",
                format!("vector {}", irq.vector),
            );
            journey.push(
                irq.taken,
                Layer::Irq,
                "interrupt",
                "handler starts, NAPI scheduled".into(),
            );
        }
        debug_assert!(frame.end <= polled);
    }

    /// The run is over: frames that never came out of the ring were lost in the NIC.
    pub fn close(&mut self) {
        for frame in std::mem::take(&mut self.on_the_way) {
            self.lost(&frame);
        }
    }

    fn lost(&mut self, frame: &OnTheWay) {
        if let Some(journey) = self.journeys.get_mut(&frame.key) {
            let detail = NOT_POLLED.into();
            journey.push(frame.end, Layer::Wire, LOST, detail);
            self.lost.push(frame.key);
        }
    }

    /// What NIC and driver counted says why frames were lost: `drops` by reason, in the whole run.
    pub fn explain_lost(&mut self, drops: &BTreeMap<String, u64>) {
        let counted: Vec<String> = drops
            .iter()
            .map(|(reason, count)| format!("{reason} {count}"))
            .collect();
        let why = match counted.is_empty() {
            true => "no counter says why".to_owned(),
            false => format!("counted in this run: {}", counted.join(", ")),
        };
        for key in &self.lost {
            let events = self.journeys.get_mut(key).map(|j| &mut j.events);
            for event in events.into_iter().flatten().filter(|e| e.stage == LOST) {
                event.detail = format!("{NOT_POLLED}; {why}");
            }
        }
    }

    /// All journeys, received packets first, each followed by what it caused.
    pub fn text(&self) -> String {
        let effects = self.effects();
        let mut text = String::new();
        for journey in self.journeys.values().filter(|j| j.cause.is_none()) {
            chain(journey, journey.start(), &effects, &mut text);
        }
        text
    }

    /// Journey of the received frame `number` and of everything that it caused; empty when there is no
    /// such frame.
    pub fn text_of(&self, number: u64) -> String {
        let mut text = String::new();
        if let Some(journey) = self.journeys.get(&PacketKey::In(number)) {
            chain(journey, journey.start(), &self.effects(), &mut text);
        }
        text
    }

    /// What each packet caused.
    fn effects(&self) -> Effects<'_> {
        let mut effects = Effects::new();
        for journey in self.journeys.values() {
            if let Some(cause) = journey.cause {
                effects.entry(cause).or_default().push(journey);
            }
        }
        effects
    }
}

type Effects<'a> = BTreeMap<PacketKey, Vec<&'a Journey>>;

/// A journey and those that it caused. A cause is older than what it causes, so this ends.
fn chain(journey: &Journey, origin: Ps, effects: &Effects<'_>, text: &mut String) {
    text.push_str(&journey_text(journey, origin));
    text.push('\n');
    for caused in effects.get(&journey.key).into_iter().flatten() {
        chain(caused, origin, effects, text);
    }
}
