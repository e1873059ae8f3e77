//! Several packets between two readings of the counters, each with several ends that would look alike from outside: is there an end
//! for each so that all the rules they count are the rules that were counted?

use super::spec::Counters;

/// Ends tried before the question is given up; the packets are then sent again one by one.
const MOST: usize = 20_000;

/// One end per packet, as positions in `packets`, whose hits make up `counted` exactly.
pub fn fit(packets: &[Vec<Counters>], counted: &Counters) -> Option<Vec<usize>> {
    let mut chosen = Vec::new();
    let mut tried = 0;
    search(packets, &mut counted.clone(), &mut chosen, &mut tried).then_some(chosen)
}

fn search(
    packets: &[Vec<Counters>],
    left: &mut Counters,
    chosen: &mut Vec<usize>,
    tried: &mut usize,
) -> bool {
    let Some((ends, rest)) = packets.split_first() else {
        return left.values().all(|n| *n == 0);
    };
    for (i, end) in ends.iter().enumerate() {
        *tried += 1;
        if *tried > MOST {
            return false;
        }
        if end
            .iter()
            .any(|(rule, n)| left.get(rule).is_none_or(|have| have < n))
        {
            continue;
        }
        for (rule, n) in end {
            *left.entry(rule.clone()).or_default() -= n;
        }
        chosen.push(i);
        if search(rest, left, chosen, tried) {
            return true;
        }
        chosen.pop();
        for (rule, n) in end {
            *left.entry(rule.clone()).or_default() += n;
        }
    }
    false
}
