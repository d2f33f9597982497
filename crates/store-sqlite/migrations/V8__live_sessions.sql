-- A login looks for the live sessions of its user, and must not walk through all those that have ended.
DROP INDEX sessions_of_user;
CREATE INDEX sessions_of_user ON sessions (user_id, created_at) WHERE revoked_at IS NULL;
CREATE INDEX sessions_all_of_user ON sessions (user_id);
