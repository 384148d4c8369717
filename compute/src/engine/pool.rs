//! A memory pool in which those who spill leave room for those who cannot.

use std::fmt::{self, Display, Formatter};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use datafusion::common::human_readable_size;
use datafusion::error::{DataFusionError, Result};
use datafusion::execution::memory_pool::{
    FairSpillPool, MemoryConsumer, MemoryLimit, MemoryPool, MemoryReservation,
};

/// The part of the pool, as one over this, that only those get who cannot spill.
const HEADROOM: usize = 4;

/// Shares memory evenly among sorts, aggregates and joins that can spill, but keeps a quarter from
/// them: the merge over sorted streams cannot spill, and sorts that hold all memory would starve it.
#[derive(Debug)]
pub(super) struct HeadroomPool {
    inner: FairSpillPool,
    spillable_bytes: usize,
    spillers: AtomicUsize,
}

impl HeadroomPool {
    pub(super) fn new(bytes: usize) -> Self {
        Self {
            inner: FairSpillPool::new(bytes),
            spillable_bytes: bytes - bytes / HEADROOM,
            spillers: AtomicUsize::new(0),
        }
    }
}

impl MemoryPool for HeadroomPool {
    fn name(&self) -> &str {
        "headroom"
    }

    fn register(&self, consumer: &MemoryConsumer) {
        if consumer.can_spill() {
            self.spillers.fetch_add(1, Ordering::Relaxed);
        }
        self.inner.register(consumer);
    }

    fn unregister(&self, consumer: &MemoryConsumer) {
        if consumer.can_spill() {
            self.spillers.fetch_sub(1, Ordering::Relaxed);
        }
        self.inner.unregister(consumer);
    }

    fn grow(&self, reservation: &MemoryReservation, additional: usize) {
        self.inner.grow(reservation, additional);
    }

    fn shrink(&self, reservation: &MemoryReservation, shrink: usize) {
        self.inner.shrink(reservation, shrink);
    }

    fn try_grow(&self, reservation: &MemoryReservation, additional: usize) -> Result<()> {
        if reservation.consumer().can_spill() {
            let share = self.spillable_bytes / self.spillers.load(Ordering::Relaxed).max(1);
            if reservation.size() + additional > share {
                return Err(DataFusionError::ResourcesExhausted(format!(
                    "{} asks for {} beyond its share of {} of the memory limit",
                    reservation.consumer().name(),
                    human_readable_size(additional),
                    human_readable_size(share),
                )));
            }
        }
        self.inner.try_grow(reservation, additional)
    }

    fn reserved(&self) -> usize {
        self.inner.reserved()
    }

    fn memory_limit(&self) -> MemoryLimit {
        self.inner.memory_limit()
    }
}

impl Display for HeadroomPool {
    fn fmt(&self, formatter: &mut Formatter<'_>) -> fmt::Result {
        write!(formatter, "{} over {}", self.name(), self.inner)
    }
}

/// A bounded part of another pool: what is held here counts there too.
#[derive(Debug)]
pub(super) struct SharePool {
    own: HeadroomPool,
    held: MemoryReservation,
}

impl SharePool {
    pub(super) fn new(whole: &Arc<dyn MemoryPool>, bytes: usize) -> Self {
        let held = MemoryConsumer::new("a statement's share").register(whole);
        Self { own: HeadroomPool::new(bytes), held }
    }
}

impl MemoryPool for SharePool {
    fn name(&self) -> &str {
        "share"
    }

    fn register(&self, consumer: &MemoryConsumer) {
        self.own.register(consumer);
    }

    fn unregister(&self, consumer: &MemoryConsumer) {
        self.own.unregister(consumer);
    }

    fn grow(&self, reservation: &MemoryReservation, additional: usize) {
        self.own.grow(reservation, additional);
        self.held.grow(additional);
    }

    fn shrink(&self, reservation: &MemoryReservation, shrink: usize) {
        self.own.shrink(reservation, shrink);
        self.held.shrink(shrink);
    }

    fn try_grow(&self, reservation: &MemoryReservation, additional: usize) -> Result<()> {
        self.own.try_grow(reservation, additional)?;
        self.held.try_grow(additional).inspect_err(|_| self.own.shrink(reservation, additional))
    }

    fn reserved(&self) -> usize {
        self.own.reserved()
    }

    fn memory_limit(&self) -> MemoryLimit {
        self.own.memory_limit()
    }
}

impl Display for SharePool {
    fn fmt(&self, formatter: &mut Formatter<'_>) -> fmt::Result {
        write!(formatter, "{} over {}", self.name(), self.own)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sorts_that_take_all_they_can_leave_a_quarter() {
        let pool: Arc<dyn MemoryPool> = Arc::new(HeadroomPool::new(800));
        let sort = |name: &str| MemoryConsumer::new(name).with_can_spill(true).register(&pool);
        let (one, other) = (sort("one"), sort("other"));
        one.try_grow(300).unwrap();
        assert!(one.try_grow(1).unwrap_err().to_string().contains("its share"));
        other.try_grow(300).unwrap();
        let merge = MemoryConsumer::new("merge").register(&pool);
        merge.try_grow(200).unwrap();
        assert!(merge.try_grow(1).is_err(), "the limit holds for all together");
        drop(other);
        one.try_grow(300).unwrap();
        assert_eq!(pool.reserved(), 800);
    }

    #[test]
    fn a_share_is_bounded_by_itself_and_by_the_rest_of_the_whole() {
        let whole: Arc<dyn MemoryPool> = Arc::new(HeadroomPool::new(800));
        let share = |bytes| -> Arc<dyn MemoryPool> { Arc::new(SharePool::new(&whole, bytes)) };
        let (small, large) = (share(300), share(700));
        let hold = |pool: &Arc<dyn MemoryPool>| MemoryConsumer::new("rows").register(pool);
        let (one, other) = (hold(&small), hold(&large));
        one.try_grow(300).unwrap();
        assert!(one.try_grow(1).is_err(), "its own bound");
        other.try_grow(500).unwrap();
        assert!(other.try_grow(1).is_err(), "what others hold");
        assert_eq!((whole.reserved(), large.reserved()), (800, 500));
        drop(one);
        other.try_grow(200).unwrap();
        drop((other, small, large));
        assert_eq!(whole.reserved(), 0);
    }
}
