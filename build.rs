//! What cargo does not know by itself: the folder of the migrations, and when this was built.

/// For builds that are not told, or are told 1970 or 1980, as some builders have it: 2026-01-01T00:00:00Z, in Unix
/// seconds. To be raised with releases; a clock that was never set is long before it.
const EARLIEST: u64 = 1_767_225_600;
/// The last second of the year 9999.
const LATEST: u64 = 253_402_300_799;

fn main() {
    // refinery embeds what it sees there.
    println!("cargo:rerun-if-changed=migrations");
    println!("cargo:rerun-if-changed=build.rs");
    // The convention of reproducible builds, in Unix seconds. The machine's clock would make each build another.
    println!("cargo:rerun-if-env-changed=SOURCE_DATE_EPOCH");
    let given = std::env::var("SOURCE_DATE_EPOCH").ok().filter(|given| !given.is_empty());
    let built = given.map_or(EARLIEST, |given| {
        let seconds = given.parse().ok().filter(|seconds| *seconds <= LATEST);
        seconds
            .unwrap_or_else(|| panic!("SOURCE_DATE_EPOCH is {given:?}, but must be Unix seconds"))
    });
    println!("cargo:rustc-env=BUILT_AT={}", built.max(EARLIEST));
}
