//! A hint to the processor.

/// Asks for the first cache line of `value` to be brought near, without waiting for it.
///
/// Does nothing on processors where the hint has no stable form.
#[inline(always)]
pub fn prefetch<T: ?Sized>(value: &T) {
    #[cfg(target_arch = "x86_64")]
    {
        use std::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};
        let line = std::ptr::from_ref(value).cast::<i8>();
        // SAFETY: a prefetch never faults and changes no state that a program can see, whatever the
        // address; SSE, which has it, is part of every x86-64 processor.
        unsafe { _mm_prefetch::<_MM_HINT_T0>(line) };
    }
    #[cfg(not(target_arch = "x86_64"))]
    let _ = value;
}
