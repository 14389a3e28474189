-- Answers the part's rev and, if it is there, the session.
--   ARGV[4]  the token hash
return { rev, redis.call('HGET', KEYS[1], ARGV[4]) or '' }
