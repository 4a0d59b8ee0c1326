//! The bodies of the fuzz targets: each takes any bytes and panics when something that always holds does not.
//!
//! | target | input | what holds |
//! | --- | --- | --- |
//! | [`frames`] | settings, then frames with the time between them | every packet ends once, every buffer comes back, no frame is too long |
//! | [`nft_text`] | a ruleset in nft's language | what is accepted is listed so that it is read as itself; packets may pass |
//! | [`nft_json`] | a ruleset as libnftables JSON | the same |
//! | [`lines`] | `ip`, `tc` and `sysctl` lines | errors name a place in the line; routes and rules are listed so that they are read as themselves |
//! | [`bpf_elf`] | an eBPF object file, or bare instructions | what loads runs within its memory and time, and every frame gets a verdict |
//!
//! `tests/fuzz.rs` runs them over the kept corpus; under cargo-fuzz, libFuzzer looks for more. Only what any user of the crate can reach is used.

mod bpf;
mod host;
mod packets;
mod rules;
mod text;

pub use bpf::bpf_elf;
pub use packets::frames;
pub use rules::{nft_json, nft_text};
pub use text::lines;

/// A device made of two queues; the tests of the crate use the same one.
#[path = "../../tests/common/mod.rs"]
mod common;
