//! The fuzz targets over their corpus: what was found once, and one input for each way that was reached, stay tried.

#[path = "../fuzz/src/lib.rs"]
mod targets;

use std::path::Path;

/// Runs a target over every file of its corpus.
fn replay(name: &str, target: fn(&[u8])) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("fuzz/corpus")
        .join(name);
    let mut files: Vec<_> = std::fs::read_dir(&folder)
        .unwrap_or_else(|e| panic!("{}: {e}", folder.display()))
        .map(|entry| entry.expect("an entry").path())
        .collect();
    files.sort();
    assert!(!files.is_empty(), "{}: no files", folder.display());
    for file in &files {
        let data = std::fs::read(file).unwrap_or_else(|e| panic!("{}: {e}", file.display()));
        if let Err(panic) = std::panic::catch_unwind(|| target(&data)) {
            println!("with {}", file.display());
            std::panic::resume_unwind(panic);
        }
    }
    println!("{name}: {} files", files.len());
}

#[test]
fn frames() {
    replay("frames", targets::frames);
}

#[test]
fn nft_text() {
    replay("nft_text", targets::nft_text);
}

#[test]
fn nft_json() {
    replay("nft_json", targets::nft_json);
}

#[test]
fn lines() {
    replay("lines", targets::lines);
}

#[test]
fn bpf_elf() {
    replay("bpf_elf", targets::bpf_elf);
}
