//! TCP termination in user space.
