//! Where the log begins in this store, if not with the first slot: what lies before was pruned, or
//! was never here. And the milestones, which stay: few slots are, and they are short.
//!
//! That the log begins later is durable before anything is taken away. What a crash leaves of the
//! slots before is taken away at the next start.

use super::{BASE, LOG, Store, StoreError, Writer, guarded, log_key, milestone_key};
use crate::base::time::Height;
use fjall::PersistMode;

/// Slots that are taken away at a time.
const AT_A_TIME: usize = 512;

impl Store {
    /// Takes away all slots up to this one. Whoever calls it has the state after it.
    pub fn prune(&self, to: Height) -> Result<(), StoreError> {
        {
            let mut writer = self.writer()?;
            if to <= writer.base || to >= writer.next {
                return Ok(());
            }
            self.write(&mut writer, &[(BASE.to_vec(), &to.0.to_be_bytes())])?;
            writer.base = to;
        }
        self.sweep()
    }

    /// The log goes on after this slot, and all slots before it are gone: those that are between
    /// ours and it nobody has. Whoever calls it has the state after it, and these milestones that
    /// lead there.
    pub fn begin_at(
        &self,
        base: Height,
        milestones: &[(Height, Vec<u8>)],
    ) -> Result<(), StoreError> {
        {
            let mut writer = self.writer()?;
            if base < writer.next {
                return Err(StoreError::OutOfOrder { next: writer.next, got: base });
            }
            let height = base.0.to_be_bytes();
            let mut records = vec![(BASE.to_vec(), height.as_slice())];
            let more = milestones.iter().map(|(height, bytes)| (milestone_key(*height), &**bytes));
            records.extend(more);
            self.write(&mut writer, &records)?;
            (writer.base, writer.next, writer.votes) = (base, base.next(), 0);
        }
        self.sweep()?;
        self.wake();
        Ok(())
    }

    /// The milestone at this height.
    pub fn milestone(&self, height: Height) -> Result<Option<Vec<u8>>, StoreError> {
        self.get(&milestone_key(height), Some(height))
    }

    /// The milestones after this height, in order.
    pub fn milestones(
        &self,
        after: Height,
    ) -> impl Iterator<Item = Result<(Height, Vec<u8>), StoreError>> {
        let mut guards =
            self.keyspace.range(milestone_key(after.next())..=milestone_key(Height(u64::MAX)));
        std::iter::from_fn(move || {
            let next = guarded(&self.directory, || {
                let Some(guard) = guards.next() else { return Ok(None) };
                let (key, value) = guard.into_inner().map_err(|error| self.failed(error, None))?;
                let height = key.get(1..).and_then(|height| height.try_into().ok());
                let height = Height(height.map_or(0, u64::from_be_bytes));
                Ok(Some((height, self.unframe(&key, &value, Some(height))?)))
            });
            next.transpose()
        })
    }

    /// Where the log begins.
    pub(super) fn find_base(&self) -> Result<Height, StoreError> {
        let Some(base) = self.get(BASE, None)? else { return Ok(Height(0)) };
        let base = base.as_slice().try_into().ok().map(u64::from_be_bytes);
        base.map(Height).ok_or_else(|| self.damaged(Height(0), "a beginning that is no height"))
    }

    /// Takes away what lies before the beginning.
    pub(super) fn sweep(&self) -> Result<(), StoreError> {
        loop {
            let mut writer = self.writer()?;
            let base = writer.base;
            let keys = guarded(&self.directory, || {
                let range = [LOG].to_vec()..=log_key(base);
                let keys = self.keyspace.range(range).take(AT_A_TIME).map(|guard| guard.key());
                keys.collect::<Result<Vec<_>, _>>().map_err(|error| self.failed(error, None))
            })?;
            if keys.is_empty() {
                return Ok(());
            }
            self.erase(&mut writer, &keys.iter().map(|key| key.to_vec()).collect::<Vec<_>>())?;
        }
    }

    /// Takes records away. Each write begins with a value: `journal` knows one by that.
    fn erase(&self, writer: &mut Writer, keys: &[Vec<u8>]) -> Result<(), StoreError> {
        let mut batch = self.database.batch().durability(Some(PersistMode::SyncAll));
        let base = super::frame(BASE, &writer.base.0.to_be_bytes());
        batch.insert(&self.keyspace, BASE, base);
        for key in keys {
            batch.remove(&self.keyspace, key.as_slice());
        }
        guarded(&self.directory, || batch.commit().map_err(|error| self.failed(error, None)))
            .inspect_err(|_| writer.poisoned = true)
    }
}
