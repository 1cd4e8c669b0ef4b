//! What the heap has of the system.

/// Gives back to the system what lies unused between the pieces of the heap in use, to be called when a lot of work is over
/// for a while: it takes some milliseconds, in which nobody else gets memory. Does nothing with an allocator other than
/// glibc's.
#[cfg(all(target_os = "linux", target_env = "gnu"))]
pub fn give_back() {
    // SAFETY: `malloc_trim` may be called at any time and on any thread; it touches only pages that nothing is allocated in.
    let _ = unsafe { libc::malloc_trim(0) };
}

/// Bytes from which on a piece is apart from the heap: glibc's own, to begin with.
#[cfg(all(target_os = "linux", target_env = "gnu"))]
const APART: libc::c_int = 128 << 10;

/// Has large pieces stand apart from the heap for good, to be called when a program starts: they go back to the system with
/// their end. glibc else takes the first large piece that ends for a sign that there will be more, and puts others of its
/// size among small ones, between which they leave gaps. Does nothing with another allocator.
#[cfg(all(target_os = "linux", target_env = "gnu"))]
pub fn keep_large_apart() {
    // SAFETY: `mallopt` takes the lock of the heap, and changes where later pieces are.
    let _ = unsafe { libc::mallopt(libc::M_MMAP_THRESHOLD, APART) };
}

/// Does nothing.
#[cfg(not(all(target_os = "linux", target_env = "gnu")))]
pub fn keep_large_apart() {}

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

    /// What stands apart begins a page, behind the 16 bytes that glibc keeps of it: it goes back with its end.
    #[test]
    fn large_pieces_stand_apart() {
        super::keep_large_apart();
        for _ in 0..4 {
            // The first that ends would have others stand in the heap.
            drop(std::hint::black_box(Vec::<u8>::with_capacity(8 << 20)));
            // Nothing is written: the other test looks at what is in memory.
            let piece = std::hint::black_box(Vec::<u8>::with_capacity(4 << 20));
            assert_eq!(piece.as_ptr() as usize % rustix::param::page_size(), 16);
        }
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
