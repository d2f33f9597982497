//! t
use sso_model_leases::config::*; use sso_model_leases::search::*;
#[test] fn probe() {
  for mode in [Mode::Synchronous, Mode::Asynchronous, Mode::Quorum] {
    for (n,c) in [("calm", Config::calm(mode)), ("failover", Config::failover(mode))] {
    let t=std::time::Instant::now();
    let e = explore(&c, 1);
    println!("{mode:?} {n} {e:?} {:?}", t.elapsed());
    }
  }
}
