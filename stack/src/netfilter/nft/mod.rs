//! nftables: rulesets in nft's language, and the engine that runs them over packets.
//!
//! | step | where |
//! | --- | --- |
//! | text → words → commands | `lex`, `parse` |
//! | the form that is kept and listed | [`expr`], [`stmt`], [`model`], `normal`, `print` |
//! | one transaction a text | `commit`, `ruleset` |
//! | statements → steps | `compile`, `program` |
//! | steps over a packet | `eval`, `set`, `limit` |
//!
//! [`Stack::nft`](crate::Stack::nft) is how a host gets its rules; base chains then stand among the other hook functions. Alone, [`Nft`]
//! needs nothing but packets and a [`NftHost`], which answers what rules ask about the rest of the host:
//!
//! ```
//! use stack::nft::{Nft, NftCtx, NftVerdict, NoHost};
//! use stack::{Family, Hook, HookState, SkBuff};
//!
//! # fn main() -> Result<(), stack::nft::NftError> {
//! let mut nft = Nft::default();
//! nft.apply("table ip t { chain c { type filter hook input priority 0; ip ttl 1 drop; } }", 0)?;
//! let chain = nft.base_chains()[0].id;
//! let mut skb = SkBuff::from_vec(vec![0x45, 0, 0, 20, 0, 0, 0, 0, 1, 17, 0, 0, 10, 0, 0, 1, 10, 0, 0, 2]);
//! let state = HookState { hook: Hook::LocalIn, family: Family::Ipv4, iif: None, oif: None, now: 0 };
//! let mut ctx = NftCtx { skb: &mut skb, state: &state, host: &mut NoHost };
//! assert_eq!(nft.do_chain(chain, &mut ctx), NftVerdict::Drop);
//! # Ok(()) }
//! ```
//!
//! What is not here and is an error where it stands: families arp and bridge; queue, tproxy, synproxy, flow tables, sockets, osf, chains without a
//! name, include.

mod command;
mod commit;
mod compile;
mod datatype;
mod error;
mod eval;
pub mod expr;
mod exthdr;
mod fast;
mod host;
mod json;
mod lex;
mod limit;
pub mod model;
mod normal;
mod parse;
mod print;
mod priority;
mod program;
mod proto;
mod ruleset;
mod services;
mod set;
mod stack;
mod state;
pub mod stmt;
mod symbols;
mod trace;
mod verdict;

pub use datatype::DataType;
pub use error::NftError;
pub use eval::{NftChainId, NftCtx};
pub use host::{HelperSpec, NftHost, NftNat, NoHost};
pub use proto::{Base, Field, Proto};
pub(crate) use stack::NftHooks;
pub use stmt::RejectKind;
pub use trace::{NftEvent, NftPlace};
pub use verdict::NftVerdict;

use crate::Ps;
use command::{Named, TableName};
use commit::Transaction;
use model::{BaseChain, SetSpec, TableFamily};
use print::Printer;
use ruleset::Ruleset;

/// A base chain, for whoever puts it on the hooks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NftBaseChain {
    /// For [`Nft::do_chain`].
    pub id: NftChainId,
    /// Family of its table.
    pub family: TableFamily,
    /// Name of its table.
    pub table: String,
    /// Its name.
    pub name: String,
    /// Type, hook, priority, policy, devices.
    pub base: BaseChain,
}

/// A ruleset, and everything that its rules remember.
#[derive(Default)]
pub struct Nft {
    rules: Ruleset,
    /// Names of the host's devices by number, from 1 on.
    devices: Vec<String>,
    next_serial: u64,
    /// State of the generator that seeds hashes.
    seed: u64,
}

impl parse::Known for Nft {
    fn set(&self, table: &TableName, name: &str) -> Option<SetSpec> {
        let named = Named {
            table: table.clone(),
            name: name.to_owned(),
            handle: None,
        };
        let id = self.rules.set_id(&named)?;
        Some(self.rules.sets.get(id)?.spec.clone())
    }

    fn device(&self, name: &str) -> Option<u32> {
        let at = self.devices.iter().position(|d| d == name)?;
        Some(at as u32 + 1)
    }
}

impl Nft {
    /// An empty ruleset whose hashes start from `seed`.
    pub fn new(seed: u64) -> Self {
        Self {
            seed,
            ..Self::default()
        }
    }

    /// Tells the names of the host's devices, the first one's number being 1: `iif` and `oif` match numbers.
    pub fn set_devices(&mut self, names: Vec<String>) {
        self.devices = names;
    }

    /// Does what a text says: the content of a file, or one command as it is typed after the word `nft`. Either all of it takes effect or
    /// nothing. Returns what `list` commands print.
    pub fn apply(&mut self, text: &str, now: Ps) -> Result<String, NftError> {
        let (commands, tokens) = parse::parse(text, self)?;
        let mut seed = self.seed;
        let mut random = || {
            // splitmix64
            seed = seed.wrapping_add(0x9e37_79b9_7f4a_7c15);
            let z = (seed ^ (seed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
            let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
            z ^ (z >> 31)
        };
        let mut transaction = Transaction {
            rules: self.rules.clone(),
            devices: &self.devices,
            now,
            random: &mut random,
            output: String::new(),
            next_serial: self.next_serial,
        };
        transaction.run(commands, &tokens)?;
        let Transaction {
            rules,
            output,
            next_serial,
            ..
        } = transaction;
        self.rules = rules;
        self.next_serial = next_serial;
        self.seed = seed;
        Ok(output)
    }

    /// Does what a libnftables JSON text says (`nft -j -f`): the output of `nft -j list ruleset`, or commands. Errors name the place of the
    /// object in the JSON.
    pub fn apply_json(&mut self, json: &str, now: Ps) -> Result<String, NftError> {
        let (text, places) = json::to_text(json)?;
        self.apply(&text, now).map_err(|e| {
            // The text has a line for each object.
            let at = places.get(e.line.saturating_sub(1));
            let (line, column) = at.copied().unwrap_or((1, 1));
            NftError { line, column, ..e }
        })
    }

    /// The ruleset as `nft list ruleset` prints it; `stateless` as `nft -s list ruleset`.
    pub fn list(&self, now: Ps, stateless: bool) -> String {
        let printer = Printer {
            devices: &self.devices,
            stateless,
            handles: false,
        };
        let mut out = String::new();
        for table in &self.rules.tables {
            printer.table(&self.rules, table, now, &mut out);
        }
        out
    }

    /// The base chains in the order in which they came to be: at equal priority the last one runs first. Those of dormant tables are not
    /// among them.
    pub fn base_chains(&self) -> Vec<NftBaseChain> {
        let mut chains: Vec<_> = self
            .rules
            .chains
            .iter()
            .filter_map(|(id, chain)| {
                let base = chain.base.clone()?;
                let dormant = self.rules.table(&chain.table).is_none_or(|t| t.dormant);
                (!dormant).then(|| NftBaseChain {
                    id: NftChainId {
                        slot: id,
                        serial: chain.serial,
                    },
                    family: chain.table.family,
                    table: chain.table.name.clone(),
                    name: chain.name.clone(),
                    base,
                })
            })
            .collect();
        chains.sort_by_key(|c| c.id.serial);
        chains
    }

    /// Whether a packet that this chain changed is routed again.
    pub(crate) fn is_route_chain(&self, chain: NftChainId) -> bool {
        let base = self
            .rules
            .chains
            .get(chain.slot)
            .and_then(|c| c.base.as_ref());
        base.is_some_and(|b| b.kind == model::ChainType::Route)
    }
}
