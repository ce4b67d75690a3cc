//! The OCI image specification as data.
