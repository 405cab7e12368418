//! One host: what is true of it, and what the server was told and must therefore show.

use super::season::{Dice, GROUPS};
use super::server::STALE_AFTER;
use std::collections::BTreeSet;

/// A status that a host reports.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Status {
    /// As in Git.
    Synced,
    /// Drifted.
    OutOfSync,
    /// The check failed.
    Failed,
}

impl Status {
    /// Its word.
    pub fn word(self) -> &'static str {
        match self {
            Self::Synced => "synced",
            Self::OutOfSync => "out_of_sync",
            Self::Failed => "failed",
        }
    }
}

/// What the server was told of a host, in any order, and acknowledged.
#[derive(Debug, Default)]
pub struct Told {
    /// Reports.
    pub reports: u64,
    /// The newest time, and what was said then.
    pub newest: Option<(i64, Status)>,
    synced: Option<i64>,
    /// Times of `out_of_sync` reports; those before `synced` are forgotten.
    drifted: BTreeSet<i64>,
}

impl Told {
    /// Takes in a report.
    pub fn hear(&mut self, time: i64, status: Status) {
        self.reports += 1;
        if self.newest.is_none_or(|(newest, _)| time > newest) {
            self.newest = Some((time, status));
        }
        if status == Status::Synced && self.synced.is_none_or(|synced| time > synced) {
            self.synced = Some(time);
            self.drifted = self.drifted.split_off(&time);
        }
        if status == Status::OutOfSync && self.synced.is_none_or(|synced| time > synced) {
            self.drifted.insert(time);
        }
    }

    /// The start of the drift that is open.
    pub fn drift_since(&self) -> Option<i64> {
        self.drifted.first().copied()
    }

    /// Whether nobody's word is good any more.
    pub fn is_stale(&self, now: i64) -> bool {
        self.newest.is_some_and(|(newest, _)| now > newest + STALE_AFTER)
    }
}

/// A host.
#[derive(Debug)]
pub struct Host {
    /// Its number.
    pub at: usize,
    /// What the server knows.
    pub told: Told,
    dice: Dice,
    status: Status,
    /// Rounds for which it stays so, unless it is synced.
    rounds: u64,
    /// Which files differ.
    files: u64,
    /// Rounds for which it says nothing.
    silent: u64,
}

/// What a host does in a round.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Does {
    /// Nothing: it is silent.
    Nothing,
    /// It reports.
    Reports,
    /// Its report is held up for so many rounds.
    ReportsLate(u64),
    /// It reports, and then again the same.
    ReportsTwice,
}

impl Host {
    /// One that is as in Git.
    pub fn new(at: usize) -> Self {
        let dice = Dice::new(at as u64 + 1);
        let (status, told) = (Status::Synced, Told::default());
        Self { at, told, dice, status, rounds: 0, files: 0, silent: 0 }
    }

    /// Its group's number.
    pub fn group(&self) -> usize {
        self.at % GROUPS
    }

    /// Whether it is silent.
    pub fn is_silent(&self) -> bool {
        self.silent > 0
    }

    /// What is true of it now.
    pub fn status(&self) -> Status {
        self.status
    }

    /// It was deployed: all is as in Git.
    pub fn deploy(&mut self) {
        (self.status, self.rounds) = (Status::Synced, 0);
    }

    /// Two minutes go by.
    pub fn round(&mut self) -> Does {
        if self.silent > 0 {
            self.silent -= 1;
            return Does::Nothing;
        }
        // A silence every four days, of up to a day.
        if self.dice.one_in(3000) {
            self.silent = 1 + self.dice.below(720);
            return Does::Nothing;
        }
        self.drift();
        if self.dice.one_in(400) {
            return Does::ReportsLate(1 + self.dice.below(60));
        }
        if self.dice.one_in(1000) { Does::ReportsTwice } else { Does::Reports }
    }

    /// A drift every four days, of up to four hours; a failure now and then, also amid a drift.
    fn drift(&mut self) {
        if self.rounds > 0 {
            self.rounds -= 1;
        } else if self.status != Status::Synced {
            self.status = Status::Synced;
        }
        if self.dice.one_in(3000) {
            self.status = Status::OutOfSync;
            self.rounds = self.dice.below(120);
            self.files = self.dice.below(30);
        } else if self.dice.one_in(5000) {
            self.status = Status::Failed;
            self.rounds = self.dice.below(5);
        }
    }

    /// A check's fields behind its names.
    pub fn said(&self) -> String {
        let word = self.status.word();
        let file = self.files;
        match self.status {
            Status::OutOfSync => format!(
                r#""status":"{word}","changed_files":["rsyslog.conf","rsyslog.d/{file:02}-lab.conf"]"#
            ),
            Status::Synced => format!(r#""status":"{word}","changed_files":[]"#),
            Status::Failed => format!(r#""status":"{word}""#),
        }
    }
}
