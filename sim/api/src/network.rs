//! NetworkPolicies: who may connect to whom.
//!
//! Upstream: staging/src/k8s.io/api/networking/v1/types.go. What a policy means is for whoever enforces it
//! (`sim/engine` for requests); here it is data only, defaults resolved.

use std::net::IpAddr;

use crate::{LabelSelector, ObjectMeta, Str};

/// A NetworkPolicy. A direction it says nothing about is `None`, and is not isolated by it.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub struct NetworkPolicy {
    /// Name, namespace, labels.
    pub meta: ObjectMeta,
    /// Pods of its namespace that it isolates.
    pub pod_selector: LabelSelector,
    /// Who may connect to them.
    pub ingress: Option<Vec<NetworkPolicyRule>>,
    /// Whom they may connect to.
    pub egress: Option<Vec<NetworkPolicyRule>>,
}

/// Peers and ports that are allowed together.
#[derive(Clone, PartialEq, Eq, Default, Debug)]
pub struct NetworkPolicyRule {
    /// Other ends; empty means all.
    pub peers: Vec<NetworkPolicyPeer>,
    /// Ports of whoever is connected to; empty means all.
    pub ports: Vec<NetworkPolicyPort>,
}

/// One other end.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum NetworkPolicyPeer {
    /// Pods.
    Pods {
        /// Of namespaces with these labels; `None` means the policy's own.
        namespaces: Option<LabelSelector>,
        /// With these labels; `None` means all.
        pods: Option<LabelSelector>,
    },
    /// Addresses.
    Block {
        /// Allowed ones.
        cidr: IpBlock,
        /// But not these.
        except: Vec<IpBlock>,
    },
}

/// Ports.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct NetworkPolicyPort {
    /// TCP, UDP or SCTP.
    pub protocol: Str,
    /// Which; `None` means all of the protocol.
    pub port: Option<PortName>,
    /// The last of a range that begins with `port`.
    pub end_port: Option<u16>,
}

/// A port by number or by the name it has in the pod.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum PortName {
    /// By number.
    Number(u16),
    /// By name.
    Name(Str),
}

/// Addresses with a common beginning.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct IpBlock {
    address: IpAddr,
    bits: u8,
}

impl IpBlock {
    /// Reads `10.0.0.0/8`; `None` when it is no such thing.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        let (address, bits) = text.split_once('/')?;
        let address: IpAddr = address.parse().ok()?;
        let bits: u8 = bits.parse().ok()?;
        (bits <= if address.is_ipv4() { 32 } else { 128 }).then_some(Self { address, bits })
    }

    /// Whether every address is in it.
    #[must_use]
    pub const fn is_everything(&self) -> bool {
        self.bits == 0
    }

    /// Whether `address` is in it.
    #[must_use]
    pub fn contains(&self, address: IpAddr) -> bool {
        let same = |own: u128, other: u128, width: u32| {
            let rest = width - u32::from(self.bits);
            own.checked_shr(rest).unwrap_or(0) == other.checked_shr(rest).unwrap_or(0)
        };
        match (self.address, address) {
            (IpAddr::V4(own), IpAddr::V4(other)) => same(u128::from(own.to_bits()), u128::from(other.to_bits()), 32),
            (IpAddr::V6(own), IpAddr::V6(other)) => same(own.to_bits(), other.to_bits(), 128),
            _ => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_block_holds_the_addresses_that_begin_as_it_does() {
        let holds = |block: &str, address: &str| IpBlock::parse(block).unwrap().contains(address.parse().unwrap());
        assert!(holds("10.0.0.0/8", "10.255.0.1") && !holds("10.0.0.0/8", "11.0.0.1"));
        assert!(holds("203.0.113.7/32", "203.0.113.7") && !holds("203.0.113.7/32", "203.0.113.6"));
        assert!(holds("0.0.0.0/0", "8.8.8.8") && !holds("0.0.0.0/0", "::1") && holds("::/0", "2001:db8::1"));
        assert!(holds("2001:db8::/32", "2001:db8:1::1") && !holds("2001:db8::/32", "2001:db9::1"));
        for wrong in ["10.0.0.0", "10.0.0.0/33", "ten/8", "10.0.0.0/-1", ""] {
            assert_eq!(IpBlock::parse(wrong), None, "{wrong}");
        }
    }
}
