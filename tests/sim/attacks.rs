//! The scoreboard of attacks: each is tried in worlds of real roles or on the real fold, and what
//! came of it is counted. `docs/attacks.md` is made of this, and a test says whether it is current.
//! Never leaves out an attack that works.

mod auctions;
mod bound;
mod challenges;
mod judges;
mod market;
mod messages;
mod page;
mod replicas;
mod trial;
mod workers;

use page::Row;
use std::path::Path;

/// Worlds of every row that has chance in it.
const WORLDS: u64 = 80;

fn rows() -> Vec<Row> {
    // Two halves on two cores; each row depends on nothing but its own seeds.
    let (mut first, second) = std::thread::scope(|scope| {
        let other = scope.spawn(|| {
            let told = [judges::rows(), challenges::rows(), messages::rows()];
            let sold = [market::rows(), auctions::rows(), replicas::rows()];
            [told.concat(), sold.concat()].concat()
        });
        (workers::rows(), other.join().unwrap())
    });
    first.extend(second);
    first
}

#[test]
fn the_scoreboard_is_current() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/attacks.md");
    let now = page::page(&rows(), &bound::points());
    if std::env::var_os("OHC_BLESS").is_some_and(|value| value == "1") {
        std::fs::write(&path, now).unwrap();
        return;
    }
    let file = std::fs::read_to_string(&path).unwrap_or_default();
    let same = file.lines().zip(now.lines()).take_while(|(a, b)| a == b).count();
    let (then, now_line) = (file.lines().nth(same), now.lines().nth(same));
    assert!(
        file == now,
        "docs/attacks.md:{}\n  {then:?}\n  {now_line:?}\n`just attacks`",
        same + 1
    );
}
