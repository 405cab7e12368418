//! cargo does not notice new files below `migrations/` by itself, and refinery embeds what it sees.
fn main() {
    println!("cargo:rerun-if-changed=migrations");
}
