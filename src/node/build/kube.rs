//! Objects of Kubernetes: of several texts of one object the later one counts, a table never before the object itself.

use super::super::FileId;
use super::super::kube::{Kube, Of};
use super::Builder;
use nfwhy_parsers::kube::{KubeNode, Meta, Objects, Pod, Service, Slice, parse, table};
use std::collections::HashMap;

impl<'a> Builder<'a> {
    pub(super) fn kube(
        &mut self,
        objects: &[(FileId, &'a str)],
        tables: &[(FileId, &'a str)],
    ) -> Kube {
        let (mut services, mut pods) = (Merged::default(), Merged::default());
        let (mut nodes, mut slices) = (Merged::default(), Slices::default());
        let mut add = |file: FileId, all: Objects| {
            for s in all.services {
                services.add(file, s);
            }
            for p in all.pods {
                pods.add(file, p);
            }
            for n in all.nodes {
                nodes.add(file, n);
            }
            for s in all.slices {
                slices.add(file, s);
            }
        };
        for (file, text) in objects {
            add(*file, self.take(*file, parse(text)));
        }
        for (file, text) in tables {
            add(*file, self.take(*file, table(text)));
        }
        Kube::new(services.list, slices.settled(), pods.list, nodes.list)
    }
}

/// What can be captured twice.
trait Object {
    fn meta(&self) -> &Meta;

    /// How much the text shows of it.
    fn rank(&self) -> (bool, bool);

    /// Whether another of this name may be the same, where one text does not show the namespace.
    fn alike(&self, other: &Self) -> bool;
}

impl Object for Service {
    fn meta(&self) -> &Meta {
        &self.meta
    }

    fn rank(&self) -> (bool, bool) {
        (!self.listed, true)
    }

    fn alike(&self, other: &Self) -> bool {
        self.cluster_ips
            .iter()
            .any(|a| other.cluster_ips.contains(a))
    }
}

impl Object for Pod {
    fn meta(&self) -> &Meta {
        &self.meta
    }

    fn rank(&self) -> (bool, bool) {
        // Without `-o wide` a table shows no addresses.
        (!self.listed, !self.ips.is_empty())
    }

    fn alike(&self, other: &Self) -> bool {
        self.ips.is_empty()
            || other.ips.is_empty()
            || self.ips.iter().any(|a| other.ips.contains(a))
    }
}

impl Object for KubeNode {
    fn meta(&self) -> &Meta {
        &self.meta
    }

    fn rank(&self) -> (bool, bool) {
        (!self.pod_cidrs.is_empty(), !self.internal_ips.is_empty())
    }

    fn alike(&self, _: &Self) -> bool {
        false
    }
}

struct Merged<T> {
    list: Vec<Of<T>>,
    known: HashMap<(String, String), usize>,
    by_name: HashMap<String, Vec<usize>>,
}

impl<T> Default for Merged<T> {
    fn default() -> Self {
        Self {
            list: Vec::new(),
            known: HashMap::new(),
            by_name: HashMap::new(),
        }
    }
}

/// So many of one name are looked at for the one that is meant without its namespace.
const NAMESAKES: usize = 256;

impl<T: Object> Merged<T> {
    fn add(&mut self, file: FileId, object: T) {
        let meta = object.meta();
        let key = (meta.namespace.clone(), meta.name.clone());
        let twin = self.known.get(&key).copied().or_else(|| {
            let same = |i: &usize| {
                self.list.get(*i).is_some_and(|old| {
                    let unsaid = old.object.meta().namespace.is_empty() || key.0.is_empty();
                    unsaid && old.object.alike(&object)
                })
            };
            let namesakes = self.by_name.get(&key.1)?;
            namesakes.iter().take(NAMESAKES).copied().find(|i| same(i))
        });
        if let Some((i, old)) = twin.and_then(|i| Some((i, self.list.get_mut(i)?))) {
            let shows_less = key.0.is_empty() && !old.object.meta().namespace.is_empty();
            if old.object.rank() <= object.rank() && !shows_less {
                *old = Of { object, file };
                self.known.insert(key, i);
            }
            return;
        }
        let i = self.list.len();
        self.by_name.entry(key.1.clone()).or_default().push(i);
        self.known.insert(key, i);
        self.list.push(Of { object, file });
    }
}

/// The subsets of one Endpoints are several records of one object.
#[derive(Default)]
struct Slices {
    list: Vec<Of<Slice>>,
    known: HashMap<(String, String, bool), Vec<usize>>,
    gone: Vec<usize>,
}

impl Slices {
    fn add(&mut self, file: FileId, slice: Slice) {
        let m = &slice.meta;
        let key = (m.namespace.clone(), m.name.clone(), slice.legacy);
        let places = self.known.entry(key).or_default();
        let object = |i: usize| self.list.get(i).map(|o| (o.file, o.object.meta.span));
        // All places are of one object: the first one tells.
        let first = places.first().and_then(|i| object(*i));
        if first.is_some_and(|o| o != (file, slice.meta.span)) {
            self.gone.append(places);
        }
        places.push(self.list.len());
        self.list.push(Of {
            object: slice,
            file,
        });
    }

    fn settled(mut self) -> Vec<Of<Slice>> {
        self.gone.sort_unstable();
        let mut at = 0;
        let gone = self.gone;
        self.list.retain(|_| {
            at += 1;
            gone.binary_search(&(at - 1)).is_err()
        });
        self.list
    }
}
