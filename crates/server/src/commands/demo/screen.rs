//! What the demo shows: lines that stay, and bars that move while there is a terminal.

use crate::output;
use console::style;
use indicatif::{MultiProgress, ProgressBar, ProgressDrawTarget, ProgressStyle};
use std::time::Duration;

/// The terminal, or whatever stands in for it.
#[derive(Clone)]
pub(super) struct Screen {
    /// Whether only the result is printed, as JSON.
    pub(super) json: bool,
    terminal: bool,
    bars: MultiProgress,
}

impl Screen {
    /// The screen on standard output.
    pub(super) fn new(json: bool) -> Self {
        let terminal = !json && console::user_attended();
        let target =
            if terminal { ProgressDrawTarget::stdout() } else { ProgressDrawTarget::hidden() };
        Self { json, terminal, bars: MultiProgress::with_draw_target(target) }
    }

    /// Where bars go.
    pub(super) fn bars(&self) -> MultiProgress {
        self.bars.clone()
    }

    /// A line that stays.
    pub(super) fn say(&self, text: &str) {
        if self.json {
            return;
        }
        if !self.terminal || self.bars.println(text).is_err() {
            output::line(text);
        }
    }

    /// The title of it all.
    pub(super) fn title(&self, text: &str) {
        self.say(&format!("\n{}", style(text).bold()));
    }

    /// The beginning of a stage.
    pub(super) fn stage(&self, text: &str) {
        self.say(&format!("\n{} {}", style("▸").cyan().bold(), style(text).bold()));
    }

    /// Something by the way.
    pub(super) fn note(&self, text: &str) {
        self.say(&format!("  {}", style(text).dim()));
    }

    /// A bar that counts.
    pub(super) fn count(&self, total: u64, what: &str) -> ProgressBar {
        let template = format!("  {{bar:30.cyan/dim}} {{pos}}/{{len}} {what}");
        let bar_style = ProgressStyle::with_template(&template)
            .unwrap_or_else(|_| ProgressStyle::default_bar())
            .progress_chars("━╸─");
        self.bars.add(ProgressBar::new(total).with_style(bar_style))
    }

    /// A line that shows that something goes on.
    pub(super) fn spinner(&self, text: &str) -> ProgressBar {
        let template = ProgressStyle::with_template("  {spinner:.cyan} {msg} {elapsed}");
        let bar = ProgressBar::new_spinner()
            .with_style(template.unwrap_or_else(|_| ProgressStyle::default_spinner()))
            .with_message(text.to_owned());
        let bar = self.bars.add(bar);
        if self.terminal {
            bar.enable_steady_tick(Duration::from_millis(100));
        }
        bar
    }

    /// Takes all bars away.
    pub(super) fn clear(&self) {
        // A terminal that is gone needs no clearing.
        let _ = self.bars.clear();
    }
}
