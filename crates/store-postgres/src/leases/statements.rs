//! What is asked, where it can be read as SQL.

/// One beat, one statement, one snapshot. Parameters: reader, number of this beat, number of the
/// last beat that was answered, timeline and system that this reader is registered on, snapshot of
/// the last answer that it obeys, and the time before which what ended does not matter.
///
/// The row changes only where the server is of the timeline that is named. A beat that was given
/// up and comes late changes nothing, nor does one of a database that was restored to a time
/// before. What is not visible in the snapshot is two probes of an index; a test by a function
/// would look through the table, and a volatile one would have a snapshot of its own.
pub(super) const BEAT: &str = "
WITH here AS MATERIALIZED (
    SELECT current_timeline() AS timeline, system_identifier AS system,
           pg_current_snapshot() AS snapshot
    FROM pg_control_system()
), mine AS (
    UPDATE readers
    SET beat = $2, snapshot = $6::text::pg_snapshot
    FROM here
    WHERE readers.id = $1 AND readers.beat >= $3 AND readers.beat < $2
      AND readers.timeline = $4 AND readers.system = $5
      AND here.timeline = $4 AND here.system = $5
    RETURNING readers.id
)
SELECT NULL::bigint AS id, NULL::text AS xid, here.timeline, NULL::text AS kind,
       (SELECT id FROM mine) AS subject, here.system AS version, here.snapshot::text AS effect,
       clock_timestamp() AS until
FROM here
UNION ALL
SELECT id, xid::text, timeline, kind, subject, version, effect, until
FROM revocations
WHERE (xid >= pg_snapshot_xmax($6::text::pg_snapshot)
       OR xid = ANY (ARRAY(SELECT pg_snapshot_xip($6::text::pg_snapshot))))
  AND until >= $7";

/// The same where nothing came since the last answer, for two thirds of what that costs: the row changes
/// only if nothing did. Parameters as in [`BEAT`], but for the last, over a connection whose server has
/// said which system it is of. What ended counts as news here.
///
/// The greatest number is one probe of an index, whatever the planner believes.
pub(super) const QUIET_BEAT: &str = "
UPDATE readers
SET beat = $2, snapshot = $6::text::pg_snapshot
WHERE id = $1 AND beat >= $3 AND beat < $2
  AND timeline = $4 AND system = $5 AND current_timeline() = $4
  AND ((SELECT max(xid) FROM revocations) < pg_snapshot_xmax($6::text::pg_snapshot)) IS NOT FALSE
  AND NOT EXISTS (SELECT FROM revocations
                  WHERE xid = ANY (ARRAY(SELECT pg_snapshot_xip($6::text::pg_snapshot))))
RETURNING pg_current_snapshot()::text AS snapshot, clock_timestamp() AS now";

/// The snapshot in which nothing is visible.
pub(super) const NOTHING: &str = "1:1:";

/// Commits before the load: whoever commits a revocation after it waits for this reader. Under an
/// id that was never used; the process's rows from before ($4) go with it, and nobody waits for
/// them.
pub(super) const REGISTER: &str = "
WITH gone AS (DELETE FROM readers WHERE id = ANY ($4))
INSERT INTO readers (id, beat, name) VALUES ($1, $2, $3)
RETURNING timeline, system";

pub(super) const LEAVE: &str = "DELETE FROM readers WHERE id = ANY ($1)";

/// Every commit that was answered before is flushed here. A standby that streams or catches up may
/// be promoted; what receives the log only to keep it may not. One that holds a slot and does
/// neither is absent. Where nobody lets us see how far a walsender is, its state is null. A standby
/// is known by its slot; without one by its connection, which is another one when it comes back.
pub(super) const HERE: &str = "
SELECT current_timeline() AS timeline,
       (SELECT system_identifier FROM pg_control_system()) AS system,
       pg_wal_lsn_diff(pg_current_wal_flush_lsn(), '0/0')::bigint AS flushed,
       current_setting('synchronous_standby_names') AS synchronous,
       count(*) FILTER (WHERE state IS NULL) AS hidden,
       min(pg_wal_lsn_diff(coalesce(flush_lsn, '0/0'), '0/0')::bigint)
           FILTER (WHERE state IN ('streaming', 'catchup')) AS shipped,
       array_agg(coalesce((SELECT slot.slot_name::text FROM pg_replication_slots AS slot
                           WHERE slot.active_pid = sender.pid AND NOT slot.temporary LIMIT 1),
                          concat_ws(' ', 'process', sender.pid, 'of', sender.backend_start)))
           FILTER (WHERE state IN ('streaming', 'catchup')) AS following,
       ARRAY(SELECT slot.slot_name::text FROM pg_replication_slots AS slot
             WHERE slot.slot_type = 'physical' AND NOT slot.temporary
               AND NOT EXISTS (SELECT FROM pg_stat_replication AS sender
                               WHERE sender.pid = slot.active_pid
                                 AND (sender.state IN ('streaming', 'catchup')
                                      OR sender.application_name
                                         IN ('pg_receivewal', 'pg_basebackup'))))
           AS absent
FROM pg_stat_replication AS sender
WHERE application_name NOT IN ('pg_receivewal', 'pg_basebackup')
  AND NOT EXISTS (SELECT FROM pg_replication_slots AS slot
                  WHERE slot.active_pid = sender.pid AND slot.slot_type = 'logical')";

pub(super) const READERS: &str = "
SELECT id, beat, timeline, system, snapshot::text AS snapshot, name FROM readers";

/// By the observer's own clock it has not changed for too long. With the number it was seen at:
/// by id alone this could wait behind a beat that renews the row, and delete that.
pub(super) const FENCE: &str = "DELETE FROM readers WHERE id = $1 AND beat = $2";

/// Which of these the primary lacks, and not because they were swept: those had ended by then. One that
/// was lost was committed after the last sweep that was not, and so ends after all that this swept.
pub(super) const LACKS: &str = "
SELECT held.id FROM unnest($1::bigint[], $2::timestamptz[]) AS held (id, until)
WHERE NOT EXISTS (SELECT FROM revocations WHERE revocations.id = held.id)
  AND held.until > (SELECT coalesce(max(until), '-infinity') FROM sweeps)";

/// In the order of their ids, so that instances that do this at once wait for each other in one
/// order. Only what this one inserts is its to do again.
pub(super) const WRITE_BACK: &str = "
INSERT INTO revocations (id, kind, subject, version, effect, until)
SELECT * FROM unnest($1::bigint[], $2::text[], $3::uuid[], $4::bigint[], $5::text[],
                     $6::timestamptz[]) AS held (id, kind, subject, version, effect, until)
ORDER BY id
ON CONFLICT (id) DO NOTHING
RETURNING id";

pub(super) const END_SESSIONS: &str = "
UPDATE sessions SET revoked_at = now() WHERE id = ANY ($1) AND revoked_at IS NULL";

/// A statement of its own before the change: so that what it waited for is seen by the change.
pub(super) const LOCK_USERS: &str = "
SELECT id FROM users WHERE id = ANY ($1) ORDER BY id FOR NO KEY UPDATE";

/// Parameters, by user: his id, the highest version that his lost entries name, whether a password
/// change, a disabling, a change of role was lost. A lost password is locked and a lost role taken
/// unless this timeline has changed it since: an entry of its own says so by its id.
pub(super) const DO_AGAIN: &str = "
UPDATE users
SET version = greatest(next_version(users.version), lost.below + 1),
    sessions_from = greatest(next_version(users.version), lost.below + 1),
    password_hash = CASE
        WHEN lost.password AND NOT EXISTS (SELECT FROM revocations
                                           WHERE subject = users.id AND effect = 'password'
                                             AND id >= current_timeline() << 40)
        THEN '!' ELSE users.password_hash END,
    disabled = users.disabled OR lost.disabling,
    is_admin = users.is_admin AND (NOT lost.role OR EXISTS (
        SELECT FROM revocations
        WHERE subject = users.id AND effect = 'admin' AND id >= current_timeline() << 40))
FROM unnest($1::uuid[], $2::bigint[], $3::boolean[], $4::boolean[], $5::boolean[])
    AS lost (id, below, password, disabling, role)
WHERE users.id = lost.id";

/// Tokens of the lost timeline may have higher versions than the lost entry: they are over too. Whom
/// the failover has lost as well has no version to raise anything to.
pub(super) const RAISE: &str = "
UPDATE revocations r SET version = greatest(r.version, u.version)
FROM users u WHERE r.id = ANY ($1) AND u.id = r.subject";

/// All of them, for the test that prepares each.
#[cfg(test)]
pub(crate) const ALL: &[&str] = &[
    BEAT,
    QUIET_BEAT,
    REGISTER,
    LEAVE,
    HERE,
    READERS,
    FENCE,
    LACKS,
    WRITE_BACK,
    END_SESSIONS,
    LOCK_USERS,
    DO_AGAIN,
    RAISE,
];

#[cfg(test)]
mod tests {
    use sso_testkit::servers::Postgres;
    use time::OffsetDateTime;
    use tokio_postgres::{Client, NoTls, types::ToSql};
    use uuid::Uuid;

    use super::*;

    const READER: Uuid = Uuid::from_u128(1);

    struct Asked {
        client: Client,
        url: String,
        timeline: i64,
        system: i64,
    }

    impl Asked {
        /// Whether the beat with this number changed the row.
        async fn changes(&self, beat: i64, answered: i64) -> bool {
            self.changes_on(self.timeline, beat, answered).await
        }

        /// The same of a beat that names this timeline.
        async fn changes_on(&self, timeline: i64, beat: i64, answered: i64) -> bool {
            let (long_ago, snapshot) = (OffsetDateTime::UNIX_EPOCH, NOTHING);
            let rows = self
                .client
                .query(
                    BEAT,
                    &[
                        &READER,
                        &beat,
                        &answered,
                        &timeline,
                        &self.system,
                        &snapshot,
                        &long_ago,
                    ],
                )
                .await
                .unwrap();
            let word = &rows[0];
            word.get::<_, Option<Uuid>>("subject").is_some()
        }
    }

    impl Asked {
        /// A reader that is registered by its first beat, on a database of its own.
        async fn on(name: &str) -> Self {
            let server = Postgres::shared().await.unwrap();
            let url = server.database(name).await.unwrap();
            let mut client = connect(&url).await;
            crate::migrations::migrate(&mut client).await.unwrap();
            let none: Vec<Uuid> = Vec::new();
            let row = client
                .query_one(REGISTER, &[&READER, &1_i64, &"test", &none])
                .await
                .unwrap();
            Self {
                timeline: row.get("timeline"),
                system: row.get("system"),
                client,
                url,
            }
        }

        /// What a quiet beat says is visible: if nothing came since `snapshot`.
        async fn is_quiet(&self, beat: i64, timeline: i64, snapshot: &str) -> Option<String> {
            let answered = 1_i64;
            let parameters: [&(dyn ToSql + Sync); 6] = [
                &READER,
                &beat,
                &answered,
                &timeline,
                &self.system,
                &snapshot,
            ];
            let row = self.client.query_opt(QUIET_BEAT, &parameters).await;
            row.unwrap().map(|row| row.get("snapshot"))
        }

        async fn snapshot(&self) -> String {
            let now = "SELECT pg_current_snapshot()::text";
            self.client.query_one(now, &[]).await.unwrap().get(0)
        }
    }

    async fn connect(url: &str) -> Client {
        let (client, connection) = tokio_postgres::connect(url, NoTls).await.unwrap();
        tokio::spawn(connection);
        client
    }

    #[tokio::test]
    async fn a_beat_changes_its_row_once_and_not_after_a_later_one() {
        let asked = Asked::on("beat_numbers").await;
        assert!(asked.changes(3, 1).await);
        // One that was given up comes late, and one comes twice.
        assert!(!asked.changes(2, 1).await);
        assert!(!asked.changes(3, 1).await);
        // What was answered must be there: this is a row from before.
        assert!(!asked.changes(9, 4).await);
        assert!(asked.changes(4, 3).await);
    }

    /// An instance registers anew where it meets another timeline; a beat that does not know of it yet
    /// is answered by nothing. Both the row and the server have to be of the timeline that it names.
    #[tokio::test]
    async fn a_beat_changes_its_row_on_the_timeline_that_it_names_only() {
        let asked = Asked::on("beat_timelines").await;
        let (here, other) = (asked.timeline, asked.timeline + 1);
        assert!(!asked.changes_on(other, 2, 1).await);
        let to = |timeline: i64| format!("UPDATE readers SET timeline = {timeline}");
        asked.client.batch_execute(&to(other)).await.unwrap();
        assert!(!asked.changes_on(here, 2, 1).await, "the row is of another");
        assert!(!asked.changes_on(other, 2, 1).await, "the server is");
        asked.client.batch_execute(&to(here)).await.unwrap();
        assert!(asked.changes_on(here, 2, 1).await);
    }

    #[tokio::test]
    async fn a_beat_is_quiet_where_nothing_came_and_of_its_timeline_only() {
        const ENDED: &str = "INSERT INTO revocations (kind, subject, until)
                             VALUES ('session', gen_random_uuid(), now())";
        let asked = Asked::on("quiet_beats").await;
        let timeline = asked.timeline;
        // Before the first one there is no greatest number.
        let bare = asked.snapshot().await;
        assert!(asked.is_quiet(2, timeline, &bare).await.is_some());
        assert_eq!(asked.is_quiet(2, timeline, &bare).await, None, "twice");
        let mut other = connect(&asked.url).await;
        let under_way = other.transaction().await.unwrap();
        under_way.execute(ENDED, &[]).await.unwrap();
        asked.client.execute(ENDED, &[]).await.unwrap();
        assert_eq!(asked.is_quiet(3, timeline, &bare).await, None, "one came");
        // In it the later of the two is visible, and the earlier is not.
        let between = asked.snapshot().await;
        assert_eq!(asked.is_quiet(3, timeline + 1, &between).await, None);
        let said = asked.is_quiet(3, timeline, &between).await.unwrap();
        under_way.commit().await.unwrap();
        assert_eq!(asked.is_quiet(4, timeline, &said).await, None, "it came");
        let after = asked.snapshot().await;
        assert!(asked.is_quiet(4, timeline, &after).await.is_some());
    }
}
