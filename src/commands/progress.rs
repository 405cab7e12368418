//! Progress of long work on a terminal; nothing elsewhere.

use indicatif::{ProgressBar, ProgressStyle};

/// A bar that appears with the first thing it is told.
#[derive(Clone)]
pub struct Bar {
    bar: ProgressBar,
}

/// A bar over entries of the history.
pub fn bar(doing: &'static str) -> Bar {
    with(&format!("{doing}: {{bar:40}} {{human_pos}} of {{human_len}} entries, {{eta}} left"))
}

/// A bar over bytes.
pub fn bytes(doing: &'static str) -> Bar {
    with(&format!("{doing}: {{bar:40}} {{bytes}} of {{total_bytes}}, {{eta}} left"))
}

/// A bar over several things together.
pub fn steps(doing: &'static str) -> Bar {
    with(&format!("{doing}: {{bar:40}} {{percent}} %, {{eta}} left"))
}

fn with(template: &str) -> Bar {
    let bar = ProgressBar::hidden();
    let bar = match ProgressStyle::with_template(template) {
        Ok(style) => bar.with_style(style),
        Err(_) => bar,
    };
    Bar { bar }
}

impl Bar {
    /// Shows how far the work is.
    pub fn show(&self, done: u64, total: u64) {
        if self.bar.is_hidden() && self.bar.position() == 0 {
            // On a terminal only; indicatif sees to that.
            self.bar.set_draw_target(indicatif::ProgressDrawTarget::stderr());
        }
        self.bar.set_length(total);
        self.bar.set_position(done);
    }

    /// Takes the bar away.
    pub fn finish(&self) {
        self.bar.finish_and_clear();
    }
}
