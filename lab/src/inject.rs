//! Frames of any content onto a link, past the kernel's own stack.

use std::thread;

use anyhow::{Context, Result, bail};
use headgate_xsk::{Frame, FrameCache, Queue, QueueConfig, Umem, ZeroCopy};

use crate::Namespace;

/// Frames that one injector has.
const FRAMES: u32 = 2048;
const RING: u32 = 512;
/// Calls of the kernel, which sends 32 frames each, before an injector gives up.
const ATTEMPTS: u32 = 100_000;

/// Sends frames as they are out of an interface of a lab.
pub struct Injector {
    queue: Queue,
    cache: FrameCache,
}

impl Injector {
    /// An injector on queue 0 of an interface. The interface's own traffic goes on.
    ///
    /// # Errors
    ///
    /// When the interface has none of AF_XDP, or an injector already.
    pub fn open(namespace: &Namespace, interface: &str) -> Result<Self> {
        let config = QueueConfig {
            zero_copy: ZeroCopy::Off,
            ring_size: RING,
            ..QueueConfig::new(interface, 0)
        };
        // Both inside: the first socket on a memory is the one that made it, and belongs to where it was made.
        let bound = namespace.enter(|| {
            let umem = Umem::mapped(FRAMES, false).context("memory for an injector's frames")?;
            let queue = Queue::bind(umem, &config).context("binding an injector")?;
            anyhow::Ok((umem, queue))
        })?;
        let (umem, queue) = bound?;
        Ok(Self {
            queue,
            cache: umem.cache(),
        })
    }

    /// Sends all of them, in order.
    ///
    /// # Errors
    ///
    /// When one is longer than a frame can be.
    pub fn send<'a>(&mut self, packets: impl IntoIterator<Item = &'a [u8]>) -> Result<()> {
        let mut batch = Vec::new();
        for packet in packets {
            let mut frame = self.frame()?;
            frame
                .copy_from(packet)
                .with_context(|| format!("a frame of {} bytes", packet.len()))?;
            batch.push(frame);
            if batch.len() == 32 {
                self.flush(&mut batch)?;
            }
        }
        self.flush(&mut batch)
    }

    fn frame(&mut self) -> Result<Frame> {
        // Sent frames come back when the kernel has copied them.
        for _ in 0..ATTEMPTS {
            if let Some(frame) = self.cache.take() {
                return Ok(frame);
            }
            self.queue.transmit(&mut self.cache, &mut Vec::new());
            thread::yield_now();
        }
        bail!("the kernel does not give an injector's frames back")
    }

    fn flush(&mut self, batch: &mut Vec<Frame>) -> Result<()> {
        // Ends with the first call unless the kernel is busy.
        for _ in 0..ATTEMPTS {
            self.queue.transmit(&mut self.cache, batch);
            if batch.is_empty() && !self.queue.needs_attention() {
                return Ok(());
            }
            thread::yield_now();
        }
        bail!("the kernel does not send an injector's frames: is the interface up?")
    }
}
