//! A hint to the kernel.

/// Asks for huge pages behind the spare capacity of `memory`, to be called before it is filled: random
/// look-ups in a large table then miss the translation buffer far less often. Does nothing where the kernel
/// does not give them (`/sys/kernel/mm/transparent_hugepage/enabled` is `never`) or the capacity is small.
#[cfg(target_os = "linux")]
pub fn prefer_huge_pages<T>(memory: &mut Vec<T>) {
    let page = rustix::param::page_size();
    let spare = memory.spare_capacity_mut();
    let start = spare.as_mut_ptr().cast::<u8>();
    // Only whole pages may be named, and the first and last may be shared with others.
    let skip = start.align_offset(page);
    let Some(len) = size_of_val(spare).checked_sub(skip) else {
        return;
    };
    let len = len & !(page - 1);
    if len == 0 {
        return;
    }
    // SAFETY: the range is `len` bytes from `start + skip` on, all within the vector's allocation, and the
    // advice changes neither content nor protection of the pages in it.
    let advised =
        unsafe { rustix::mm::madvise(start.add(skip).cast(), len, rustix::mm::Advice::LinuxHugepage) };
    if let Err(error) = advised {
        tracing::debug!(%error, "no huge pages");
    }
}

/// Does nothing: the systems that are not Linux are not asked for huge pages this way, and give them by themselves.
#[cfg(not(target_os = "linux"))]
pub fn prefer_huge_pages<T>(_: &mut Vec<T>) {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_stays_usable() {
        for capacity in [0, 1, 4_096, 5 << 20] {
            let mut memory: Vec<u8> = Vec::with_capacity(capacity);
            prefer_huge_pages(&mut memory);
            memory.resize(capacity, 7);
            assert!(memory.iter().all(|b| *b == 7));
        }
    }
}
