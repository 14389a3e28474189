-- PostgreSQL's tables keep their statistics; SQLite's plans here need none
SELECT 1;
