#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| obhut_bep::fuzzing::connection(data));
