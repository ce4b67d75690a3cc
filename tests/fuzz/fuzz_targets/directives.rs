#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| rbuild_tui_fuzz::directives(data));
