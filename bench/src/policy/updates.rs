//! How long it takes until workers work by a change.

use anyhow::{Result, ensure};

use super::{
    changes::{Change, Changing},
    cluster::Cluster,
    contender::FLOOD,
    linear::Linear,
    live::Live,
};
use crate::report::Row;

/// Makes `count` changes of each kind, in turn, and prints how long each takes from the control plane's sending it to
/// the acknowledgement. In the end the tables must say what the linear list says of the changed cluster.
///
/// # Errors
///
/// When a change is refused, or a verdict differs.
pub(super) fn report(cluster: Cluster, count: usize) -> Result<()> {
    let family = if cluster.v6 { "IPv6" } else { "IPv4" };
    let mut live = Live::start()?;
    live.publish(true, cluster.operations())?;
    let mut changing = Changing::new(cluster);
    let mut rows: Vec<(Change, Row)> = Change::ALL.map(|c| (c, Row::new(c.name()))).into();
    for _ in 0..count {
        for (change, row) in &mut rows {
            let operations = changing.change(*change);
            row.push(live.publish(false, operations)?.as_secs_f64() * 1e3);
        }
    }
    verify(&live, &changing.cluster)?;
    println!(
        "{family}, the big cluster, one thing changed: milliseconds from the control plane's sending it to the \
         acknowledgement that every worker works by it; {count} random changes of each kind\n"
    );
    println!("| what | median | highest |\n|---|---|---|");
    for (change, row) in &rows {
        let (_, median, highest) = row.spread();
        println!("| {} | {median:.2} | {highest:.2} |", change.name());
    }
    println!();
    Ok(())
}

fn verify(live: &Live, cluster: &Cluster) -> Result<()> {
    let (tables, list) = (live.tables(), Linear::new(cluster));
    let differs = |c: &super::cluster::Connection| {
        let decision = tables.policy.decide(c.src, c.dst, c.protocol, c.dst_port);
        decision.is_allowed() != list.allows(*c)
    };
    let wrong = cluster.connections(FLOOD).into_iter().filter(differs).count();
    ensure!(
        wrong == 0,
        "after the changes, {wrong} of {FLOOD} verdicts differ from the linear list's"
    );
    Ok(())
}
