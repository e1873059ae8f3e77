//! Nodes of many seeds, several at a time.

use super::wanted::knob;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc;

/// Hands the seeds of `nodes` nodes to `NFWHY_LAB_THREADS` threads, and what each comes to, in no order, to `each`. A node is a namespace, and a
/// namespace is its thread's: while one waits for a packet, the others go on. `NFWHY_LAB_NODE` is one node by the number that reports name.
pub fn nodes<T: Send>(nodes: u64, one: impl Fn(u64) -> T + Sync, mut each: impl FnMut(T)) {
    let (first, alone) = (knob("NFWHY_LAB_SEED", 1), knob("NFWHY_LAB_NODE", 0));
    let next = AtomicU64::new(0);
    let (send, results) = mpsc::channel();
    std::thread::scope(|scope| {
        for _ in 0..knob("NFWHY_LAB_THREADS", 4) {
            let (send, next, one) = (send.clone(), &next, &one);
            scope.spawn(move || {
                loop {
                    let n = next.fetch_add(1, Ordering::Relaxed);
                    if n >= nodes {
                        return;
                    }
                    let seed = match alone {
                        0 => first.wrapping_mul(1_000_003).wrapping_add(n),
                        alone => alone,
                    };
                    if send.send(one(seed)).is_err() {
                        return;
                    }
                }
            });
        }
        drop(send);
        for result in results {
            each(result);
        }
    });
}
