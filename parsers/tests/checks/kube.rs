//! Objects of Kubernetes.

use super::{place, reports};
use nfwhy_parsers::Parsed;
use nfwhy_parsers::kube::{Meta, Objects, parse, table};

fn objects(text: &str, parsed: &Parsed<Objects>) {
    reports(text, &parsed.diagnostics);
    let o = &parsed.value;
    let metas = (o.services.iter().map(|x| &x.meta))
        .chain(o.slices.iter().map(|x| &x.meta))
        .chain(o.pods.iter().map(|x| &x.meta))
        .chain(o.nodes.iter().map(|x| &x.meta));
    // Finding the line of each is work.
    for Meta {
        name, line, span, ..
    } in metas.take(64)
    {
        place(text, *line, *span);
        assert!(*line > 0, "{name} in {text:?}");
    }
}

pub fn kube(text: &str) {
    objects(text, &parse(text));
}

pub fn kube_table(text: &str) {
    objects(text, &table(text));
}
