-- Answers the part's rev, the session if it is there, and whether all are.
--   ARGV[4]  the token hash
return { rev, redis.call('HGET', KEYS[1], ARGV[4]) or '', redis.call('HGET', KEYS[1], 'whole') or '' }
