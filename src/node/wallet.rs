//! Wallets: the keys of a home by their names, and moving money with one of them.
//! Never shows a secret, and never signs for a key that does not lie in the home.

use super::attach::{AttachError, Errand};
use super::boot::{self, BootError, Booted};
use super::home::Home;
use super::view::View;
use crate::base::amount::Ohc;
use crate::base::canon::Encode;
use crate::base::keys::{PublicKey, SecretKey};
use crate::base::time::{Height, Millis};
use crate::domain::command::Command;
use crate::domain::event::{Event, Reject, events_root};
use crate::domain::state::State;
use crate::effects::clock;
use crate::effects::keyring::{self, KeyringError};
use crate::effects::store::StoreError;
use crate::effects::{Peril, pass};
use crate::role::validator::{Input, Output, Validator};
use crate::role::{Machine, Signer};
use std::io::Read;
use std::path::{Path, PathBuf};

/// Bytes of the name of a key.
const NAME_BYTES_MAX: usize = 63;

/// A key file of a home.
#[derive(Debug)]
pub struct Entry {
    /// The name: that of its file.
    pub name: String,
    /// The file.
    pub path: PathBuf,
    /// The public half, or why there is none.
    pub key: Result<PublicKey, KeyringError>,
}

/// Why a key or an amount stays where it is.
#[derive(Debug, thiserror::Error)]
pub enum WalletError {
    /// The name cannot be one.
    #[error(
        "`{name}` cannot be the name of a key; hint: a letter, then letters, digits, `-` and `_`, \
         at most {NAME_BYTES_MAX}"
    )]
    Name {
        /// What was asked for.
        name: String,
    },
    /// The name belongs to a role of the embedded network.
    #[error(
        "`{name}` is the name of a role of this network, which makes its own key; hint: choose \
         another name"
    )]
    Role {
        /// What was asked for.
        name: String,
    },
    /// There is no such key.
    #[error("there is no key `{name}` in this home; hint: `ohc wallet list` shows them")]
    Unknown {
        /// What was asked for.
        name: String,
    },
    /// A key file cannot be read or written.
    #[error(transparent)]
    Keyring(#[from] KeyringError),
    /// The input cannot be read.
    #[error("cannot read the input: {0}")]
    Input(std::io::Error),
    /// The home cannot be opened or made.
    #[error(transparent)]
    Boot(#[from] BootError),
    /// Nothing is to be paid.
    #[error("nothing is to be paid; hint: name an amount above 0, such as 0.5")]
    Nothing,
    /// The payer is the payee.
    #[error("the payer is the payee; hint: `ohc wallet list` shows whose key is whose")]
    Own,
    /// Nobody can ever sign for the payee.
    #[error("{to} is nobody's key: what is paid to it is lost; hint: ask the payee for the key")]
    Nobody {
        /// The payee.
        to: PublicKey,
    },
    /// The payer has less.
    #[error(
        "{amount} OhC are not covered: the account has {balance} OhC to spend; hint: what is in \
         escrow or bonds comes back when its run is over"
    )]
    Short {
        /// What was to be paid.
        amount: Ohc,
        /// What there is.
        balance: Ohc,
    },
    /// The log cannot be written.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// Another process has the home open, and is of no help.
    #[error(transparent)]
    Attach(AttachError),
    /// Another process has the home open, and it signs for the client alone.
    #[error(
        "another ohc is at work in this home, and pays from the key `client` alone; hint: wait for \
         its end to pay from `{name}`"
    )]
    Busy {
        /// The payer.
        name: String,
    },
    /// The rules refuse the order.
    #[error("the transfer was refused: {0}")]
    Refused(Reject),
    /// The validator cut no slot for it: a bug of ours.
    #[error("the validator of this home took no notice of the transfer; nothing was paid")]
    Ignored,
}

/// What a transfer did.
#[derive(Debug, Clone, Copy)]
pub struct Paid {
    /// The slot that it is in.
    pub height: Height,
    /// What the payer has left to spend; not known where another process has the log open.
    pub balance: Option<Ohc>,
}

/// All keys of a home, ascending by name.
pub fn entries(home: &Home) -> Result<Vec<Entry>, KeyringError> {
    let files = keyring::list(&home.keys())?;
    Ok(files.into_iter().map(|(name, path)| Entry { key: public(&path), name, path }).collect())
}

/// The key in a file, wherever it is.
#[must_use]
pub fn entry(name: &str, path: &Path) -> Entry {
    Entry { name: name.to_owned(), path: path.to_owned(), key: public(path) }
}

fn public(path: &Path) -> Result<PublicKey, KeyringError> {
    Ok(secret(path)?.public())
}

/// The key in a file that was there a moment ago.
fn secret(path: &Path) -> Result<SecretKey, KeyringError> {
    let gone = || KeyringError::Io {
        path: path.to_owned(),
        doing: "read",
        source: std::io::ErrorKind::NotFound.into(),
    };
    keyring::load(path)?.ok_or_else(gone)
}

/// Makes a key of that name. Begins a home if there is none, but no network.
pub fn create(home: &Home, name: &str) -> Result<Entry, WalletError> {
    if boot::is_role(name) {
        return Err(WalletError::Role { name: name.to_owned() });
    }
    save(home, name, &SecretKey::from_bytes(&clock::fresh_seed()))
}

/// Takes over a key: a PKCS#8 PEM file that its owner alone can read.
pub fn import_file(home: &Home, name: &str, file: &Path) -> Result<Entry, WalletError> {
    let pem = keyring::read_foreign(file)?;
    save(home, name, &keyring::parse(&pem, &file.display().to_string())?)
}

/// Takes over a key from an input.
pub fn import(home: &Home, name: &str, input: &mut dyn Read) -> Result<Entry, WalletError> {
    let pem = keyring::read_text(input).map_err(WalletError::Input)?;
    save(home, name, &keyring::parse(&pem, "the input")?)
}

fn save(home: &Home, name: &str, key: &SecretKey) -> Result<Entry, WalletError> {
    if !is_name(name) {
        return Err(WalletError::Name { name: name.to_owned() });
    }
    boot::begin(home)?;
    let path = home.key(name);
    keyring::save(&path, key)?;
    keyring::sweep(&home.keys());
    Ok(Entry { name: name.to_owned(), path, key: Ok(key.public()) })
}

/// Whether a name can be that of a file everywhere.
fn is_name(name: &str) -> bool {
    let is_letter = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_');
    name.len() <= NAME_BYTES_MAX
        && name.starts_with(|c: char| c.is_ascii_alphabetic())
        && name.chars().all(is_letter)
}

/// Says why an amount cannot go from one account to another, as far as that is known before.
pub fn check(
    state: &State,
    from: &PublicKey,
    to: &PublicKey,
    amount: Ohc,
) -> Result<(), WalletError> {
    if amount == Ohc::ZERO {
        return Err(WalletError::Nothing);
    }
    if from == to {
        return Err(WalletError::Own);
    }
    if !to.is_sound() {
        return Err(WalletError::Nobody { to: *to });
    }
    let balance = state.ledger().account(from).balance;
    if balance < amount {
        return Err(WalletError::Short { amount, balance });
    }
    Ok(())
}

/// Pays from the key of that name: one order in one slot of the home's log, durable when this
/// returns. Where another process has the log open, that one is asked to; it signs for the client
/// alone.
pub fn transfer(
    home: &Home,
    mut view: View,
    name: &str,
    to: PublicKey,
    amount: Ohc,
) -> Result<Paid, WalletError> {
    let payer = secret(&home.key(name))?;
    check(&view.state, &payer.public(), &to, amount)?;
    match view.peer() {
        None => cut(home, view.into_booted()?, payer, Command::Transfer { to, amount }),
        Some(peer) if name == "client" => match peer.errand(Errand::Transfer { to, amount }) {
            Ok(height) => Ok(Paid { height, balance: None }),
            Err(AttachError::Refused(reject)) => Err(WalletError::Refused(reject)),
            Err(error) => Err(WalletError::Attach(error)),
        },
        Some(_) => Err(WalletError::Busy { name: name.to_owned() }),
    }
}

/// Has one command of the payer folded, in a slot of its own.
fn cut(
    home: &Home,
    booted: Booted,
    payer: SecretKey,
    command: Command,
) -> Result<Paid, WalletError> {
    let Booted { mut state, parent, store, .. } = booted;
    let from = payer.public();
    // Nothing waits for time here: none passes.
    let (now, mut out) = (Millis(0), Vec::new());
    let mut validator = Validator::new(Signer::new(boot::keys(home, 0)?.validator), now);
    let order = Signer::new(payer).order(&state, command);
    validator.handle(now, &state, Input::Command(order), &mut out);
    validator.handle(now, &state, Input::Wake, &mut out);
    let Some(Output::Cut(draft)) = out.pop() else { return Err(WalletError::Ignored) };
    let height = draft.height;
    let events = state.apply(height, &draft.poh, &draft.commands);
    let slot = validator.seal(&state, draft, parent, events_root(&events));
    pass(Peril::Paying);
    store.append(height, &slot.to_bytes())?;
    pass(Peril::Paid);
    let rejected = events.iter().find_map(|event| match event {
        Event::Rejected { author, reason, .. } if *author == from => Some(*reason),
        _ => None,
    });
    match rejected {
        Some(reject) => Err(WalletError::Refused(reject)),
        None => Ok(Paid { height, balance: Some(state.ledger().account(&from).balance) }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn home(dir: &Path) -> (Home, PublicKey) {
        let home = Home::find(Some(dir), dir);
        let keys = boot::keys(&home, 1).unwrap();
        boot::boot(&home, keys.client.public(), keys.validator.public()).unwrap();
        (home, keys.client.public())
    }

    fn open(home: &Home) -> View {
        let keys = boot::keys(home, 1).unwrap();
        View::open(home, keys.client.public(), keys.validator.public()).unwrap()
    }

    fn amount(text: &str) -> Ohc {
        text.parse().unwrap()
    }

    #[test]
    fn what_is_paid_is_in_the_log_and_exact() {
        let dir = tempfile::tempdir().unwrap();
        let (home, client) = home(dir.path());
        let before = open(&home).state.ledger().account(&client).balance;
        let to = *create(&home, "savings").unwrap().key.as_ref().unwrap();
        let paid = transfer(&home, open(&home), "client", to, amount("5.000000001")).unwrap();
        assert_eq!(before.checked_sub(amount("5.000000001")), paid.balance);
        let back = transfer(&home, open(&home), "savings", client, amount("5")).unwrap();
        assert_eq!(back.balance, Some(amount("0.000000001")));
        assert_eq!(back.height, paid.height.next());
        let state = open(&home).state;
        assert_eq!(state.ledger().account(&to).balance, amount("0.000000001"));
        assert_eq!(state.ledger().total(), Some(crate::base::amount::SUPPLY));
    }

    #[test]
    fn what_is_not_covered_or_leads_nowhere_is_refused_and_leaves_no_trace() {
        let dir = tempfile::tempdir().unwrap();
        let (home, client) = home(dir.path());
        let savings = *create(&home, "savings").unwrap().key.as_ref().unwrap();
        let height = open(&home).state.height();
        let pay = |from: &str, to, text: &str| {
            transfer(&home, open(&home), from, to, amount(text)).unwrap_err().to_string()
        };
        assert!(pay("savings", client, "1").contains("not covered: the account has 0.00 OhC"));
        assert!(pay("client", savings, "0").contains("nothing is to be paid"));
        assert!(pay("client", client, "1").contains("the payer is the payee"));
        // A point of small order: anybody, and so nobody, signs for it.
        assert!(pay("client", PublicKey([0; 32]), "1").contains("is nobody's key"));
        assert!(pay("client", PublicKey([2; 32]), "1").contains("is nobody's key"));
        assert_eq!(open(&home).state.height(), height);
    }

    #[test]
    fn names_that_are_taken_or_none_are_refused() {
        let dir = tempfile::tempdir().unwrap();
        let home = Home::find(Some(dir.path()), dir.path());
        for name in ["client", "validator", "worker-1", "worker-256"] {
            assert!(matches!(create(&home, name), Err(WalletError::Role { .. })), "{name}");
        }
        for name in ["", "../x", "a/b", "a.b", "1a", "-a", &"a".repeat(64)] {
            assert!(matches!(create(&home, name), Err(WalletError::Name { .. })), "{name}");
        }
        create(&home, "worker-of-mine").unwrap();
        let again = create(&home, "worker-of-mine").unwrap_err();
        assert!(matches!(again, WalletError::Keyring(KeyringError::Exists { .. })));
        let names: Vec<String> = entries(&home).unwrap().into_iter().map(|e| e.name).collect();
        assert_eq!(names, ["worker-of-mine"]);
        assert!(!home.exists(), "a key alone begins no network");
    }
}
