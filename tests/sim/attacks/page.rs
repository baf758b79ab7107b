//! The page: rows of the scoreboard as a table. Never a float: shares are rounded in integers.

/// One attack under one policy; amounts in nano-OhC over all tries.
#[derive(Clone, Debug, Default)]
pub struct Row {
    pub attack: &'static str,
    pub policy: &'static str,
    pub tries: u64,
    pub found: u64,
    /// What the policy promises, in parts per million.
    pub predicted: Option<u64>,
    /// Slots and ticks until it was found, summed over what was found.
    pub after: Option<(u64, u64)>,
    /// What the attackers have more in the end, after what they spent.
    pub gain: i128,
    /// What they would have had by honest work; none where there is no honest way to do it.
    pub honest: Option<i128>,
    /// What others lost.
    pub lost: i128,
    pub note: &'static str,
}

const HEAD: &str = "\
# Attacks

What was tried against the market and its checks, and what came of it. Made by `just attacks`,
from fixed seeds, with the real roles or the real fold; a test fails when it is out of date. An
attack whose defence is not built yet stands here with its numbers as they are.

- *Found*: tries that were slashed, fined or refused. *Predicted*: what the policy promises.
- *After*: slots of the log, and ticks of the chain, from the act to its end, on average.
- Amounts are mOhC (a thousandth of an OhC) for each try. *Attacker*: what it has more in the end,
  less what its work cost; work costs 5/6 of its price. *Honest*: the same for honest work in its
  place. *Others*: what honest people lost by it, less what they were compensated with; negative if
  they gained.
- *Pays*: whether the attacker has more than by honest work, or than by doing nothing where there is
  none.

| attack | policy | tries | found | predicted | after | attacker | honest | others | pays |
|---|---|---:|---:|---:|---:|---:|---:|---:|---|
";

const BOUND: &str = "
## The bound

Free-riders under `audit` at rates around the bound: cheating stops to pay at `c / (P + B)`, with
the cost of the work `c`, its price `P` and the bond `B`: here 5/6 P and 4 P, so one in six. On the
real fold.

| rate | tries | found | attacker | honest | pays |
|---:|---:|---:|---:|---:|---|
";

/// What free-riding is worth at one rate of audits; amounts in nano-OhC over all tries.
#[derive(Clone, Copy, Debug)]
pub struct Point {
    pub rate_ppm: u64,
    pub tries: u64,
    pub found: u64,
    pub gain: i128,
    pub honest: i128,
}

/// Rounds half away from zero.
fn ratio(n: i128, d: i128) -> i128 {
    let half = d / 2;
    if n < 0 { -((half - n) / d) } else { (n + half) / d }
}

fn percent(n: u64, d: u64) -> String {
    let tenths = ratio(i128::from(n) * 1_000, i128::from(d.max(1)));
    format!("{}.{} %", tenths / 10, tenths % 10)
}

/// Thousandths of an OhC, with two places.
fn milli(nano: i128, tries: u64) -> String {
    let cents = ratio(nano, i128::from(tries.max(1)) * 10_000);
    let sign = if cents < 0 { "-" } else { "" };
    format!("{sign}{}.{:02}", cents.abs() / 100, cents.abs() % 100)
}

impl Row {
    fn line(&self) -> String {
        let after =
            self.after.filter(|_| self.found > 0).map_or("-".to_owned(), |(slots, ticks)| {
                let of = |sum| ratio(i128::from(sum), i128::from(self.found));
                format!("{} slots, {} ticks", of(slots), of(ticks))
            });
        let predicted = self.predicted.map_or("-".to_owned(), |ppm| percent(ppm, 1_000_000));
        let honest = self.honest.map_or("-".to_owned(), |nano| milli(nano, self.tries));
        let pays = self.gain > self.honest.unwrap_or(0);
        format!(
            "| {} | {} | {} | {} | {predicted} | {after} | {} | {honest} | {} | {} |\n",
            self.attack,
            self.policy,
            self.tries,
            percent(self.found, self.tries),
            milli(self.gain, self.tries),
            milli(self.lost, self.tries),
            if pays { "**yes**" } else { "no" },
        )
    }
}

pub fn page(rows: &[Row], bound: &[Point]) -> String {
    let mut text = HEAD.to_owned();
    text.extend(rows.iter().filter(|row| row.tries > 0).map(Row::line));
    text.push_str(BOUND);
    for Point { rate_ppm, tries, found, gain, honest } in bound {
        let pays = if gain > honest { "**yes**" } else { "no" };
        text.push_str(&format!(
            "| {} | {tries} | {} | {} | {} | {pays} |\n",
            percent(*rate_ppm, 1_000_000),
            percent(*found, *tries),
            milli(*gain, *tries),
            milli(*honest, *tries),
        ));
    }
    text.push_str("\n## Notes\n\n");
    for row in rows.iter().filter(|row| !row.note.is_empty()) {
        text.push_str(&format!("- *{}* ({}): {}\n", row.attack, row.policy, row.note));
    }
    text.push_str(OPEN);
    text
}

/// What is known to be possible, and stands in no row.
const OPEN: &str = "
## Known, and open

What reading the rules as an attacker has found and nothing prevents yet. None of it makes money
out of nothing.

- *Cheap state*: what is in the state of every node was paid for once, and stays: a coin buys the
  plan of 100,000 jobs, of which each keeps its block when the run is over.
- *Bids of the rich*: bids never expire. Who has 4,096 purses, each larger than another worker's,
  keeps that one out of the market.
- *Escrow for nothing*: all escrows together are at most a third of the stakes; one run that is
  paused may hold all of that.
- *The store*: where validators sign requests to it (ADR 33), whoever has an account reads as fast
  as questions are answered, and its operator pays for what goes out; who works for itself stores
  16 MiB for the gas of each block; and who asks for one replacement after the other keeps a
  validator from looking at those of others.
- *Old keys*: who joins with a genesis alone believes its validators, also those who have left
  with their stake and sign another history. With a checkpoint it is refused (ADR 32): ask somebody
  whom you trust for what `ohc network checkpoint` prints. Who has none is told, and not kept from
  joining; and somebody has to be asked.
- *Long windows*: the price of a perplexity and its time count the weights that a token meets, not
  the tokens before it: a model of few weights with windows of 131,072 tokens is hundreds of times
  the work that is paid for.
- *Dictionaries that grow*: each piece that an Arrow file adds to a dictionary has all of it copied;
  many small pieces behind a large one are hours of work for whoever reads the file.
";

#[test]
fn shares_and_amounts_are_rounded_half_away_from_zero() {
    assert_eq!(percent(1, 3), "33.3 %");
    assert_eq!(percent(2, 3), "66.7 %");
    assert_eq!(milli(-15_000, 1), "-0.02");
    assert_eq!(milli(24_004_999, 1), "24.00");
}
