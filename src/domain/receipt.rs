//! Receipts as clients print them: `gitops-status receipt ORIGIN ID HASH`. A CI log that holds some is
//! a witness.

use super::line::unhex;
use super::tree::Hash;
use std::str::FromStr;

/// What stands before a receipt in a log.
const MARK: &str = "gitops-status receipt ";

/// That an entry was recorded under an id.
#[derive(Debug, Clone, PartialEq)]
pub struct Receipt {
    /// The history's name.
    pub origin: String,
    /// The entry's id.
    pub id: u64,
    /// Its leaf hash.
    pub hash: Hash,
}

impl FromStr for Receipt {
    type Err = &'static str;

    /// Reads `ORIGIN ID HASH`, with or without the words that clients print before it.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let text = text.trim();
        let mut words = text.strip_prefix(MARK.trim_end()).unwrap_or(text).split_whitespace();
        let mut parse = || {
            let origin = words.next()?.to_owned();
            let id = words.next()?.parse().ok()?;
            let hash = Hash(unhex(words.next()?)?);
            (words.next().is_none() && id > 0).then_some(Self { origin, id, hash })
        };
        parse().ok_or("is not a receipt; write ORIGIN ID HASH as the log has them")
    }
}

/// What stands behind the mark on a line of a log, as often as it does and whatever else is there: a
/// receipt, or the words that are none.
pub fn in_line(line: &str) -> impl Iterator<Item = Result<Receipt, &str>> {
    line.split(MARK).skip(1).map(|rest| {
        let words: Vec<&str> = rest.split_whitespace().take(3).collect();
        words.join(" ").parse().map_err(|_| rest.trim_end())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn receipts_are_found_in_logs() {
        let hash = "ab".repeat(32);
        let plain = format!("gitops-status-server/00 7 {hash}");
        let receipt: Receipt = plain.parse().unwrap();
        assert_eq!((receipt.id, receipt.hash), (7, Hash([0xab; 32])));
        assert_eq!(format!("gitops-status receipt {plain}").parse(), Ok(receipt.clone()));
        for wrong in ["", "a", "a 1", "a 1 zz", "a 0 {hash}", &format!("{plain} more")] {
            assert!(wrong.parse::<Receipt>().is_err(), "{wrong}");
        }
        let two = format!("{MARK}{plain} {MARK}{plain}");
        assert_eq!(
            in_line(&two).collect::<Vec<_>>(),
            vec![Ok(receipt.clone()), Ok(receipt.clone())]
        );
        let coloured = format!("\u{1b}[0m[step] gitops-status receipt {plain} \n");
        assert_eq!(in_line(&coloured).collect::<Vec<_>>(), vec![Ok(receipt)]);
        let broken = "gitops-status receipt broken off\n";
        assert_eq!(in_line(broken).collect::<Vec<_>>(), vec![Err("broken off")]);
        assert_eq!(in_line("nothing\n").count(), 0);
    }
}
