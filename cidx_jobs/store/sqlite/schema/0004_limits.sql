-- The keys whose limits the job obeys (JSON); NULL for none.
ALTER TABLE jobs ADD COLUMN limits TEXT;
