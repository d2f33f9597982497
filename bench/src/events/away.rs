//! The brokers away: what registrations notice, and how quickly the backlog drains afterwards.

use anyhow::Result;

use super::{
    World, drain,
    prompt::{CLIENTS, Register},
};
use crate::{
    Plan,
    load::closed_loop,
    report::{Report, Series},
};

/// Registers with and without brokers in turn. They hang, as behind a network that is cut: one that was
/// started anew takes seconds to compile what it runs, and would be measured instead of us. `drained`
/// are the rates of a backlog without an outage.
pub(super) async fn measure(
    world: &mut World,
    plan: &Plan,
    report: &mut Report,
    drained: &Series,
) -> Result<()> {
    let (site, sql) = world.site(plan, "away").await?;
    let server = site.serve().await?;
    let client = |_| Register(server.http.clone());
    let (mut there, mut away) = (Series::default(), Series::default());
    let mut after = Series::default();
    for counts in plan.turns() {
        let with = closed_loop(CLIENTS, plan.run, server.pid(), client).await?;
        for broker in world.kafka.ids() {
            world.kafka.freeze(broker)?;
        }
        let without = closed_loop(CLIENTS, plan.run, server.pid(), client).await?;
        drain::fill(&sql, drain::size(plan)).await?;
        for broker in world.kafka.ids() {
            world.kafka.thaw(broker)?;
        }
        let rate = drain::drain(&sql, drain::size(plan)).await?;
        if counts {
            there.push(with.p99_millis);
            away.push(without.p99_millis);
            after.push(rate);
        }
    }
    report.goal(
        "registration p99, brokers away / there",
        "ratio",
        "<= 1.10",
        &away.over(&there),
    );
    report.figure("outbox drained after an outage", "1/s", &after);
    report.goal(
        "outbox drained after an outage / drained alone",
        "ratio",
        ">= 0.80",
        &after.over(drained),
    );
    Ok(())
}
