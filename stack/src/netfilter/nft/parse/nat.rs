//! `snat`, `dnat`, `masquerade`, `redirect`.

use super::Parser;
use crate::netfilter::nft::DataType;
use crate::netfilter::nft::error::NftError;
use crate::netfilter::nft::expr::{Elem, ElemData, Expr, Part, SetRef};
use crate::netfilter::nft::lex::Kind;
use crate::netfilter::nft::model::TableFamily;
use crate::netfilter::nft::normal;
use crate::netfilter::nft::proto::Base;
use crate::netfilter::nft::stmt::{Nat, NatArg, NatKind, Stmt};

/// Whether the map gives more than an address: nft says the family then, although the table does.
fn gives_more(nat: &Nat) -> bool {
    let Some(NatArg::Expr(Expr::Map(_, set))) = &nat.addr else {
        return false;
    };
    let more = |elem: &Elem| match &elem.data {
        Some(ElemData::Value(parts, _)) => {
            parts.len() > 1 || parts.iter().any(|part| !matches!(part, Part::Value(_)))
        }
        _ => false,
    };
    match set {
        SetRef::Anonymous(elems) => nat.prefix || elems.iter().any(more),
        SetRef::Named(_) => nat.print_version,
    }
}

/// Whether the address is looked up by ports, too, which belong to a protocol.
fn names_protocol(nat: &Nat) -> bool {
    let mut found = false;
    if let Some(NatArg::Expr(Expr::Map(key, _))) = &nat.addr {
        normal::protos(key, &mut |p| found |= p.base() == Base::Transport);
    }
    found
}

impl Parser<'_> {
    pub(super) fn nat(&mut self, before: &[Stmt]) -> Result<Stmt, NftError> {
        let pos = self.pos();
        let kind = match self.next().text.as_str() {
            "snat" => NatKind::Snat,
            "dnat" => NatKind::Dnat,
            "masquerade" => NatKind::Masquerade,
            _ => NatKind::Redirect,
        };
        let (family, explicit) = match self.table.family {
            TableFamily::Ip => (Some(4), false),
            TableFamily::Ip6 => (Some(6), false),
            TableFamily::Inet => (normal::ip_version(before), true),
            TableFamily::Netdev => return Err(pos.error("there is no NAT in family netdev")),
        };
        let start = pos.clone();
        let mut nat = Nat {
            kind,
            version: family,
            print_version: false,
            addr: None,
            port: None,
            random: false,
            fully_random: false,
            persistent: false,
            prefix: false,
        };
        let with_address = matches!(kind, NatKind::Snat | NatKind::Dnat);
        if with_address {
            for (word, version) in [("ip", 4), ("ip6", 6)] {
                let is_family = self.is_word(word)
                    && ["to", "prefix", "addr", "interval"]
                        .iter()
                        .any(|w| self.peek_at(1).is_word(w));
                if is_family {
                    if nat.version.is_some_and(|v| v != version) {
                        return self.error("the rule's packets are of the other family");
                    }
                    self.next();
                    nat.version = Some(version);
                    nat.print_version = true;
                }
            }
            if self.take_word("prefix") {
                nat.prefix = true;
                nat.print_version = true;
            }
        }
        // What a map gives may be said, and is seen at the map itself.
        let addr_and_port = self.take_word("addr");
        if addr_and_port {
            self.expect(".")?;
            self.expect_word("port")?;
        } else if self.take_word("interval") {
            nat.print_version = true;
        }
        let to = self.take_word("to");
        if with_address {
            self.nat_target(&mut nat, explicit)?;
        } else if to {
            // `redirect to tcp dport map { … }` may leave the colon out.
            self.take(":");
            nat.port = Some(self.nat_arg(DataType::InetService)?);
        }
        if explicit && nat.addr.is_some() {
            if nat.version.is_none() {
                return Err(pos.error("say ip or ip6 before the address in family inet"));
            }
            nat.print_version = true;
        } else if !explicit {
            nat.print_version = gives_more(&nat);
        }
        if (nat.port.is_some() || addr_and_port)
            && !normal::has_ports(before)
            && !names_protocol(&nat)
        {
            return Err(start
                .error("a port can be translated only behind a match on the transport protocol"));
        }
        self.nat_flags(&mut nat)?;
        Ok(Stmt::Nat(nat))
    }

    /// `ADDR[-ADDR][:PORT[-PORT]]`, `:PORT`, or an expression that gives one or both.
    fn nat_target(&mut self, nat: &mut Nat, inet: bool) -> Result<(), NftError> {
        if self.take(":") {
            nat.port = Some(self.nat_arg(DataType::InetService)?);
            return Ok(());
        }
        // Without a family in inet the address itself says nothing: nft refuses it.
        if nat.version.is_none() && inet {
            return self.error("say ip or ip6 before the address in family inet");
        }
        let t = if nat.version == Some(6) {
            DataType::Ipv6Addr
        } else {
            DataType::Ipv4Addr
        };
        if self.take("[") {
            let low = self.constant(t)?;
            nat.addr = Some(NatArg::Part(Part::Value(low)));
            self.expect("]")?;
            if self.take("-") {
                self.expect("[")?;
                let high = self.constant(t)?;
                self.expect("]")?;
                if high < low {
                    return self.error("the range ends before it begins");
                }
                nat.addr = Some(NatArg::Part(Part::Range(low, high)));
            }
        } else if self.peek().kind == Kind::Word && !self.is_constant(t) {
            return self.nat_map(nat, t);
        } else {
            nat.addr = Some(NatArg::Part(self.part(t)?));
        }
        if self.take(":") {
            nat.port = Some(self.nat_arg(DataType::InetService)?);
        }
        Ok(())
    }

    /// An expression: a map to an address, or to an address and a port.
    fn nat_map(&mut self, nat: &mut Nat, t: DataType) -> Result<(), NftError> {
        let both = [t, DataType::InetService];
        // What the data are is seen at the first element of a literal, or in the declaration.
        let concat = self.map_has_ports();
        let expr = self.concat_expr(if concat { &both } else { &both[..1] })?;
        if let Expr::Map(_, SetRef::Named(name)) = &expr
            && let Some(spec) = self.set_spec(name)
            && spec.data.len() != if concat { 2 } else { 1 }
        {
            return self.error("the map's data are no address");
        }
        if !matches!(expr, Expr::Map(..)) && expr.dtype() != t {
            return self.error("the expression is no address");
        }
        nat.addr = Some(NatArg::Expr(expr));
        if self.take(":") {
            nat.port = Some(self.nat_arg(DataType::InetService)?);
        }
        Ok(())
    }

    /// Whether the map that follows gives an address and a port.
    fn map_has_ports(&self) -> bool {
        let mut n = 0;
        while !self.peek_at(n).is_word("map") {
            if matches!(self.peek_at(n).kind, Kind::Newline | Kind::End) {
                return false;
            }
            n += 1;
        }
        if self.peek_at(n + 1).is("@") {
            let name = &self.peek_at(n + 2).text;
            return self.set_spec(name).is_some_and(|s| s.data.len() == 2);
        }
        // Behind the first colon, up to the end of the element.
        let mut seen_colon = false;
        loop {
            let token = self.peek_at(n);
            match token.kind {
                Kind::End => return false,
                _ if token.is(":") => seen_colon = true,
                _ if token.is(".") && seen_colon => return true,
                _ if token.is(",") || token.is("}") => return false,
                _ => {}
            }
            n += 1;
        }
    }

    fn nat_arg(&mut self, t: DataType) -> Result<NatArg, NftError> {
        if self.peek().kind == Kind::Word && !self.is_constant(t) {
            return Ok(NatArg::Expr(self.concat_expr(&[t])?));
        }
        Ok(NatArg::Part(self.part(t)?))
    }

    fn nat_flags(&mut self, nat: &mut Nat) -> Result<(), NftError> {
        loop {
            if self.take_word("random") {
                nat.random = true;
            } else if self.take_word("fully-random") {
                nat.fully_random = true;
            } else if self.take_word("persistent") {
                nat.persistent = true;
            } else {
                return Ok(());
            }
            if !self.take(",") {
                return Ok(());
            }
        }
    }
}
