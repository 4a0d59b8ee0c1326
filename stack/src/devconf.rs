//! Settings per device: `net.ipv4.conf.*` and `net.ipv6.conf.*` (net/ipv4/devinet.c, net/ipv6/addrconf.c).
//!
//! Linux takes any number for most of them and reads them as "not 0", so they are numbers here too.

use crate::skb::IfIndex;
use crate::stack::Stack;
use crate::sysctl::{Scope, Sysctl};

/// Which of the settings: the middle word of `net.ipv4.conf.WORD.rp_filter`.
#[derive(Clone, Debug, Default)]
pub(crate) struct DevConf<T> {
    /// `all`: combined with the device's own, see each setting.
    pub all: T,
    /// `default`: what a new device starts with.
    pub default: T,
    devices: Vec<T>,
}

impl<T: Clone> DevConf<T> {
    /// A new device, the next by index.
    pub fn add_device(&mut self) {
        self.devices.push(self.default.clone());
    }

    /// The device's own settings; those of `all` for a device that does not exist.
    #[inline]
    pub fn dev(&self, dev: IfIndex) -> &T {
        (dev.0 as usize)
            .checked_sub(1)
            .and_then(|i| self.devices.get(i))
            .unwrap_or(&self.all)
    }

    pub fn get(&self, scope: Scope) -> &T {
        match scope {
            Scope::All => &self.all,
            Scope::Default => &self.default,
            Scope::Dev(dev) => self.dev(dev),
        }
    }

    pub fn get_mut(&mut self, scope: Scope) -> &mut T {
        match scope {
            Scope::All => &mut self.all,
            Scope::Default => &mut self.default,
            Scope::Dev(dev) => match (dev.0 as usize).checked_sub(1) {
                Some(i) if i < self.devices.len() => &mut self.devices[i],
                _ => &mut self.all,
            },
        }
    }

    pub fn devices_mut(&mut self) -> impl Iterator<Item = &mut T> {
        self.devices.iter_mut()
    }

    /// `IN_DEV_ORCONF()`: on for all, or for this device.
    #[inline]
    pub fn or(&self, dev: IfIndex, field: impl Fn(&T) -> i32) -> bool {
        field(&self.all) != 0 || field(self.dev(dev)) != 0
    }

    /// `IN_DEV_ANDCONF()`: on for all, and for this device.
    #[inline]
    pub fn and(&self, dev: IfIndex, field: impl Fn(&T) -> i32) -> bool {
        field(&self.all) != 0 && field(self.dev(dev)) != 0
    }

    /// `IN_DEV_MAXCONF()`: the larger of both.
    #[inline]
    pub fn max(&self, dev: IfIndex, field: impl Fn(&T) -> i32) -> i32 {
        field(&self.all).max(field(self.dev(dev)))
    }
}

/// `net.ipv4.conf.DEV.*`; the defaults are Linux's.
#[derive(Clone, Debug)]
pub(crate) struct Ipv4Conf {
    /// Packets that came in here may be sent on. The device's own value decides; setting `all` sets every device.
    pub forwarding: i32,
    /// Reverse path check: 0 no, 1 strict, 2 loose (RFC 3704); the larger of both.
    pub rp_filter: i32,
    /// The packet's mark takes part in that check; either.
    pub src_valid_mark: i32,
    /// Own addresses are taken as sources from outside; either.
    pub accept_local: i32,
    /// 127/8 is routed like any network; either.
    pub route_localnet: i32,
    /// For which own addresses ARP requests are answered: 0 all, 1 those of this device, 2 as 1 with the asker in the network, 3 none of
    /// scope host, 8 none; the larger.
    pub arp_ignore: i32,
    /// Source of ARP requests: 0 the packet's, 1 one in the target's network, 2 the best of the device; the larger.
    pub arp_announce: i32,
    /// Unasked announcements make new entries: 0 no, 1 yes, 2 when in a network of the device; the larger.
    pub arp_accept: i32,
    /// ARP requests for addresses behind other devices are answered; either.
    pub proxy_arp: i32,
    /// So are those for addresses behind the device that asks, which is a private VLAN; the device's own (RFC 3069).
    pub proxy_arp_pvlan: i32,
    /// Which medium the device is on: between devices on one medium ARP is not answered for others, on -1 never; 0: any. The device's own.
    pub medium_id: i32,
    /// ARP requests for own addresses are answered only where the way to the asker goes back; either.
    pub arp_filter: i32,
    /// Own addresses are announced when the device comes up or its MAC address changes; the larger.
    pub arp_notify: i32,
    /// Announcements that nobody asked for are dropped; either.
    pub drop_gratuitous_arp: i32,
    /// Packets for one host in frames for many are dropped; either.
    pub drop_unicast_in_l2_multicast: i32,
    /// Packets to everybody on another link are sent there; both.
    pub bc_forwarding: i32,
    /// Redirects are sent; either.
    pub send_redirects: i32,
    /// Several networks share the link, so that redirects may cross them; either.
    pub shared_media: i32,
    /// Source-routed packets are taken; both. They are refused here whatever it says.
    pub accept_source_route: i32,
    /// Redirects are believed: either on a host, both where packets are sent on.
    pub accept_redirects: i32,
    /// Without shared media: only redirects to gateways of default routes; either.
    pub secure_redirects: i32,
    /// When the first address of a network goes, the next one takes its place; either.
    pub promote_secondaries: i32,
    /// Martians are logged; there is no log, drops are traced.
    pub log_martians: i32,
}

impl Default for Ipv4Conf {
    fn default() -> Self {
        Self {
            forwarding: 0,
            rp_filter: 0,
            src_valid_mark: 0,
            accept_local: 0,
            route_localnet: 0,
            arp_ignore: 0,
            arp_announce: 0,
            arp_accept: 0,
            proxy_arp: 0,
            proxy_arp_pvlan: 0,
            medium_id: 0,
            arp_filter: 0,
            arp_notify: 0,
            drop_gratuitous_arp: 0,
            drop_unicast_in_l2_multicast: 0,
            bc_forwarding: 0,
            send_redirects: 1,
            shared_media: 1,
            accept_source_route: 0,
            accept_redirects: 1,
            secure_redirects: 1,
            promote_secondaries: 0,
            log_martians: 0,
        }
    }
}

/// `net.ipv6.conf.DEV.*`; the defaults are Linux's.
#[derive(Clone, Debug)]
pub(crate) struct Ipv6Conf {
    /// The device acts as a router's; whether packets are sent on is up to `all` alone.
    pub forwarding: i32,
    /// Hop limit of packets made here.
    pub hop_limit: i32,
    /// New addresses are first looked for on the link (RFC 4862 5.4): below 1 they are not; the larger of both. Linux starts with 1 for devices; here
    /// it is 0, so that an address can be used at once and nothing is sent that nobody asked for.
    pub accept_dad: i32,
    /// Solicitations before an address counts as free.
    pub dad_transmits: i32,
    /// They carry a number by which their sender knows them again (RFC 7527); either.
    pub enhanced_dad: i32,
    /// Redirects are believed where packets are not sent on; the device's own.
    pub accept_redirects: i32,
    /// The device has no IPv6; its own. Setting `all` sets every device.
    pub disable_ipv6: i32,
    /// Packets for one host in frames for many are dropped; the device's own.
    pub drop_unicast_in_l2_multicast: i32,
    /// Packets that came in here are sent on though `forwarding` of `all` is off; the device's own. Setting `all` sets every device.
    pub force_forwarding: i32,
}

impl Default for Ipv6Conf {
    fn default() -> Self {
        Self {
            forwarding: 0,
            hop_limit: 64,
            accept_dad: 0,
            dad_transmits: 1,
            enhanced_dad: 1,
            accept_redirects: 1,
            disable_ipv6: 0,
            drop_unicast_in_l2_multicast: 0,
            force_forwarding: 0,
        }
    }
}

impl Stack {
    /// `inet_forward_change()`: `all` sets every device.
    fn set_forwarding_v4(&mut self, scope: Scope, on: i32) {
        // What it was already changes nothing, of other devices either.
        if self.ipv4_conf.get(scope).forwarding == on {
            return;
        }
        self.ipv4_conf.get_mut(scope).forwarding = on;
        if scope == Scope::All {
            self.ipv4_conf.default.forwarding = on;
            // A router does not let others tell it the way.
            self.ipv4_conf.all.accept_redirects = i32::from(on == 0);
            self.ipv4_conf.default.accept_redirects = i32::from(on == 0);
            for dev in self.ipv4_conf.devices_mut() {
                dev.forwarding = on;
            }
        }
    }

    /// `addrconf_fixup_forwarding()`.
    fn set_forwarding_v6(&mut self, scope: Scope, on: i32) {
        self.ipv6_conf.get_mut(scope).forwarding = on;
        if scope == Scope::All {
            self.ipv6_conf.default.forwarding = on;
            for dev in self.ipv6_conf.devices_mut() {
                dev.forwarding = on;
            }
        }
        let all: Vec<IfIndex> = self.netdevs().map(|d| d.index).collect();
        let changed = |&dev: &IfIndex| scope == Scope::All || scope == Scope::Dev(dev);
        for dev in all.into_iter().filter(changed) {
            self.addrconf_forward_change(dev);
        }
    }

    /// `addrconf_disable_ipv6()`: IPv6 addresses go, or the link-local one comes back.
    fn set_disable_ipv6(&mut self, scope: Scope, off: i32) {
        let devices: Vec<IfIndex> = match scope {
            Scope::All => self.netdevs().map(|d| d.index).collect(),
            Scope::Default => Vec::new(),
            Scope::Dev(dev) => vec![dev],
        };
        self.ipv6_conf.get_mut(scope).disable_ipv6 = off;
        if scope == Scope::All {
            self.ipv6_conf.default.disable_ipv6 = off;
        }
        for dev in devices {
            let own = self.ipv6_conf.get_mut(Scope::Dev(dev));
            let was = std::mem::replace(&mut own.disable_ipv6, off) != 0;
            match off != 0 {
                true => self.addrconf_ifdown(dev),
                false if was || scope != Scope::All => self.addrconf_up(dev),
                false => {}
            }
        }
        self.flush_devices();
    }

    fn set_force_forwarding(&mut self, scope: Scope, on: i32) {
        self.ipv6_conf.get_mut(scope).force_forwarding = on;
        if scope == Scope::All {
            self.ipv6_conf.default.force_forwarding = on;
            for dev in self.ipv6_conf.devices_mut() {
                dev.force_forwarding = on;
            }
        }
    }

    /// Whether IPv6 packets that came in through `dev` are sent on.
    pub(crate) fn forwards_v6(&self, dev: IfIndex) -> bool {
        self.ipv6_conf.all.forwarding != 0 || self.ipv6_conf.dev(dev).force_forwarding != 0
    }

    /// What [`StackConfig`](crate::StackConfig) says of these.
    pub(crate) fn init_devconf(&mut self) {
        self.ipv4_conf.all.rp_filter = match self.config.rp_filter {
            crate::RpFilter::Off => 0,
            crate::RpFilter::Strict => 1,
            crate::RpFilter::Loose => 2,
        };
        self.ipv6_conf.default.hop_limit = self.config.default_ttl.into();
        self.ipv6_conf.all.hop_limit = self.config.default_ttl.into();
        if self.config.ip_forward {
            self.set_forwarding_v4(Scope::All, 1);
        }
        if self.config.ipv6_forward {
            self.set_forwarding_v6(Scope::All, 1);
        }
    }
}

macro_rules! conf {
    ($conf:ident, $dir:literal, $field:ident) => {
        Sysctl::int(
            concat!($dir, ".*.", stringify!($field)),
            i32::MIN as i64..=i32::MAX as i64,
            |stack, scope| i64::from(stack.$conf.get(scope).$field),
            |stack, scope, value| stack.$conf.get_mut(scope).$field = value as i32,
        )
    };
}

macro_rules! conf6 {
    ($field:ident) => {
        conf!(ipv6_conf, "net.ipv6.conf", $field)
    };
}

macro_rules! conf4 {
    ($field:ident) => {
        conf!(ipv4_conf, "net.ipv4.conf", $field)
    };
}

const INT: std::ops::RangeInclusive<i64> = i32::MIN as i64..=i32::MAX as i64;

/// The keys of this module.
pub(crate) const SYSCTLS: &[Sysctl] = &[
    Sysctl::int(
        "net.ipv4.ip_forward",
        INT,
        |stack, _| i64::from(stack.ipv4_conf.all.forwarding),
        |stack, _, value| stack.set_forwarding_v4(Scope::All, value as i32),
    ),
    Sysctl::int(
        "net.ipv4.conf.*.forwarding",
        INT,
        |stack, scope| i64::from(stack.ipv4_conf.get(scope).forwarding),
        |stack, scope, value| stack.set_forwarding_v4(scope, value as i32),
    ),
    conf4!(rp_filter),
    conf4!(src_valid_mark),
    conf4!(accept_local),
    conf4!(route_localnet),
    conf4!(arp_ignore),
    conf4!(arp_announce),
    conf4!(arp_accept),
    conf4!(proxy_arp),
    conf4!(proxy_arp_pvlan),
    conf4!(medium_id),
    conf4!(arp_filter),
    conf4!(arp_notify),
    conf4!(drop_gratuitous_arp),
    conf4!(drop_unicast_in_l2_multicast),
    conf4!(bc_forwarding),
    conf4!(send_redirects),
    conf4!(shared_media),
    conf4!(accept_source_route),
    conf4!(accept_redirects),
    conf4!(secure_redirects),
    conf4!(promote_secondaries),
    conf4!(log_martians),
    Sysctl::int(
        "net.ipv6.conf.*.forwarding",
        INT,
        |stack, scope| i64::from(stack.ipv6_conf.get(scope).forwarding),
        |stack, scope, value| stack.set_forwarding_v6(scope, value as i32),
    ),
    Sysctl::int(
        "net.ipv6.conf.*.hop_limit",
        1..=255,
        |stack, scope| i64::from(stack.ipv6_conf.get(scope).hop_limit),
        |stack, scope, value| stack.ipv6_conf.get_mut(scope).hop_limit = value as i32,
    ),
    Sysctl::int(
        "net.ipv6.conf.*.disable_ipv6",
        INT,
        |stack, scope| i64::from(stack.ipv6_conf.get(scope).disable_ipv6),
        |stack, scope, value| stack.set_disable_ipv6(scope, value as i32),
    ),
    Sysctl::int(
        "net.ipv6.conf.*.force_forwarding",
        0..=1,
        |stack, scope| i64::from(stack.ipv6_conf.get(scope).force_forwarding),
        |stack, scope, value| stack.set_force_forwarding(scope, value as i32),
    ),
    conf6!(accept_dad),
    conf6!(drop_unicast_in_l2_multicast),
    conf6!(dad_transmits),
    conf6!(enhanced_dad),
    conf6!(accept_redirects),
];
