//! What the kernel has mapped of the program itself.

/// Lets go of the pages of the program that are mapped, to be called once it has started: much of it runs, or is looked at,
/// at the start alone. They stay in the page cache as long as the system has nothing better to do with the memory, and what
/// runs on is mapped again from there, 64 KiB for each fault. Breakpoints that a debugger has set before are lost.
#[cfg(target_os = "linux")]
pub fn let_go_of_program() {
    let (Ok(program), Ok(maps)) = (
        std::env::current_exe(),
        std::fs::read_to_string("/proc/self/maps"),
    ) else {
        return;
    };
    for (start, end) in maps.lines().filter_map(|line| unwritten(line, &program)) {
        // SAFETY: the range is a whole mapping of the program's file, of code or of constants, which nobody writes to: no
        // page of it differs from the file, and whoever reads one that was dropped gets it from the file again. The loader
        // writes to what holds addresses, which is never mapped from the file's beginning.
        let advised = unsafe {
            rustix::mm::madvise(
                std::ptr::with_exposed_provenance_mut(start),
                end - start,
                rustix::mm::Advice::LinuxDontNeed,
            )
        };
        if let Err(error) = advised {
            tracing::debug!(%error, "the program stays mapped");
        }
    }
}

/// Does nothing: other systems are not asked this way.
#[cfg(not(target_os = "linux"))]
pub fn let_go_of_program() {}

/// From where to where a line of `/proc/self/maps` (proc_pid_maps(5)) has a mapping of the program that is as the file is:
/// its code, and what stands with the file's header.
#[cfg(target_os = "linux")]
fn unwritten(line: &str, program: &std::path::Path) -> Option<(usize, usize)> {
    let mut fields = line.split_ascii_whitespace();
    let (range, permissions, offset) = (fields.next()?, fields.next()?, fields.next()?);
    let (_device, _inode) = (fields.next()?, fields.next()?);
    let constant = permissions == "r--p" && usize::from_str_radix(offset, 16) == Ok(0);
    if !(permissions == "r-xp" || constant) || fields.next() != program.to_str() {
        return None;
    }
    let (start, end) = range.split_once('-')?;
    let place = |text| usize::from_str_radix(text, 16).ok();
    Some((place(start)?, place(end)?)).filter(|(start, end)| start < end)
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use std::path::Path;

    use super::*;

    #[test]
    fn only_what_nobody_writes_is_meant() {
        let of = |line| unwritten(line, Path::new("/usr/bin/headgate"));
        let code = "5581e000-5582f000 r-xp 0001d000 fe:00 1234                       /usr/bin/headgate";
        assert_eq!(of(code), Some((0x5581_e000, 0x5582_f000)));
        let header = "55800000-5581e000 r--p 00000000 fe:00 1234                       /usr/bin/headgate";
        assert_eq!(of(header), Some((0x5580_0000, 0x5581_e000)));
        for other in [
            // Written by the loader, and protected afterwards.
            "55830000-55840000 r--p 0002e000 fe:00 1234                       /usr/bin/headgate",
            "55840000-55850000 rw-p 0003e000 fe:00 1234                       /usr/bin/headgate",
            "55800000-5581e000 r--p 00000000 fe:00 1234                       /usr/lib/libc.so.6",
            "7ffc0000-7ffd0000 r-xp 00000000 00:00 0                          [vdso]",
            "7ffc0000-7ffd0000 r-xp 00000000 00:00 0",
            "",
        ] {
            assert_eq!(of(other), None, "{other}");
        }
    }

    /// KiB of the program's code that are mapped.
    fn mapped() -> usize {
        let program = std::env::current_exe().expect("a program");
        let maps = std::fs::read_to_string("/proc/self/smaps").expect("the kernel tells");
        let mut ours = false;
        let mut sum = 0;
        for line in maps.lines() {
            if line.contains(" r-xp ") {
                ours = unwritten(line, &program).is_some();
            } else if let Some(rss) = line.strip_prefix("Rss:").filter(|_| ours) {
                let rss = rss.trim().trim_end_matches(" kB");
                sum += rss.parse::<usize>().expect("a number");
                ours = false;
            }
        }
        sum
    }

    #[test]
    fn the_program_goes_on_without_what_it_lets_go_of() {
        let before = mapped();
        let_go_of_program();
        let after = mapped();
        assert!(after < before, "{before} KiB, and then {after}");
        assert_eq!("it goes on".to_uppercase(), "IT GOES ON");
    }
}
