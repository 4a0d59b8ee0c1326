#![no_main]

libfuzzer_sys::fuzz_target!(|data: &[u8]| stack_fuzz::nft_json(data));
