//! Which branch to take at each fork, in depth-first order.

/// The choices of the current walk, and which remain.
#[derive(Debug, Default)]
pub(super) struct Choices {
    taken: Vec<(usize, usize)>,
    next: usize,
}

impl Choices {
    /// Starts a walk from the beginning.
    pub(super) fn rewind(&mut self) {
        self.next = 0;
    }

    /// The branch to take of `options`, from 0.
    pub(super) fn choose(&mut self, options: usize) -> usize {
        if self.next == self.taken.len() {
            self.taken.push((0, options));
        }
        let (branch, _) = self.taken[self.next];
        self.next += 1;
        branch
    }

    /// Goes on to the next combination; false when all have been taken.
    pub(super) fn advance(&mut self) -> bool {
        self.taken.truncate(self.next);
        while let Some((branch, options)) = self.taken.pop() {
            if branch + 1 < options {
                self.taken.push((branch + 1, options));
                return true;
            }
        }
        false
    }
}

#[cfg(test)]
mod tests {
    use super::Choices;

    #[test]
    fn every_combination_is_taken_once() {
        let mut c = Choices::default();
        let mut seen = Vec::new();
        loop {
            c.rewind();
            let a = c.choose(2);
            // The second fork exists on one side only.
            let b = if a == 1 { c.choose(3) } else { 9 };
            seen.push((a, b));
            if !c.advance() {
                break;
            }
        }
        assert_eq!(seen, [(0, 9), (1, 0), (1, 1), (1, 2)]);
    }
}
