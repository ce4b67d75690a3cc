//! BuildKit's link graph of keys, the ingredients of every key, look-up, and the reasons for a hit or miss.

pub mod reason;
