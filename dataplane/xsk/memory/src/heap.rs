//! What the heap has of the system.

/// Gives back to the system what lies unused between the pieces of the heap in use, to be called when a lot of work is over
/// for a while: it takes some milliseconds, in which nobody else gets memory. Does nothing with an allocator other than
/// glibc's.
#[cfg(all(target_os = "linux", target_env = "gnu"))]
pub fn give_back() {
    // SAFETY: `malloc_trim` may be called at any time and on any thread; it touches only pages that nothing is allocated in.
    let _ = unsafe { libc::malloc_trim(0) };
}

/// Does nothing: other allocators give back by themselves, or cannot be asked.
#[cfg(not(all(target_os = "linux", target_env = "gnu")))]
pub fn give_back() {}

#[cfg(all(test, target_os = "linux", target_env = "gnu"))]
mod tests {
    /// Bytes of this process that are in memory.
    fn resident() -> usize {
        let pages = std::fs::read_to_string("/proc/self/statm").expect("the kernel tells");
        let pages = pages
            .split(' ')
            .nth(1)
            .and_then(|pages| pages.parse::<usize>().ok());
        pages.expect("a number") * rustix::param::page_size()
    }

    #[test]
    fn gaps_go_back() {
        let pieces: Vec<_> = (0..2_048).map(|_| vec![1_u8; 16 << 10]).collect();
        // What stays keeps the heap from shrinking at its end.
        let kept: Vec<_> = pieces.into_iter().step_by(2).collect();
        let before = resident();
        super::give_back();
        assert!(
            resident() + (8 << 20) < before,
            "{before} bytes, and then {}",
            resident()
        );
        assert!(kept.iter().all(|piece| piece.iter().all(|byte| *byte == 1)));
    }
}
