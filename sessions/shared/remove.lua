-- Takes sessions out that have ended in SQL.
--   ARGV[4…] token hashes
redis.call('HSET', KEYS[1], 'rev', ARGV[2])
redis.call('HDEL', KEYS[1], unpack(ARGV, 4))
return redis.status_reply('OK')
