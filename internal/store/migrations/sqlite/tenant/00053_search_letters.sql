-- directory: what people are found by in small letters, beyond ASCII too, also of those
-- who were there before 00031. SQLite knows the letters of ASCII alone: see letters.go.
SELECT 1;
