//! Reading a packet with the bounds checks that the kernel's verifier asks for.

use aya_ebpf::programs::XdpContext;
use headgate_abi::Outcome;
use headgate_abi::wire::ethernet;

use crate::Decision;

/// A place in the packet, and the packet's end.
#[derive(Clone, Copy)]
pub struct Cursor {
    at: usize,
    end: usize,
}

impl Cursor {
    #[inline(always)]
    pub fn new(context: &XdpContext) -> Self {
        Self {
            at: context.data(),
            end: context.data_end(),
        }
    }

    /// A reference to the `T` at `offset` from here.
    ///
    /// `T` is made of `u8` or `u16`: any bytes are a value of it, and headers lie at even offsets.
    #[inline(always)]
    fn peek<'a, T: Units + 'a>(self, offset: usize) -> Decision<&'a T> {
        let at = self.at + offset;
        if at + size_of::<T>() > self.end {
            return Err(Outcome::Malformed);
        }
        // SAFETY: the bytes are within the packet, by the check above, which the verifier repeats; nothing
        // writes to the packet while the program runs; for alignment and values see `Units`.
        Ok(unsafe { &*(at as *const T) })
    }

    #[inline(always)]
    pub fn byte(self, offset: usize) -> Decision<u8> {
        self.peek::<u8>(offset).copied()
    }

    /// `N` units of two bytes, in network byte order. `offset` is even.
    #[inline(always)]
    pub fn units<const N: usize>(self, offset: usize) -> Decision<[u16; N]> {
        self.peek::<[u16; N]>(offset).copied()
    }

    /// Steps over `bytes` of the packet, an even number of at most 2048.
    #[inline(always)]
    pub fn skip(&mut self, bytes: usize) {
        // The verifier wants to see the bound to believe that the sum is still near the packet.
        self.at += bytes & 0xffe;
    }

    /// Steps over an Ethernet header and returns the type of what follows.
    #[inline(always)]
    pub fn ethernet(&mut self) -> Decision<u16> {
        let [ether_type] = self.units(ethernet::field::TYPE.start)?;
        self.skip(ethernet::HEADER);
        Ok(u16::from_be(ether_type))
    }

    /// Steps over the rest of a VLAN tag and returns the type of what follows.
    #[inline(always)]
    pub fn tag(&mut self) -> Decision<u16> {
        let [ether_type] = self.units(ethernet::tag::TYPE.start)?;
        self.skip(ethernet::TAG);
        Ok(u16::from_be(ether_type))
    }
}

/// What may be read in place.
///
/// # Safety
///
/// Every sequence of bytes is a value, and the alignment is at most 2. A packet begins at an even address,
/// and headers are an even number of bytes long.
unsafe trait Units: Copy {}
// SAFETY: any byte is a value.
unsafe impl Units for u8 {}
// SAFETY: any bytes are a value, aligned to 2.
unsafe impl<const N: usize> Units for [u16; N] {}
