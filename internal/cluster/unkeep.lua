-- Has who joins later not hear of a message any more.
--   ARGV[3]  the name under which it is kept
redis.call('HDEL', KEYS[1], 'k:' .. ARGV[3])
return redis.status_reply('OK')
