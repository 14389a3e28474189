-- directory: what people are found by in small letters, beyond ASCII too, also of those
-- who were there before 00031. Servers have different letters: see letters.go.
SELECT 1;
