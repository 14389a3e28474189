-- A node that has stopped answering takes itself off the members.
--   ARGV[3]  the node
redis.call('HDEL', KEYS[1], 'n:' .. ARGV[3])
return redis.status_reply('OK')
