//! t
use sso_model_leases::config::*; use sso_model_leases::search::*; use sso_model_leases::*;
use sso_model_leases::rules::*; use sso_model_leases::settings::*;
use std::time::*;
#[test] fn probe() {
  for r in Rule::ALL { if ![Rule::AnswerTimeline, Rule::OneBeatAtATime, Rule::ConfirmThisTimeline].contains(&r) && (r as u32) < Rule::UnionOnReload as u32 { continue; } println!("{}", r.name());
    let s = setting(r);
    let t=Instant::now();
    match shortest(&s.broken(s.mode, r), s.promise, Duration::from_secs(25)) {
      None => println!("== {} HOLDS {:?}", r.name(), t.elapsed()),
      Some(p) => { println!("== {} fails in {} steps {:?}", r.name(), p.len(), t.elapsed());
        for l in Leases::new(s.broken(s.mode,r)).tell(&p) { println!("   {l}"); } }
    }
  }
}
