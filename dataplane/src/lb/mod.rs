//! Services, Maglev and affinity.
