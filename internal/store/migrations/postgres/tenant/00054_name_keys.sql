-- directory: names are compared in whatever way their letters are composed. Their keys
-- are made anew by namekeys.go: there is no NFC in SQLite, and one in PostgreSQL without
-- widths.
SELECT 1;
