//! The steering program: which packets go to Headgate, and which to the kernel.
//!
//! It decides from the destination alone, by the maps that [`headgate_abi`] describes, and keeps the host
//! reachable: a packet that it does not understand, or that no socket waits for, goes to the kernel.
#![no_std]
#![no_main]

mod ip;
mod packet;

use aya_ebpf::bindings::xdp_action::XDP_PASS;
use aya_ebpf::btf_maps::{HashMap, PerCpuArray, XskMap};
use aya_ebpf::macros::{btf_map, xdp};
use aya_ebpf::programs::XdpContext;
use headgate_abi::wire::arp::{ETHERNET, LENGTHS, REQUEST, field};
use headgate_abi::wire::ethernet::{MAX_TAGS, ether_type, is_tag};
use headgate_abi::{Address, MAX_ADDRESSES, MAX_PORTS, MAX_QUEUES, Outcome, PortKey, Rule};

use packet::Cursor;

/// Entries are allocated as they are added (`BPF_F_NO_PREALLOC`), as few hosts have as many as may be.
const AS_NEEDED: usize = 1;

#[btf_map]
static ADDRESSES: HashMap<Address, Rule, MAX_ADDRESSES, AS_NEEDED> = HashMap::new();

#[btf_map]
static PORTS: HashMap<PortKey, u8, MAX_PORTS, AS_NEEDED> = HashMap::new();

#[btf_map]
static SOCKETS: XskMap<MAX_QUEUES> = XskMap::new();

#[btf_map]
static COUNTERS: PerCpuArray<u64, { Outcome::ALL.len() }> = PerCpuArray::new();

/// A packet on its way to an outcome: `Err` as soon as it is known.
type Decision<T> = Result<T, Outcome>;

#[xdp]
pub fn headgate(context: XdpContext) -> u32 {
    let outcome = match decide(Cursor::new(&context)) {
        Ok(outcome) => outcome,
        Err(passed) => {
            count(passed);
            return XDP_PASS;
        }
    };
    // With nothing at the queue's place, the helper returns the action that is given to it as a fallback.
    match SOCKETS.redirect(context.rx_queue_index(), XDP_PASS.into()) {
        Ok(redirected) => {
            count(outcome);
            redirected
        }
        Err(action) => {
            count(Outcome::NoSocket);
            action
        }
    }
}

/// `Ok` if the packet is to be redirected, `Err` if it is to be passed.
#[inline(always)]
fn decide(mut packet: Cursor) -> Decision<Outcome> {
    let mut following = packet.ethernet()?;
    for _ in 0..MAX_TAGS {
        if is_tag(following) {
            following = packet.tag()?;
        }
    }
    match following {
        ether_type::IPV4 => ip::v4(packet),
        ether_type::IPV6 => ip::v6(packet),
        ether_type::ARP => arp(packet),
        _ if is_tag(following) => Err(Outcome::TooDeep),
        _ => Err(Outcome::NotIp),
    }
}

/// RFC 826: requests over Ethernet for an IPv4 address that we answer for.
#[inline(always)]
fn arp(packet: Cursor) -> Decision<Outcome> {
    let [hardware, protocol, lengths, operation] = packet.units(field::HARDWARE.start)?;
    let target = packet.units(field::TARGET.start)?;
    if [hardware, protocol, lengths] != [ETHERNET, ether_type::IPV4, LENGTHS].map(u16::to_be) {
        return Err(Outcome::NotIp);
    }
    let rule = rule(&Address::mapped(target))?;
    if u16::from_be(operation) == REQUEST && rule.has(Rule::ALL | Rule::NEIGHBOURS) {
        return Ok(Outcome::Arp);
    }
    Err(Outcome::NotTaken)
}

#[inline(always)]
fn rule(address: &Address) -> Decision<Rule> {
    // SAFETY: the reference ends with this statement. User space may change the entry meanwhile; then a
    // packet sees the rule as it was or as it becomes, or, for an instant, ports of one with flags of the
    // other; all three are ways to treat a packet that arrives during a change.
    unsafe { ADDRESSES.get(address) }
        .copied()
        .ok_or(Outcome::NotManaged)
}

#[inline(always)]
fn is_taken(port: &PortKey) -> bool {
    PORTS.get_ptr(port).is_some()
}

#[inline(always)]
fn count(outcome: Outcome) {
    if let Some(counter) = COUNTERS.get_ptr_mut(outcome as u32) {
        // SAFETY: the pointer is to this CPU's counter, and the kernel runs one program at a time on a CPU
        // for packets it receives; should two ever meet, a count is lost.
        unsafe { *counter += 1 };
    }
}

#[cfg(not(test))]
#[panic_handler]
fn panic(_: &core::panic::PanicInfo<'_>) -> ! {
    // Nothing in this program panics; the verifier would refuse this loop if it could be reached.
    loop {}
}

/// The kernel lets only programs of a licence compatible with its own use some helpers.
#[unsafe(link_section = "license")]
#[unsafe(no_mangle)]
static LICENSE: [u8; 13] = *b"Dual MIT/GPL\0";
