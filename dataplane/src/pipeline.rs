//! The stages of a packet, in order.
