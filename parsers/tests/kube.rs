//! Objects of Kubernetes, as JSON and as the tables of `kubectl get`.

use nfwhy_parsers::Proto;
use nfwhy_parsers::kube::{
    ContainerPort, Objects, Policy, ServicePort, ServiceType, TargetPort, parse, table,
};
use std::net::IpAddr;

fn ip(text: &str) -> IpAddr {
    text.parse().expect("an address")
}

fn whole(text: &str) -> Objects {
    let parsed = parse(text);
    assert_eq!(parsed.diagnostics, []);
    parsed.value
}

fn rows(text: &str) -> Objects {
    let parsed = table(text);
    assert_eq!(parsed.diagnostics, []);
    parsed.value
}

const LIST: &str = include_str!("data/kube-list.json");
const TABLES: &str = include_str!("data/kube-tables.txt");

#[test]
fn a_service_is_read_with_all_that_says_something_of_packets() {
    let all = whole(LIST);
    let names: Vec<String> = all.services.iter().map(|s| s.meta.full()).collect();
    assert_eq!(names, ["shop/front", "shop/headless", "shop/elsewhere"]);
    let s = &all.services[0];
    assert_eq!(s.kind, ServiceType::LoadBalancer);
    assert_eq!(s.cluster_ips, [ip("10.96.0.20"), ip("fd00:10:96::20")]);
    assert_eq!(s.external_ips, [ip("192.0.2.9")]);
    assert_eq!(s.ingress_ips, [ip("198.51.100.7")]);
    assert_eq!(s.external_policy, Some(Policy::Local));
    assert_eq!(s.internal_policy, Some(Policy::Local));
    assert!(s.affinity && !s.listed);
    assert_eq!(s.source_ranges, ["10.0.0.0/8"]);
    assert_eq!(s.health_port, Some(30999));
    assert_eq!(s.selector, [("app".to_owned(), "front".to_owned())]);
    assert_eq!(
        s.ports,
        [
            ServicePort {
                name: "http".into(),
                proto: Proto::TCP,
                port: 80,
                node_port: Some(30080),
                target: Some(TargetPort::Name("web".into())),
            },
            ServicePort {
                name: "dns".into(),
                proto: Proto::UDP,
                port: 53,
                node_port: None,
                target: Some(TargetPort::Number(5353)),
            },
        ]
    );
    assert_eq!(all.services[1].cluster_ips, [] as [IpAddr; 0]);
    assert_eq!(all.services[2].kind, ServiceType::ExternalName);
}

#[test]
fn an_object_has_the_line_of_its_name_and_a_policy_its_own() {
    let all = whole(LIST);
    let line = |n: u32| LIST.lines().nth(n as usize - 1).unwrap_or_default().trim();
    let s = &all.services[0];
    assert_eq!(line(s.meta.line), r#""name": "front","#);
    assert_eq!(
        line(s.external_policy_line),
        r#""externalTrafficPolicy": "Local","#
    );
    assert_eq!(line(all.nodes[0].meta.line), r#""name": "worker-2""#);
    let text = s.meta.span.of(LIST);
    assert!(text.starts_with('{') && text.ends_with('}') && text.contains("30999"));
}

#[test]
fn endpoints_say_who_is_ready_and_whose_they_are() {
    let all = whole(LIST);
    let [front, headless, legacy] = &all.slices[..] else {
        panic!("{:?}", all.slices);
    };
    assert_eq!((front.service.as_str(), front.legacy), ("front", false));
    let [a, b] = &front.endpoints[..] else {
        panic!("{front:?}");
    };
    assert_eq!((a.ready, a.serving, a.terminating), (false, true, true));
    assert_eq!(a.pod, Some(("shop".into(), "front-0".into())));
    // discovery/v1: what is not written is ready.
    assert_eq!((b.ready, b.serving, b.terminating), (true, true, false));
    assert!(b.hinted && !a.hinted);
    assert_eq!(front.ports[1].port, Some(5353));
    // `"endpoints": null`, and the Service by its owner.
    assert_eq!(headless.service, "headless");
    assert_eq!(headless.endpoints, []);
    assert!(legacy.legacy);
    let ready: Vec<bool> = legacy.endpoints.iter().map(|e| e.ready).collect();
    assert_eq!(ready, [true, false]);
}

#[test]
fn pods_have_addresses_ports_and_a_node() {
    let all = whole(LIST);
    let [front, proxy, done] = &all.pods[..] else {
        panic!("{:?}", all.pods);
    };
    assert_eq!(front.ips, [ip("10.244.2.5"), ip("fd00:10:244:2::5")]);
    assert_eq!(front.node.as_deref(), Some("worker-2"));
    assert_eq!(
        front.ports,
        [
            ContainerPort {
                name: "web".into(),
                proto: Proto::TCP,
                port: 8080,
                host_port: None,
            },
            ContainerPort {
                name: String::new(),
                proto: Proto::TCP,
                port: 443,
                host_port: Some(8443),
            },
        ]
    );
    assert_eq!(front.host_network, Some(false));
    assert_eq!(proxy.host_network, Some(true));
    // Another pod may have its address by now.
    assert!(done.ended && !front.ended);
    assert_eq!(
        all.nodes[0].pod_cidrs,
        ["10.244.2.0/24", "fd00:10:244:2::/64"]
    );
    assert_eq!(all.nodes[0].external_ips, [ip("198.51.100.2")]);
}

#[test]
fn items_of_a_typed_list_need_no_kind() {
    let text = r#"{"kind":"PodList","apiVersion":"v1","metadata":{},"items":[{"metadata":{"name":"a","namespace":"b"},"spec":{},"status":{"podIP":"10.0.0.1"}}]}"#;
    assert_eq!(whole(text).pods.len(), 1);
}

#[test]
fn several_documents_and_prompts_between_them_are_read() {
    let one = r#"{"apiVersion":"v1","kind":"Node","metadata":{"name":"a"}}"#;
    let text = format!(
        "# kubectl get node a -o json\n{one}\n# kubectl get node -o jsonpath='{{.items[0]}}'\n{one}"
    );
    let lines: Vec<u32> = whole(&text).nodes.iter().map(|n| n.meta.line).collect();
    assert_eq!(lines, [2, 4]);
}

#[test]
fn an_object_that_is_not_as_it_should_be_leaves_the_others() {
    let text = r#"{"kind":"List","items":[{"kind":"Service","metadata":{"name":"a"},"spec":{"ports":[{"port":"x"}]}},
{"kind":"Node","metadata":{"name":"b"}}]}"#;
    let parsed = parse(text);
    assert_eq!(parsed.value.nodes.len(), 1);
    let [d] = &parsed.diagnostics[..] else {
        panic!("{:?}", parsed.diagnostics);
    };
    assert!(d.message.contains("this Service"), "{}", d.message);
}

#[test]
fn a_list_cut_off_says_so() {
    let end = LIST.len() - 400;
    let parsed = parse(&LIST[..end]);
    assert_eq!(parsed.value.services.len(), 3);
    assert_eq!(parsed.diagnostics.len(), 1);
    assert!(parsed.diagnostics[0].help.is_some());
}

#[test]
fn a_table_of_services() {
    let all = rows(TABLES);
    let names: Vec<String> = all.services.iter().map(|s| s.meta.full()).collect();
    assert_eq!(
        names,
        [
            "default/kubernetes",
            "default/ng-svc",
            "shop/pending",
            "shop/headless",
            "shop/node",
            "shop/out"
        ]
    );
    let s = &all.services[1];
    assert_eq!(s.ingress_ips, [ip("172.19.100.2")]);
    assert_eq!((s.ports[0].port, s.ports[0].node_port), (80, Some(31778)));
    assert_eq!(s.external_policy, None);
    let ports = |i: usize| all.services[i].ports.len();
    assert_eq!((ports(2), ports(5)), (2, 0));
    assert_eq!(all.services[2].ingress_ips, [] as [IpAddr; 0]);
    assert_eq!(all.services[3].cluster_ips, [] as [IpAddr; 0]);
    assert_eq!(
        all.services[4].external_ips,
        [ip("192.0.2.9"), ip("192.0.2.10")]
    );
    assert_eq!(all.services[4].ports[0].proto, Proto::UDP);
}

#[test]
fn tables_of_pods_nodes_and_endpoints() {
    let all = rows(TABLES);
    let pods: Vec<_> = all.pods.iter().map(|p| (p.ips.len(), p.ended)).collect();
    assert_eq!(pods, [(1, false), (1, false), (1, true), (0, false)]);
    assert_eq!(all.pods[0].node.as_deref(), Some("cy01-ceph142"));
    assert_eq!(all.nodes[1].internal_ips, [ip("10.10.1.142")]);
    assert_eq!(all.nodes[1].external_ips, [ip("203.0.113.4")]);
    let slices: Vec<_> = all
        .slices
        .iter()
        .map(|s| (s.service.as_str(), s.endpoints.len(), s.complete))
        .collect();
    assert_eq!(
        slices,
        [
            ("kubernetes", 3, true),
            ("ng-svc", 3, false),
            ("empty", 0, true),
            ("ng-svc", 3, true),
            ("empty", 0, true),
        ]
    );
}

#[test]
fn a_pasted_session_gives_the_namespace_of_the_command() {
    let text = "\
Описание сервиса

kubectl -n stacklight get svc  iam-proxy-alertmanager
NAME                     TYPE           CLUSTER-IP       EXTERNAL-IP   PORT(S)         AGE
iam-proxy-alertmanager   LoadBalancer   10.232.100.189   10.80.8.102   443:30358/TCP   42d

Тут виден внешний адрес сервиса - 10.80.8.102
# kubectl get svc ng-svc
NAME     TYPE           CLUSTER-IP      EXTERNAL-IP    PORT(S)        AGE
ng-svc   LoadBalancer   10.233.36.144   172.19.100.2   80:31778/TCP   16s
당연한 결과이겠지만";
    let names: Vec<String> = rows(text).services.iter().map(|s| s.meta.full()).collect();
    assert_eq!(names, ["stacklight/iam-proxy-alertmanager", "ng-svc"]);
}

#[test]
fn columns_that_lost_their_blanks_are_told_by_their_number() {
    let text = "\
NAME READY STATUS RESTARTS AGE IP NODE NOMINATED NODE READINESS GATES
pod/a-1 1/1 Running 3 (5h ago) 4s 10.233.98.39 node-1 <none> <none>
";
    let all = rows(text);
    let p = &all.pods[0];
    assert_eq!(
        (p.meta.name.as_str(), p.ips.as_slice(), p.node.as_deref()),
        ("a-1", &[ip("10.233.98.39")][..], Some("node-1"))
    );
}

#[test]
fn tables_of_other_things_are_not_read() {
    let text = "\
NAME   READY   UP-TO-DATE   AVAILABLE   AGE
web    3/3     3            3           4d
";
    assert!(rows(text).is_empty());
}

#[test]
fn rows_left_out_are_reported() {
    let text = "\
NAME   STATUS   ROLES    AGE   VERSION
a      Ready    <none>   4d    v1.30.1
...
c      Ready    <none>   4d    v1.30.1
";
    let parsed = table(text);
    assert_eq!(parsed.value.nodes.len(), 2);
    assert_eq!(parsed.diagnostics.len(), 1);
}

const ARTICLE: &str = "\
kubectl -n stacklight get svc  alertmanager
NAME           TYPE           CLUSTER-IP       EXTERNAL-IP   PORT(S)         AGE
alertmanager   LoadBalancer   10.232.100.189   10.80.8.102   443:30358/TCP   42d

selector

 selector:
    app.kubernetes.io/instance: alertmanager
    app.kubernetes.io/name: iam-proxy

kubectl get pod -A -l app.kubernetes.io/name=iam-proxy,app.kubernetes.io/instance=alertmanager -o wide
NAMESPACE    NAME                 READY   STATUS    RESTARTS   AGE   IP                NODE           NOMINATED NODE   READINESS GATES
stacklight   alertmanager-d9czm   1/1     Running   0          42d   192.168.105.143   stacklight-1   <none>           <none>

ports

  - name: https
    nodePort: 30358
    port: 443
    protocol: TCP
    targetPort: https

kubectl get pod -A -l app.kubernetes.io/name=iam-proxy,app.kubernetes.io/instance=alertmanager -o yaml \\
    | yq '.items[].spec.containers[].ports'
- containerPort: 4180
  name: https
  protocol: TCP
# kubectl patch svc alertmanager  -p '{\"spec\":{\"externalTrafficPolicy\":\"Local\"}}'
";

#[test]
fn pieces_around_tables_are_taken_where_it_is_plain_whose_they_are() {
    let all = rows(ARTICLE);
    let s = &all.services[0];
    assert_eq!(s.meta.full(), "stacklight/alertmanager");
    assert_eq!(s.ports[0].name, "https");
    assert_eq!(s.ports[0].target, Some(TargetPort::Name("https".into())));
    assert_eq!(s.selector.len(), 2);
    assert_eq!(s.external_policy, Some(Policy::Local));
    assert_eq!(s.external_policy_line, 28);
    let p = &all.pods[0];
    assert_eq!(p.labels.len(), 2);
    let ports: Vec<_> = p.ports.iter().map(|p| (p.name.as_str(), p.port)).collect();
    assert_eq!(ports, [("https", 4180)]);
    // With two Services a piece without a name or a NodePort may be either's.
    let two = ARTICLE.replace(
        "\n\nselector\n",
        "\nother          ClusterIP      10.232.100.190   <none>        443/TCP         42d\n\nselector\n",
    );
    let all = rows(&two.replace("    nodePort: 30358\n", ""));
    assert_eq!(all.services.len(), 2);
    // The selector stands below a command that names the first one.
    let selectors: Vec<usize> = all.services.iter().map(|s| s.selector.len()).collect();
    assert_eq!(selectors, [2, 0]);
    assert!(all.services.iter().all(|s| s.ports[0].target.is_none()));
    assert_eq!(all.services[0].external_policy, Some(Policy::Local));
    assert_eq!(all.services[1].external_policy, None);
}
