//! The only reader of environment, config file and default paths.
