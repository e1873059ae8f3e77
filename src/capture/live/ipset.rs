//! To come.

pub(super) fn read(_reading: &mut super::Reading) {}
