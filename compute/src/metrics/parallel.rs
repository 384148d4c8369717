//! Independent pieces of work on all cores.

use std::num::NonZero;
use std::sync::{Mutex, PoisonError};
use std::thread;

/// A piece of work that keeps its own result.
pub(super) type Job<'a> = Box<dyn FnOnce() + Send + 'a>;

/// Runs jobs, the first ones first, on as many threads as there are cores.
pub(super) fn run(jobs: Vec<Job<'_>>) {
    let threads = thread::available_parallelism().map_or(1, NonZero::get).min(jobs.len());
    let queue = Mutex::new(jobs.into_iter());
    let next = || queue.lock().unwrap_or_else(PoisonError::into_inner).next();
    let work = || {
        while let Some(job) = next() {
            job();
        }
    };
    thread::scope(|scope| {
        for _ in 1..threads {
            scope.spawn(work);
        }
        work();
    });
}

/// What a function makes of each item, in their order, side by side.
pub(super) fn map<T: Send, R: Send>(
    items: impl Iterator<Item = T>,
    make: impl Fn(T) -> R + Sync,
) -> Vec<R> {
    let items: Vec<T> = items.collect();
    let mut made: Vec<Option<R>> = items.iter().map(|_| None).collect();
    let make = &make;
    let jobs = items.into_iter().zip(&mut made);
    run(jobs.map(|(item, place)| Box::new(move || *place = Some(make(item))) as Job).collect());
    made.into_iter().flatten().collect()
}
