//! The grammar of headers, as far as the steering program reads it: what both sides must read alike stands here, once.
//!
//! A `field` module names the bytes of a header, counted from its start; numbers in packets are in network byte order.

/// Bytes of a header.
pub type Field = core::ops::Range<usize>;

/// Ethernet (IEEE 802.3) and its tags (IEEE 802.1Q).
pub mod ethernet {
    use super::Field;

    /// Bytes of a header without tags.
    pub const HEADER: usize = 14;
    /// Bytes of a tag, and the bytes that a tag puts between the addresses and the EtherType.
    pub const TAG: usize = 4;
    /// Tags that are seen through: one of the customer and one of the provider.
    pub const MAX_TAGS: usize = 2;

    /// The header's fields.
    pub mod field {
        use super::Field;

        /// To whom.
        pub const DESTINATION: Field = 0..6;
        /// From whom.
        pub const SOURCE: Field = 6..12;
        /// What follows: one of [`ether_type`](super::ether_type).
        pub const TYPE: Field = 12..14;
    }

    /// Of a tag, counted from behind the type that says that it is one.
    pub mod tag {
        use super::Field;

        /// What follows the tag.
        pub const TYPE: Field = 2..4;
    }

    /// What a frame carries.
    pub mod ether_type {
        /// IPv4 (RFC 894).
        pub const IPV4: u16 = 0x0800;
        /// ARP (RFC 826).
        pub const ARP: u16 = 0x0806;
        /// IPv6 (RFC 2464).
        pub const IPV6: u16 = 0x86dd;
        /// A customer's tag (IEEE 802.1Q).
        pub const VLAN: u16 = 0x8100;
        /// A provider's tag (IEEE 802.1ad).
        pub const SERVICE_VLAN: u16 = 0x88a8;
        /// A provider's tag as it was before IEEE 802.1ad gave it a number.
        pub const OLD_SERVICE_VLAN: u16 = 0x9100;
    }

    /// Whether a tag follows.
    #[inline(always)]
    #[must_use]
    pub const fn is_tag(of: u16) -> bool {
        matches!(
            of,
            ether_type::VLAN | ether_type::SERVICE_VLAN | ether_type::OLD_SERVICE_VLAN
        )
    }
}

/// ARP for Ethernet and IPv4 (RFC 826).
pub mod arp {
    use super::Field;

    /// Bytes of a packet.
    pub const LEN: usize = 28;
    /// The hardware type of Ethernet.
    pub const ETHERNET: u16 = 1;
    /// The lengths of an Ethernet address and of an IPv4 address.
    pub const LENGTHS: u16 = 0x0604;
    /// The operation of a request.
    pub const REQUEST: u16 = 1;
    /// The operation of a reply.
    pub const REPLY: u16 = 2;

    /// The packet's fields.
    pub mod field {
        use super::Field;

        /// Hardware type.
        pub const HARDWARE: Field = 0..2;
        /// Protocol type, an EtherType.
        pub const PROTOCOL: Field = 2..4;
        /// Lengths of a hardware and of a protocol address, a byte each.
        pub const LENGTHS: Field = 4..6;
        /// Request or reply.
        pub const OPERATION: Field = 6..8;
        /// The sender's Ethernet address.
        pub const SENDER_MAC: Field = 8..14;
        /// The sender's IPv4 address.
        pub const SENDER: Field = 14..18;
        /// The Ethernet address that is asked for.
        pub const TARGET_MAC: Field = 18..24;
        /// The IPv4 address that is asked for.
        pub const TARGET: Field = 24..28;
    }
}

/// IPv4 (RFC 791).
pub mod ipv4 {
    use super::Field;

    /// The version in the first byte.
    pub const VERSION: u8 = 4;
    /// Bytes of a header without options.
    pub const HEADER: usize = 20;
    /// In the field [`FRAGMENT`](field::FRAGMENT): routers must not fragment the packet.
    pub const DONT_FRAGMENT: u16 = 0x4000;
    /// More of the packet comes in other fragments.
    pub const MORE_FRAGMENTS: u16 = 0x2000;
    /// Where in the packet the fragment belongs, in units of 8 bytes.
    pub const FRAGMENT_OFFSET: u16 = 0x1fff;

    /// The header's fields.
    pub mod field {
        use super::Field;

        /// The version in the upper half, the header's length in words of 4 bytes in the lower.
        pub const VERSION_IHL: usize = 0;
        /// The packet's length.
        pub const LENGTH: Field = 2..4;
        /// What fragments of one packet have in common.
        pub const IDENTIFICATION: Field = 4..6;
        /// Flags and offset.
        pub const FRAGMENT: Field = 6..8;
        /// Hops that are left.
        pub const TTL: usize = 8;
        /// What follows the options.
        pub const PROTOCOL: usize = 9;
        /// Over the header.
        pub const CHECKSUM: Field = 10..12;
        /// From whom.
        pub const SOURCE: Field = 12..16;
        /// To whom.
        pub const DESTINATION: Field = 16..20;
    }

    /// The version in the first byte of a header, of either IP.
    #[inline(always)]
    #[must_use]
    pub const fn version(version_ihl: u8) -> u8 {
        version_ihl >> 4
    }

    /// Bytes of a header with options.
    #[inline(always)]
    #[must_use]
    pub const fn header_len(version_ihl: u8) -> usize {
        (version_ihl & 0xf) as usize * 4
    }
}

/// IPv6 (RFC 8200).
pub mod ipv6 {
    use super::Field;

    /// The version in the first byte.
    pub const VERSION: u8 = 6;
    /// Bytes of a header without extensions.
    pub const HEADER: usize = 40;

    /// The header's fields.
    pub mod field {
        use super::Field;

        /// The version in the upper half of the first byte; traffic class and flow label.
        pub const VERSION: usize = 0;
        /// Bytes behind the header.
        pub const PAYLOAD: Field = 4..6;
        /// What follows.
        pub const NEXT: usize = 6;
        /// Hops that are left.
        pub const HOP_LIMIT: usize = 7;
        /// From whom.
        pub const SOURCE: Field = 8..24;
        /// To whom.
        pub const DESTINATION: Field = 24..40;
    }
}

/// IPv6 extension headers: those of RFC 7045 that are not encrypted, nor for experiments.
pub mod extension {
    use super::Field;

    /// Headers that are walked; RFC 8200 (section 4.1) recommends an order in which seven make sense, and real packets
    /// carry one.
    pub const MAX: usize = 8;
    /// Bytes that every one of them has.
    pub const LEAST: usize = 8;

    /// RFC 8200, section 4.3.
    pub const HOP_BY_HOP: u8 = 0;
    /// RFC 8200, section 4.4.
    pub const ROUTING: u8 = 43;
    /// RFC 8200, section 4.5.
    pub const FRAGMENT: u8 = 44;
    /// RFC 4302.
    pub const AUTHENTICATION: u8 = 51;
    /// RFC 8200, section 4.6.
    pub const DESTINATION: u8 = 60;
    /// RFC 6275.
    pub const MOBILITY: u8 = 135;
    /// RFC 7401.
    pub const HIP: u8 = 139;
    /// RFC 5533.
    pub const SHIM6: u8 = 140;

    /// The fields that all have, and those of a fragment header.
    pub mod field {
        use super::Field;

        /// What follows.
        pub const NEXT: usize = 0;
        /// How much longer than [`LEAST`](super::LEAST) the header is, in units that its type says.
        pub const LENGTH: usize = 1;
        /// A routing header's segments left, in the second byte; a fragment header's offset and flag.
        pub const STOP: Field = 2..4;
        /// What fragments of one packet have in common.
        pub const IDENTIFICATION: Field = 4..8;
    }

    /// Where a fragment header has its offset, in units of 8 bytes that are bytes here for the three bits below.
    pub const FRAGMENT_OFFSET: u16 = 0xfff8;
    /// More of the packet comes in other fragments.
    pub const MORE_FRAGMENTS: u16 = 0x0001;

    /// What a type of header means to who walks a chain of them.
    ///
    /// There are no branches on the type, for the kernel's verifier follows every branch of every round of a loop.
    #[repr(transparent)]
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub struct Kind(u32);

    impl Kind {
        const UNIT: u32 = 24;
        const NONE: Self = Self(0);

        const fn new(unit: u32, stop: u16) -> Self {
            Self(unit << Self::UNIT | stop as u32)
        }

        /// What the header type `next` means.
        #[inline(always)]
        #[must_use]
        pub fn of(next: u8) -> Self {
            KINDS[usize::from(next)]
        }

        /// Whether it is an extension header; the chain ends at one that is none.
        #[inline(always)]
        #[must_use]
        pub const fn is_extension(self) -> bool {
            self.0 != 0
        }

        /// Whether the walk ends here, by the header's field [`STOP`](field::STOP) in host byte order. At a fragment header,
        /// the packet is a fragment; one with neither an offset nor more to come is the whole packet (RFC 6946). At a
        /// routing header, the packet has not come to its last destination.
        #[inline(always)]
        #[must_use]
        pub const fn stops(self, stop: u16) -> bool {
            stop as u32 & self.0 & 0xffff != 0
        }

        /// The header's length, by its field [`LENGTH`](field::LENGTH).
        #[inline(always)]
        #[must_use]
        pub const fn length(self, length: u8) -> usize {
            length as usize * (self.0 >> Self::UNIT) as usize + LEAST
        }
    }

    static KINDS: [Kind; 256] = {
        let mut kinds = [Kind::NONE; 256];
        let mut i = 0;
        let in_eights = [HOP_BY_HOP, DESTINATION, MOBILITY, HIP, SHIM6];
        while i < in_eights.len() {
            kinds[in_eights[i] as usize] = Kind::new(8, 0);
            i += 1;
        }
        kinds[ROUTING as usize] = Kind::new(8, 0x00ff);
        // It counts in fours (RFC 4302, section 2.2).
        kinds[AUTHENTICATION as usize] = Kind::new(4, 0);
        // It has no length; the byte is reserved.
        kinds[FRAGMENT as usize] = Kind::new(0, FRAGMENT_OFFSET | MORE_FRAGMENTS);
        kinds
    };
}

/// IANA's numbers of what IP carries.
pub mod protocol {
    /// RFC 792.
    pub const ICMP: u8 = 1;
    /// RFC 9293.
    pub const TCP: u8 = 6;
    /// RFC 768.
    pub const UDP: u8 = 17;
    /// RFC 4443.
    pub const ICMPV6: u8 = 58;
    /// RFC 9260.
    pub const SCTP: u8 = 132;
}

/// Where TCP, UDP and SCTP have their ports.
pub mod ports {
    use super::Field;

    /// From which port.
    pub const SOURCE: Field = 0..2;
    /// To which port.
    pub const DESTINATION: Field = 2..4;
}

/// ICMP (RFC 792) and ICMPv6 (RFC 4443).
pub mod icmp {
    use super::Field;

    /// Bytes of the header; an error quotes a packet behind it.
    pub const HEADER: usize = 8;

    /// The header's fields.
    pub mod field {
        use super::Field;

        /// What kind of message it is.
        pub const TYPE: usize = 0;
        /// Which one of the kind.
        pub const CODE: usize = 1;
        /// Over the message, and with ICMPv6 over the pseudo header.
        pub const CHECKSUM: Field = 2..4;
        /// What the type says.
        pub const REST: Field = 4..8;
        /// The next link's MTU in "fragmentation needed" (RFC 1191); in "packet too big", the lower half of it.
        pub const MTU_V4: Field = 6..8;
    }

    /// Types and codes of ICMP.
    pub mod v4 {
        /// An answer to [`ECHO_REQUEST`].
        pub const ECHO_REPLY: u8 = 0;
        /// An error.
        pub const UNREACHABLE: u8 = 3;
        /// Code: nobody has the port.
        pub const PORT_UNREACHABLE: u8 = 3;
        /// Code: the next link takes less, and the packet must not be fragmented (RFC 1191).
        pub const FRAGMENTATION_NEEDED: u8 = 4;
        /// Asks for [`ECHO_REPLY`].
        pub const ECHO_REQUEST: u8 = 8;
        /// An error.
        pub const TIME_EXCEEDED: u8 = 11;
        /// An error.
        pub const PARAMETER_PROBLEM: u8 = 12;

        /// Whether the message is an error that quotes a packet. Redirects concern routers.
        #[inline(always)]
        #[must_use]
        pub const fn is_error(kind: u8) -> bool {
            matches!(kind, UNREACHABLE | TIME_EXCEEDED | PARAMETER_PROBLEM)
        }
    }

    /// Types and codes of ICMPv6.
    pub mod v6 {
        /// An error.
        pub const UNREACHABLE: u8 = 1;
        /// Code: nobody has the port.
        pub const PORT_UNREACHABLE: u8 = 4;
        /// An error.
        pub const PACKET_TOO_BIG: u8 = 2;
        /// An error.
        pub const TIME_EXCEEDED: u8 = 3;
        /// An error.
        pub const PARAMETER_PROBLEM: u8 = 4;
        /// Asks for [`ECHO_REPLY`].
        pub const ECHO_REQUEST: u8 = 128;
        /// An answer to [`ECHO_REQUEST`].
        pub const ECHO_REPLY: u8 = 129;
        /// The first type of neighbour discovery (RFC 4861): router solicitation.
        pub const FIRST_OF_NDP: u8 = 133;
        /// Asks for a neighbour's address.
        pub const NEIGHBOUR_SOLICITATION: u8 = 135;
        /// Says it.
        pub const NEIGHBOUR_ADVERTISEMENT: u8 = 136;
        /// The last type of neighbour discovery: redirect.
        pub const LAST_OF_NDP: u8 = 137;

        /// Whether the message is an error that quotes a packet.
        #[inline(always)]
        #[must_use]
        pub const fn is_error(kind: u8) -> bool {
            matches!(kind, UNREACHABLE..=PARAMETER_PROBLEM)
        }
    }
}

/// Neighbour solicitations and advertisements (RFC 4861, sections 4.3 and 4.4).
pub mod ndp {
    use super::Field;

    /// The message's fields; those of ICMPv6 come before them.
    pub mod field {
        use super::Field;

        /// Flags of an advertisement.
        pub const FLAGS: usize = 4;
        /// The address in question.
        pub const TARGET: Field = 8..24;
        /// Options.
        pub const OPTIONS: usize = 24;
    }
}
