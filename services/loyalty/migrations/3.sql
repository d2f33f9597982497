-- Who forgets a person looks for what that person has ordered; most transfers are welcomes, which nobody has.
CREATE INDEX transfers_by_user ON transfers (by_user) WHERE by_user IS NOT NULL;
