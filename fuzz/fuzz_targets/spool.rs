//! libFuzzer on [`gmp_fuzz_targets::spool`].
#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| gmp_fuzz_targets::spool(data));
