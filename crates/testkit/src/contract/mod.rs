//! What every store must do: each rule of the ports' documentation, as a test that any store can
//! run. See [`store_contract!`](crate::store_contract).
//!
//! A rule takes an empty store and panics where it is broken.

// Rules are tests that live in a library, so that several crates can run them.
#![expect(
    clippy::unwrap_used,
    clippy::missing_panics_doc,
    reason = "a broken rule panics, as in a test"
)]

/// Runs one statement as a transaction and commits it.
macro_rules! commit {
    ($store:expr, $tx:ident => $step:expr) => {{
        let mut $tx = $store.begin().await.unwrap();
        let result = $step.await.unwrap();
        $tx.commit().await.unwrap();
        result
    }};
}

pub mod audit;
pub mod events;
mod given;
pub mod keys;
pub mod lifecycle;
pub mod lives;
pub mod logins;
pub mod networks;
pub mod outbox;
pub mod races;
pub mod revocations;
pub mod rotation;
pub mod sessions;
pub mod transactions;
pub mod users;

pub use given::Given;

/// Makes a test of each rule. `$make` is the path of a function that returns an empty store as
/// `Arc<dyn Store>`, and whatever must live as long as it. The calling crate needs tokio's `macros`
/// and `rt-multi-thread`.
#[macro_export]
macro_rules! store_contract {
    ($make:path) => {
        $crate::store_contract! { @rules $make;
            transactions {
                a_dropped_transaction_leaves_nothing
                a_committed_transaction_is_visible_to_every_read
                what_is_not_committed_is_seen_by_nobody
                a_transaction_is_over_with_its_first_failed_statement
                a_registration_is_a_user_with_his_event_and_his_session
                an_empty_transaction_commits
                the_store_answers
            }
            users {
                a_user_comes_back_as_he_was_stored
                an_unknown_user_is_none
                an_address_is_taken_in_every_spelling_of_its_case
                an_id_is_used_once
                a_change_raises_the_version_and_some_end_the_sessions
                setting_what_is_set_changes_nothing
                a_password_is_set_only_at_the_version_that_was_seen
                changes_of_an_unknown_user_are_none
                users_are_listed_by_id_in_pages
                a_rehash_replaces_only_the_hash_that_was_verified
            }
            sessions {
                a_session_opens_with_the_rows_that_tokens_are_made_from
                a_session_opens_only_at_the_version_that_was_seen
                no_session_opens_for_a_disabled_or_unknown_user
                a_session_ends_once_and_only_for_its_user
                an_expired_session_can_still_be_ended
                live_sessions_are_newest_first_without_what_is_over
                the_oldest_live_sessions_end_but_those_kept
            }
            logins {
                a_login_opens_a_session_ends_the_oldest_and_is_recorded
                a_login_at_a_stale_version_does_nothing
            }
            networks {
                a_session_makes_its_network_known_to_its_user
                an_unknown_address_makes_no_network_known
                a_network_in_use_is_not_forgotten_for_its_age
                the_network_not_used_for_longest_is_forgotten_for_one_too_many
            }
            rotation {
                the_current_generation_moves_on_and_the_end_stays
                the_generation_before_is_replayed_to_the_last_moment_of_the_grace
                the_generation_before_is_reused_after_the_grace
                an_older_generation_is_late_within_the_grace_and_reused_after_it
                a_generation_ahead_moves_the_row_up_to_it
                an_ended_or_expired_session_is_over
                an_idle_session_is_over_and_lives_again_with_no_limit
                what_ends_a_users_sessions_makes_them_over_for_good
                a_role_leaves_sessions_alive_and_comes_back_with_the_rotation
                a_session_that_never_was_is_unknown
            }
            outbox {
                events_are_pending_in_the_order_they_were_stored
                events_are_pending_by_the_shards_of_their_users
                of_each_shard_its_share_of_pending_events_comes_first
                a_delivered_event_is_pending_no_more
                a_refused_event_stays_and_counts_its_attempts
                a_failed_event_holds_back_its_users_later_ones_and_nobody_elses
                success_wins_over_everything
                the_backlog_counts_what_waits_and_tells_the_oldest
            }
            events {
                events_are_listed_in_order_by_status_in_pages
                a_failed_event_is_resent_with_what_it_held_back
                a_skipped_event_stays_failed_and_holds_back_nothing
                only_a_failed_event_moves_and_a_skip_is_final
                success_wins_over_a_skip
                of_fifty_resends_and_skips_of_one_event_one_moves_it
            }
            keys {
                the_first_keys_are_stored_once
                keys_are_added_to_the_ring_that_was_seen
                a_retired_key_leaves_the_ring_for_good
                the_last_key_that_signs_is_never_retired
                keys_are_resealed_all_or_none
                only_the_last_retired_keys_are_remembered
            }
            revocations {
                each_entry_is_told_once_with_a_rising_id
                what_was_revoked_before_is_obeyed_no_earlier_than_it_is
                what_does_not_matter_any_more_is_not_told
                a_dropped_revocation_is_never_told
                none_is_skipped_however_commits_interleave
                what_the_only_instance_obeys_is_obeyed_everywhere
                an_answer_says_which_transactions_it_has_seen
                an_instance_may_leave
            }
            lives {
                the_longest_life_of_an_access_token_is_remembered
                a_life_that_was_not_committed_is_not_remembered
            }
            audit {
                a_record_comes_back_as_it_was_stored
                a_record_commits_with_what_it_tells_of
                records_are_newest_first_in_pages
                records_are_found_by_whom_by_what_and_by_when
            }
            lifecycle {
                an_imported_user_comes_back_as_he_was
                who_cannot_be_imported_is_told_and_fails_nobody_else
                a_deleted_user_is_gone_with_his_sessions
                the_id_of_a_deleted_user_never_comes_back
                events_of_a_deleted_user_lose_their_contents
                the_audit_log_keeps_a_deleted_user_as_his_id_only
                everything_of_a_user_is_read_in_pages
                sessions_are_swept_some_time_after_their_end
                delivered_events_are_swept_by_their_delivery
                skipped_events_are_swept_by_the_time_of_the_skip
                revocations_and_records_are_swept_by_their_time_in_batches
            }
            races {
                of_fifty_uses_of_one_token_one_rotates_and_the_others_get_the_same
                of_fifty_ends_of_one_session_one_ends_it
                of_fifty_registrations_of_one_address_one_is_stored
                of_fifty_password_changes_at_one_version_one_is_made
                of_fifty_first_key_rings_one_is_stored
                of_fifty_rotations_of_one_ring_one_is_made
                of_fifty_keys_that_are_all_retired_at_once_one_is_left
                no_refresh_survives_a_logout
                no_session_of_a_login_survives_a_password_change
                no_session_of_a_login_survives_a_disabling
                no_login_returns_a_right_that_was_taken
                no_rehash_undoes_a_password_change
            }
        }
    };
    (@rules $make:path; $($module:ident { $($rule:ident)* })*) => {
        $(mod $module {
            $(#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
            async fn $rule() {
                let (store, _kept) = $make();
                $crate::contract::$module::$rule(store).await;
            })*
        })*
    };
}

#[cfg(test)]
mod tests {
    #[test]
    fn every_rule_is_in_the_list() {
        let list = include_str!("mod.rs");
        let modules = [
            include_str!("audit.rs"),
            include_str!("events.rs"),
            include_str!("keys.rs"),
            include_str!("lifecycle.rs"),
            include_str!("lives.rs"),
            include_str!("networks.rs"),
            include_str!("outbox.rs"),
            include_str!("races.rs"),
            include_str!("revocations.rs"),
            include_str!("rotation.rs"),
            include_str!("sessions.rs"),
            include_str!("transactions.rs"),
            include_str!("users.rs"),
        ];
        let rules = modules
            .iter()
            .flat_map(|text| text.lines())
            .filter_map(|line| line.strip_prefix("pub async fn ")?.split('(').next());
        for rule in rules {
            assert!(list.lines().any(|line| line.trim() == rule), "{rule}");
        }
    }
}
