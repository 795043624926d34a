-- Where this database was opened last (JSON, store/location.py): opened elsewhere, it is a copy.
ALTER TABLE owner ADD COLUMN location TEXT;
