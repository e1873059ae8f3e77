//! Parse throughput on a node with 10,000 Services x 5 endpoints: `cargo bench --bench parse`.

#[path = "support/kube_node.rs"]
mod kube_node;

use divan::Bencher;
use divan::counter::BytesCount;
use nfwhy_parsers::Family;
use nfwhy_parsers::iptables::{rule, save};

fn main() {
    divan::main();
}

fn large() -> String {
    let mut out = Vec::new();
    kube_node::iptables_save(10_000, 5, &mut out).expect("memory");
    String::from_utf8(out).expect("the generator writes ASCII")
}

/// Tables, chains and line spans.
#[divan::bench(sample_count = 10)]
fn index(b: Bencher) {
    let text = large();
    b.counter(BytesCount::of_str(&text))
        .bench(|| save::index(divan::black_box(&text)));
}

/// Every rule of every chain, typed.
#[divan::bench(sample_count = 10)]
fn all_rules(b: Bencher) {
    let text = large();
    b.counter(BytesCount::of_str(&text)).bench(|| {
        let set = save::index(divan::black_box(&text)).value;
        let mut rules = 0usize;
        for table in &set.tables {
            for chain in &table.chains {
                for at in &chain.rules {
                    let (r, d) = rule::parse_rule(&text, *at, set.form, Family::V4);
                    assert!(d.is_empty());
                    divan::black_box(&r);
                    rules += 1;
                }
            }
        }
        rules
    });
}
