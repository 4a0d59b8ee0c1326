//! Maps: what a program keeps between packets and shares with whoever configures it.

use super::BpfError;
use std::collections::{BTreeMap, HashMap};

/// Bytes of memory of one map.
const MAX_MEMORY: usize = 64 << 20;
/// Bytes of a key (`MAX_BPF_STACK`: it must fit the program's stack).
const MAX_KEY: u32 = 512;

/// Kinds of maps (`BPF_MAP_TYPE_*`). Per-CPU kinds have one CPU's values.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MapKind {
    /// Keys are numbers below `max_entries`; all values exist from the start.
    Array,
    /// Any keys.
    Hash,
    /// As `Hash`, but the entry that was updated longest ago makes room for a new one.
    LruHash,
    /// Numbers of devices, to be redirected to.
    DevMap,
    /// As `DevMap`, with any numbers as keys.
    DevMapHash,
    /// Numbers of AF_XDP sockets, to be redirected to.
    XskMap,
}

impl MapKind {
    /// From the number in the object file; `None`: not known here.
    pub fn from_id(id: u32) -> Option<Self> {
        Some(match id {
            1 | 5 => MapKind::Hash,
            2 | 6 => MapKind::Array,
            9 | 10 => MapKind::LruHash,
            14 => MapKind::DevMap,
            17 => MapKind::XskMap,
            25 => MapKind::DevMapHash,
            _ => return None,
        })
    }

    fn is_array(self) -> bool {
        matches!(self, MapKind::Array | MapKind::DevMap | MapKind::XskMap)
    }

    /// Whether the program only redirects through it and cannot see the values.
    fn is_redirect(self) -> bool {
        matches!(
            self,
            MapKind::DevMap | MapKind::DevMapHash | MapKind::XskMap
        )
    }
}

/// How a map is declared.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MapSpec {
    /// Its name in the object.
    pub name: String,
    /// Kind.
    pub kind: MapKind,
    /// Bytes of a key.
    pub key_size: u32,
    /// Bytes of a value.
    pub value_size: u32,
    /// Most entries.
    pub max_entries: u32,
}

/// Where the entries of a map are.
enum Keys {
    /// Entry `n` has key `n`. Redirect maps also know which entries are set.
    Array(Vec<bool>),
    /// Slot and the time of the last update, by key.
    Hash {
        slots: HashMap<Box<[u8]>, (usize, u64)>,
        /// Keys by the time of their last update, for the kinds that evict.
        by_age: BTreeMap<u64, Box<[u8]>>,
        free: Vec<usize>,
        clock: u64,
    },
}

/// A map with its entries.
pub struct Map {
    spec: MapSpec,
    keys: Keys,
    /// The values, one slot after the other.
    values: Vec<u8>,
    /// Bytes from one slot to the next: values are aligned to 8.
    stride: usize,
    /// The program must not write (constants).
    read_only: bool,
}

/// Why an entry could not be changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum MapError {
    /// `-E2BIG`: no room, or an array's index is too large.
    #[error("no room for another entry")]
    Full,
    /// `-ENOENT`: no such entry.
    #[error("no such entry")]
    Missing,
    /// `-EEXIST`: the entry is there already, and must not be (`BPF_NOEXIST`).
    #[error("the entry exists")]
    Exists,
    /// `-EINVAL`: key or value has the wrong size, the flags are unknown, or the kind of map cannot do it.
    #[error("not possible with this map")]
    Invalid,
}

impl MapError {
    /// As a program sees it.
    pub(super) fn errno(self) -> i64 {
        match self {
            MapError::Full => -7,
            MapError::Missing => -2,
            MapError::Exists => -17,
            MapError::Invalid => -22,
        }
    }
}

/// `BPF_NOEXIST`.
const NOEXIST: u64 = 1;
/// `BPF_EXIST`.
const EXIST: u64 = 2;

impl Map {
    /// An empty map.
    pub(super) fn new(spec: MapSpec) -> Result<Self, BpfError> {
        let bad = |problem| BpfError::Map {
            name: spec.name.clone(),
            problem,
        };
        let redirect = spec.kind.is_redirect();
        if spec.max_entries == 0 || spec.value_size == 0 || spec.key_size == 0 {
            return Err(bad("sizes must not be zero"));
        }
        if spec.key_size > MAX_KEY {
            return Err(bad("the key is too long"));
        }
        if (spec.kind.is_array() || redirect) && spec.key_size != 4 {
            return Err(bad("the key must have 4 bytes"));
        }
        if redirect && !matches!(spec.value_size, 4 | 8) {
            return Err(bad("the value must have 4 or 8 bytes"));
        }
        let stride = (spec.value_size as usize).next_multiple_of(8);
        let size = stride.checked_mul(spec.max_entries as usize);
        let Some(size) = size.filter(|&size| size <= MAX_MEMORY) else {
            return Err(bad("it would take too much memory"));
        };
        let entries = spec.max_entries as usize;
        let (keys, values) = if spec.kind.is_array() {
            let set = if redirect {
                vec![false; entries]
            } else {
                Vec::new()
            };
            (Keys::Array(set), vec![0; size])
        } else {
            let keys = Keys::Hash {
                slots: HashMap::new(),
                by_age: BTreeMap::new(),
                free: Vec::new(),
                clock: 0,
            };
            (keys, Vec::new())
        };
        Ok(Self {
            spec,
            keys,
            values,
            stride,
            read_only: false,
        })
    }

    /// A map of one value that is `bytes`: a section of global variables (`.data`, `.bss`, `.rodata`).
    pub(super) fn global(name: &str, bytes: &[u8], read_only: bool) -> Result<Self, BpfError> {
        let mut map = Self::new(MapSpec {
            name: name.to_owned(),
            kind: MapKind::Array,
            key_size: 4,
            value_size: u32::try_from(bytes.len()).unwrap_or(u32::MAX),
            max_entries: 1,
        })?;
        if let Some(value) = map.values.get_mut(..bytes.len()) {
            value.copy_from_slice(bytes);
        }
        map.read_only = read_only;
        Ok(map)
    }

    /// How it was declared.
    pub fn spec(&self) -> &MapSpec {
        &self.spec
    }

    /// Number of entries; of an array, all that there can be.
    pub fn len(&self) -> usize {
        match &self.keys {
            Keys::Array(set) if set.is_empty() => self.spec.max_entries as usize,
            Keys::Array(set) => set.iter().filter(|&&set| set).count(),
            Keys::Hash { slots, .. } => slots.len(),
        }
    }

    /// Whether there are no entries.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// What a program can reach: nothing of maps that it only redirects through.
    pub(super) fn memory(&self) -> &[u8] {
        if self.spec.kind.is_redirect() {
            return &[];
        }
        &self.values
    }

    pub(super) fn memory_mut(&mut self) -> Option<&mut [u8]> {
        if self.spec.kind.is_redirect() || self.read_only {
            return None;
        }
        Some(&mut self.values)
    }

    fn slot(&self, key: &[u8]) -> Option<usize> {
        match &self.keys {
            Keys::Array(set) => {
                let index = array_index(key)?;
                let there = match set.get(index) {
                    Some(&there) => there,
                    None => set.is_empty() && index < self.spec.max_entries as usize,
                };
                there.then_some(index)
            }
            Keys::Hash { slots, .. } => slots.get(key).map(|&(slot, _)| slot),
        }
    }

    /// Offset of the value of `key` in the map's memory.
    pub(super) fn lookup_offset(&self, key: &[u8]) -> Option<usize> {
        Some(self.slot(key)? * self.stride)
    }

    /// `bpf_map_lookup_elem()`: the value of `key`.
    pub fn lookup(&self, key: &[u8]) -> Option<&[u8]> {
        let at = self.lookup_offset(key)?;
        self.values.get(at..at + self.spec.value_size as usize)
    }

    /// The number that a redirect map has for `key`.
    pub(super) fn target(&self, key: u32) -> Option<u32> {
        let value = self.lookup(&key.to_le_bytes())?;
        value.first_chunk().map(|n| u32::from_le_bytes(*n))
    }

    /// `bpf_map_update_elem()`. `flags`: 0 any, 1 only new entries, 2 only entries that exist.
    pub fn update(&mut self, key: &[u8], value: &[u8], flags: u64) -> Result<(), MapError> {
        if key.len() != self.spec.key_size as usize
            || value.len() != self.spec.value_size as usize
            || flags > EXIST
        {
            return Err(MapError::Invalid);
        }
        let slot = match (self.slot(key), flags) {
            (Some(_), NOEXIST) => return Err(MapError::Exists),
            (None, EXIST) if !self.spec.kind.is_array() => return Err(MapError::Missing),
            (Some(slot), _) => slot,
            (None, _) => self.new_slot(key)?,
        };
        self.touch(key, slot);
        let at = slot * self.stride;
        match self.values.get_mut(at..at + value.len()) {
            Some(to) => to.copy_from_slice(value),
            None => return Err(MapError::Full),
        }
        Ok(())
    }

    /// A slot for a key that is not there.
    fn new_slot(&mut self, key: &[u8]) -> Result<usize, MapError> {
        let max = self.spec.max_entries as usize;
        let evicts = self.spec.kind == MapKind::LruHash;
        match &mut self.keys {
            Keys::Array(set) => {
                let index = array_index(key).ok_or(MapError::Invalid)?;
                *set.get_mut(index).ok_or(MapError::Full)? = true;
                Ok(index)
            }
            Keys::Hash {
                slots,
                by_age,
                free,
                ..
            } => {
                if slots.len() >= max {
                    if !evicts {
                        return Err(MapError::Full);
                    }
                    let (_, oldest) = by_age.pop_first().ok_or(MapError::Full)?;
                    if let Some((slot, _)) = slots.remove(&oldest) {
                        free.push(slot);
                    }
                }
                Ok(free.pop().unwrap_or_else(|| {
                    let slot = self.values.len() / self.stride;
                    self.values.resize(self.values.len() + self.stride, 0);
                    slot
                }))
            }
        }
    }

    /// Notes that `key` is in `slot` and was updated just now.
    fn touch(&mut self, key: &[u8], slot: usize) {
        let evicts = self.spec.kind == MapKind::LruHash;
        if let Keys::Hash {
            slots,
            by_age,
            clock,
            ..
        } = &mut self.keys
        {
            *clock += 1;
            let now = *clock;
            match slots.get_mut(key) {
                Some((_, updated)) => {
                    let before = std::mem::replace(updated, now);
                    if let Some(key) = by_age.remove(&before) {
                        by_age.insert(now, key);
                    }
                }
                None => {
                    slots.insert(key.into(), (slot, now));
                    if evicts {
                        by_age.insert(now, key.into());
                    }
                }
            }
        }
    }

    /// `bpf_map_delete_elem()`.
    pub fn delete(&mut self, key: &[u8]) -> Result<(), MapError> {
        match &mut self.keys {
            // Arrays always have all their entries.
            Keys::Array(set) if set.is_empty() => Err(MapError::Invalid),
            Keys::Array(set) => {
                let index = array_index(key).ok_or(MapError::Invalid)?;
                let set = set.get_mut(index).ok_or(MapError::Missing)?;
                *set = false;
                Ok(())
            }
            Keys::Hash {
                slots,
                by_age,
                free,
                ..
            } => {
                let (slot, age) = slots.remove(key).ok_or(MapError::Missing)?;
                by_age.remove(&age);
                free.push(slot);
                Ok(())
            }
        }
    }
}

fn array_index(key: &[u8]) -> Option<usize> {
    Some(u32::from_le_bytes(*key.first_chunk()?) as usize)
}
