//! Places for connections: a bounded number, of which the one that is idle longest makes room.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_util::sync::CancellationToken;

use crate::observability::HTTP_CONNECTIONS;

/// How often somebody who waits for a place looks again for an idle connection.
const LOOK_AGAIN: Duration = Duration::from_millis(20);

/// All places of a server.
#[derive(Clone)]
pub(super) struct Connections {
    room: Arc<Semaphore>,
    idle: Arc<Mutex<Idle>>,
}

/// The connections that no request is answered on, the longest idle first.
#[derive(Default)]
struct Idle {
    next: u64,
    since: BTreeMap<u64, CancellationToken>,
}

impl Connections {
    pub fn new(most: usize) -> Self {
        Self { room: Arc::new(Semaphore::new(most.max(1))), idle: Arc::default() }
    }

    /// A place; where there is none, the connection that is idle longest is closed for it. Waits while
    /// all are busy.
    pub async fn seat(&self) -> Seat {
        let room = loop {
            if let Ok(room) = Arc::clone(&self.room).try_acquire_owned() {
                break room;
            }
            self.close_longest_idle();
            let room = Arc::clone(&self.room).acquire_owned();
            // The semaphore is never closed, so that an error is impossible and a time-out is not.
            if let Ok(Ok(room)) = tokio::time::timeout(LOOK_AGAIN, room).await {
                break room;
            }
        };
        metrics::gauge!(HTTP_CONNECTIONS).increment(1);
        let wanted = CancellationToken::new();
        let place = self.idle().add(&wanted);
        Seat { connections: self.clone(), wanted, place: Mutex::new(Some(place)), _room: room }
    }

    pub fn close_longest_idle(&self) {
        if let Some((_, wanted)) = self.idle().since.pop_first() {
            wanted.cancel();
        }
    }

    fn idle(&self) -> MutexGuard<'_, Idle> {
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Idle {
    fn add(&mut self, wanted: &CancellationToken) -> u64 {
        self.next += 1;
        self.since.insert(self.next, wanted.clone());
        self.next
    }
}

/// A connection's place, free again when dropped.
pub(super) struct Seat {
    connections: Connections,
    wanted: CancellationToken,
    /// Where it stands among the idle ones; `None` while a request is answered.
    place: Mutex<Option<u64>>,
    _room: OwnedSemaphorePermit,
}

impl Seat {
    /// Returns once the place is needed for another.
    pub async fn wanted(&self) {
        self.wanted.cancelled().await;
    }

    /// A request is answered until the guard is dropped.
    pub fn busy(self: &Arc<Self>) -> Busy {
        self.leave_idle();
        Busy(Arc::clone(self))
    }

    fn leave_idle(&self) {
        let place = self.place().take();
        if let Some(place) = place {
            self.connections.idle().since.remove(&place);
        }
    }

    fn place(&self) -> MutexGuard<'_, Option<u64>> {
        self.place.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        self.leave_idle();
        metrics::gauge!(HTTP_CONNECTIONS).decrement(1);
    }
}

/// While it is there its connection is not idle.
pub(super) struct Busy(Arc<Seat>);

impl Drop for Busy {
    fn drop(&mut self) {
        let place = self.0.connections.idle().add(&self.0.wanted);
        *self.0.place() = Some(place);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn the_longest_idle_makes_room_and_the_busy_stay() {
        let connections = Connections::new(3);
        let [first, second, third] =
            [connections.seat().await, connections.seat().await, connections.seat().await]
                .map(Arc::new);
        let busy = first.busy();
        drop(second.busy());
        let fourth = connections.seat();
        let leaving = async {
            third.wanted().await;
            assert!(!first.wanted.is_cancelled() && !second.wanted.is_cancelled());
            drop(third);
        };
        let (fourth, ()) = tokio::join!(fourth, leaving);
        drop(fourth);
        drop((busy, first));
        assert_eq!(connections.room.available_permits(), 2);
        assert_eq!(connections.idle().since.len(), 1);
    }
}
