//! The router `r` of the recordings: `c — r — s`.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;

use stack::{IfIndex, Stack, StackConfig};
use thiserror::Error;

use super::meta::Prep;
use super::plan::realtime_at_start;
use super::recording::Recording;
use super::walk::Walks;
use super::wire::Wire;

/// What makes `r` out of a host, besides its devices: addresses, forwarding, permanent neighbours.
const TOPOLOGY: [&str; 6] = [
    "ip addr add 10.0.1.1/24 dev eth_c",
    "ip addr add 10.0.2.1/24 dev eth_s",
    "sysctl -qw net.ipv4.ip_forward=1",
    "sysctl -qw net.ipv4.icmp_ratelimit=0",
    "ip neigh replace 10.0.1.2 lladdr 02:00:00:00:01:02 dev eth_c nud permanent",
    "ip neigh replace 10.0.2.2 lladdr 02:00:00:00:02:02 dev eth_s nud permanent",
];

/// A command that cannot be carried out.
#[derive(Debug, Clone, PartialEq, Eq, Error)]
#[error("{command}: {problem}")]
pub struct CommandFailed {
    /// The command as it stands.
    pub command: String,
    /// What is wrong with it.
    pub problem: String,
}

/// The router.
pub struct Router {
    /// Its stack.
    pub stack: Stack,
    /// Its devices with a wire, by name.
    pub devices: BTreeMap<&'static str, (IfIndex, Rc<RefCell<Wire>>)>,
    /// What its packets did.
    pub walks: Rc<RefCell<Walks>>,
}

impl Router {
    /// The router as it was when the recording's traffic began.
    ///
    /// # Errors
    /// The first command that this stack does not take.
    pub fn new(recording: &Recording) -> Result<Self, CommandFailed> {
        let mut stack = Stack::new(StackConfig {
            ipv6: false,
            ..StackConfig::default()
        });
        stack.set_realtime(realtime_at_start(recording));
        let mut devices = BTreeMap::new();
        for (name, net) in [("eth_c", 1), ("eth_s", 2)] {
            let wire = Wire::new([2, 0, 0, 0, net, 1]);
            let dev = stack.add_device(name, Box::new(Rc::clone(&wire)));
            devices.insert(name, (dev, wire));
        }
        let mut router = Self {
            stack,
            devices,
            walks: Rc::default(),
        };
        for command in TOPOLOGY {
            router.command(command)?;
        }
        let failed = |problem: String| CommandFailed {
            command: "nft -f base.nft".to_owned(),
            problem,
        };
        router
            .stack
            .nft(&recording.base)
            .map_err(|e| failed(e.to_string()))?;
        for prep in &recording.meta.prep {
            router.prepare(prep)?;
        }
        let walks = super::replay::trace(&router.stack, Rc::clone(&router.walks));
        router.stack.set_tracer(walks);
        router.stack.conntrack_mut().events_on();
        Ok(router)
    }

    /// A `prep` line. What was typed in the other namespaces shows in the frames that came from there.
    fn prepare(&mut self, prep: &Prep) -> Result<(), CommandFailed> {
        match prep.ns.as_str() {
            "r" => self.command(&prep.cmd),
            // Whatever a shell made of it is done.
            "c" | "s" => Ok(()),
            other => Err(CommandFailed {
                command: prep.cmd.clone(),
                problem: format!("no namespace `{other}`: there are c, r and s"),
            }),
        }
    }

    /// Carries out a command line as typed in `r`.
    fn command(&mut self, line: &str) -> Result<(), CommandFailed> {
        super::tools::run(&mut self.stack, line)
            .map(drop)
            .map_err(|problem| CommandFailed {
                command: line.to_owned(),
                problem,
            })
    }
}

/// The hook of every base chain, by `table/chain`, out of what `nft list ruleset` prints.
pub fn hooks(ruleset: &str) -> BTreeMap<String, String> {
    let mut found = BTreeMap::new();
    let (mut table, mut chain) = (String::new(), String::new());
    for line in ruleset.lines() {
        let words: Vec<&str> = line.split_whitespace().collect();
        match words.as_slice() {
            ["table", _, name, ..] => table = (*name).to_owned(),
            ["chain", name, ..] => chain = (*name).to_owned(),
            ["type", _, "hook", hook, ..] => {
                found.insert(format!("{table}/{chain}"), (*hook).to_owned());
            }
            _ => {}
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_of_the_other_namespaces_are_a_shells() {
        let walks = Rc::default();
        let stack = Stack::new(StackConfig::default());
        let mut router = Router {
            stack,
            devices: BTreeMap::new(),
            walks,
        };
        let mut prepare = |ns: &str| {
            let (ns, cmd) = (ns.to_owned(), "sleep 1 & echo $! > pid".to_owned());
            router.prepare(&Prep { ns, cmd })
        };
        assert_eq!((prepare("c"), prepare("s")), (Ok(()), Ok(())));
        assert!(prepare("r").is_err() && prepare("t").is_err());
    }

    #[test]
    fn hooks_of_base_chains() {
        let text = "table ip nat {\n\tchain PREROUTING {\n\t\ttype nat hook prerouting priority dstnat; policy accept;\n\t}\n\n\tchain dnat_rules {\n\t}\n}\n";
        let found = hooks(text);
        assert_eq!(found.len(), 1);
        assert_eq!(found["nat/PREROUTING"], "prerouting");
    }
}
