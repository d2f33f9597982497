//! What is counted and measured. All labels are of closed sets.

use metrics::{Unit, counter, describe_counter, describe_gauge, gauge};

use crate::ledger::{Checked, Posted};

const CREDITS: &str = "loyalty_credits_total";
const ORDERS: &str = "loyalty_orders_total";
const BALANCE: &str = "loyalty_ledger_balance";
const UNBALANCED: &str = "loyalty_ledger_unbalanced";
const CHECKS: &str = "loyalty_ledger_checks_total";

/// Values of the label `outcome` of orders.
const OUTCOMES: [&str; 6] = [
    "done",
    "insufficient",
    "too_much",
    "unknown",
    "repeated",
    "key_reused",
];

/// Describes them and makes them exist at 0.
pub(crate) fn register() {
    describe_counter!(
        CREDITS,
        Unit::Count,
        "Registrations by what became of their points: credited, known (credited before), too_much (for \
         the account, and parked), forgotten (their user is)."
    );
    describe_counter!(
        ORDERS,
        Unit::Count,
        "Deposits (d) and withdrawals (w) by what became of them."
    );
    describe_gauge!(BALANCE, "The sum of all entries of the ledger: always 0.");
    describe_gauge!(
        UNBALANCED,
        "Transfers that do not sum to 0, and accounts whose balance is not the sum of their entries: \
         always 0."
    );
    describe_counter!(
        CHECKS,
        Unit::Count,
        "Checks of the ledger by whether they were done. One that failed says nothing of the ledger."
    );
    for outcome in ["done", "failed"] {
        counter!(CHECKS, "outcome" => outcome).absolute(0);
    }
    for outcome in ["credited", "known", "too_much", "forgotten"] {
        counter!(CREDITS, "outcome" => outcome).absolute(0);
    }
    for outcome in OUTCOMES {
        for operation in ["d", "w"] {
            counter!(ORDERS, "operation" => operation, "outcome" => outcome).absolute(0);
        }
    }
    gauge!(BALANCE).set(0.0);
    gauge!(UNBALANCED).set(0.0);
}

pub(crate) fn credit(outcome: &'static str) {
    counter!(CREDITS, "outcome" => outcome).increment(1);
}

pub(crate) fn order(operation: &'static str, posted: &Posted) {
    let outcome = match posted {
        Posted::Done { repeated: true, .. } => "repeated",
        Posted::Done { .. } => "done",
        Posted::Insufficient => "insufficient",
        Posted::TooMuch => "too_much",
        Posted::Unknown => "unknown",
        Posted::KeyReused => "key_reused",
    };
    counter!(ORDERS, "operation" => operation, "outcome" => outcome).increment(1);
}

#[expect(
    clippy::cast_precision_loss,
    reason = "0, or an alarm of about this size"
)]
pub(crate) fn checked(checked: &Checked) {
    counter!(CHECKS, "outcome" => "done").increment(1);
    gauge!(BALANCE).set(checked.sum as f64);
    gauge!(UNBALANCED).set((checked.transfers + checked.accounts) as f64);
}

pub(crate) fn unchecked() {
    counter!(CHECKS, "outcome" => "failed").increment(1);
}
