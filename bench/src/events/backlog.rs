//! Longer and longer backlogs: an outbox that was not drained for hours must not drain slower.

use anyhow::Result;

use super::{World, drain};
use crate::{
    Plan,
    report::{Curve, Report},
};

/// Drains backlogs of the plan's sizes in turn.
pub(crate) async fn measure(plan: &Plan, report: &mut Report) -> Result<()> {
    let world = World::start().await?;
    let (site, sql) = world.site(plan, "backlog").await?;
    let mut curve = Curve::new("outbox drained to Kafka", "1/s", "events waiting");
    for counts in plan.turns() {
        for &size in &plan.backlogs {
            drain::fill(&sql, size.into()).await?;
            let server = site.serve().await?;
            let rate = drain::drain(&sql, size.into()).await?;
            drop(server);
            if counts {
                curve.push(size, rate);
            }
        }
    }
    let growth = curve.growth();
    report.curve(curve);
    report.figure("the longest backlog / the shortest, rate", "ratio", &growth);
    Ok(())
}
