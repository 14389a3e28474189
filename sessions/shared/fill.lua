-- Puts a session in that SQL called live after the part had this rev: whoever has
-- ended sessions since then has changed it.
--   ARGV[4]  the rev
--   ARGV[5]  the token hash
--   ARGV[6]  the session
if rev == ARGV[4] then
  redis.call('HSET', KEYS[1], ARGV[5], ARGV[6])
end
return redis.status_reply('OK')
