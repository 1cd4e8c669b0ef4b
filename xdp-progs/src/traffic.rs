//! Generators for measurements: the kernel runs them as often as it is told (`BPF_PROG_TEST_RUN` with live
//! frames), which fills a receiver faster than any socket can.
#![no_std]
#![no_main]

use aya_ebpf::bindings::xdp_action::{XDP_ABORTED, XDP_PASS, XDP_TX};
use aya_ebpf::btf_maps::{Array, PerCpuArray};
use aya_ebpf::macros::{btf_map, xdp};
use aya_ebpf::programs::XdpContext;

/// Bytes of a generated frame: Ethernet, IPv4 without options, UDP, padding.
const FRAME: usize = 60;
/// Where the UDP source port lies in it, in units of two bytes.
const SOURCE_PORT: usize = 34 / 2;

/// What every frame looks like, but for its source port: frames of the kernel's pool come back as the receiver
/// left them.
#[btf_map]
static TEMPLATE: Array<[u16; FRAME / 2], 1> = Array::new();

/// `[first source port, ports]`: frame n has the source port `first + n % ports`.
#[btf_map]
static FLOWS: Array<[u32; 2], 1> = Array::new();

/// Bytes of a replayed frame.
const REPLAYED: usize = 64;

/// Frames to replay; whoever loads the program says how many there are.
#[btf_map]
static FRAMES: Array<[u64; REPLAYED / 8], 1> = Array::new();

/// How many of `FRAMES` are replayed, from the first on and then again.
#[btf_map]
static COUNT: Array<u32, 1> = Array::new();

/// Frames generated or replayed, by CPU.
#[btf_map]
static GENERATED: PerCpuArray<u64, 1> = PerCpuArray::new();

#[xdp]
pub fn generate(context: XdpContext) -> u32 {
    write(&context).unwrap_or(XDP_ABORTED)
}

#[inline(always)]
fn write(context: &XdpContext) -> Option<u32> {
    // Read once: what the verifier knows, it knows of this pointer.
    let data = context.data();
    if data + FRAME > context.data_end() {
        return None;
    }
    let (template, [first, ports]) = (TEMPLATE.get(0)?, *FLOWS.get(0)?);
    let n = next()?;
    let port = first + (n % u64::from(ports.max(1))) as u32;
    let frame = data as *mut u16;
    for (unit, value) in template.iter().enumerate() {
        // SAFETY: `unit < FRAME / 2`, and the frame has FRAME bytes: compared above, and again by the verifier.
        unsafe { frame.add(unit).write(*value) };
    }
    // SAFETY: as above.
    unsafe { frame.add(SOURCE_PORT).write((port as u16).to_be()) };
    Some(XDP_TX)
}

/// Hands the next frame to the kernel's own network stack, as if the interface had received it.
#[xdp]
pub fn replay(context: XdpContext) -> u32 {
    copy(&context).unwrap_or(XDP_ABORTED)
}

#[inline(always)]
fn copy(context: &XdpContext) -> Option<u32> {
    let data = context.data();
    if data + REPLAYED > context.data_end() {
        return None;
    }
    let count = *COUNT.get(0)?;
    let source = FRAMES.get((next()? % u64::from(count.max(1))) as u32)?;
    let frame = data as *mut u64;
    for (unit, value) in source.iter().enumerate() {
        // SAFETY: `unit < REPLAYED / 8`, and the frame has REPLAYED bytes: compared above, and again by the
        // verifier.
        unsafe { frame.add(unit).write_unaligned(*value) };
    }
    Some(XDP_PASS)
}

/// Counts a frame: its number, from 0.
#[inline(always)]
fn next() -> Option<u64> {
    let number = GENERATED.get_ptr_mut(0)?;
    // SAFETY: the pointer is to this CPU's counter, and the program does not interrupt itself.
    unsafe {
        *number += 1;
        Some(*number - 1)
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
